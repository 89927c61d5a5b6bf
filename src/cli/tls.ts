/**
 * The flags about TLS toward clients. `tlsOptions.ts` makes options of them, and is loaded where TLS is to be spoken.
 */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as NodeTls from "../node/NodeTls.ts"
import type { UsageError } from "./Address.ts"
import { choice, given, isGiven, optional, repeated, usage } from "./typed.ts"

/** The flags of every command that listens. */
export const server = {
  cert: repeated(
    "cert",
    "FILE",
    "Speak wss with the certificate of this file: PEM, with the private key or with --key, or PFX; repeat it for others, which are chosen by name and kind of key"
  ),
  key: repeated(
    "key",
    "FILE",
    "The private key of a certificate, if it is in a file of its own; several in their order"
  ),
  certPassword: optional(
    "cert-password-env",
    "NAME",
    "The environment variable that has the password of the certificates or keys"
  ),
  strictSni: given("strict-sni", "Refuse clients that ask for a name that no certificate is for"),
  clientCa: repeated("client-ca", "FILE", "Let in only clients with a certificate of these authorities (PEM)"),
  clientCaSystem: given("client-ca-system", "The same, of the authorities that the system trusts"),
  clientCert: choice(
    "client-cert",
    ["required", "optional"],
    "Whether clients must show a certificate at all (required)"
  ),
  clientCrl: repeated(
    "client-crl",
    "FILE",
    "Refuse certificates of clients that this list of their authority (PEM or DER) has revoked; each authority needs one"
  ),
  clientRevocation: optional(
    "client-revocation",
    "LIST",
    "Ask whom certificates of clients name whether they are revoked: crl, ocsp, or both as crl,ocsp; crl=required refuses those that name nobody"
  ),
  tlsMin: optional("tls-min", "VERSION", "The oldest version of TLS: 1.0, 1.1, 1.2 (default) or 1.3"),
  tlsMax: optional("tls-max", "VERSION", "The newest version of TLS (1.3)"),
  ciphers: optional(
    "ciphers",
    "LIST",
    "Cipher suites by IANA or OpenSSL names, or a cipher list of OpenSSL for TLS 1.2"
  ),
  groups: optional("groups", "LIST", "Groups to exchange keys in, such as X25519,P-256"),
  sigalgs: optional("sigalgs", "LIST", "Signature algorithms, such as ecdsa_secp256r1_sha256,rsa_pss_rsae_sha256"),
  alpn: optional("alpn", "LIST", "Application protocols (http/1.1, with --http2 h2 before it), or off"),
  sessionTickets: choice("session-tickets", ["on", "off"], "Whether sessions may be resumed by tickets (on)"),
  keyLog: optional(
    "key-log",
    "FILE",
    "Append the secrets of each connection to this file: whoever has it reads them all"
  ),
  tlsLog: choice(
    "tls-log",
    ["off", "failures", "steps", "records"],
    "What is logged of TLS handshakes: why they failed (default), each step and alert, or each record too"
  ),
  alsoPlain: given("also-plain", "Speak ws on the same port, too")
}

/** What was typed for them. */
export interface ServerFlags {
  readonly cert: ReadonlyArray<string>
  readonly key: ReadonlyArray<string>
  readonly certPassword: Option.Option<string>
  readonly strictSni: boolean
  readonly clientCa: ReadonlyArray<string>
  readonly clientCaSystem: boolean
  readonly clientCert: Option.Option<"required" | "optional">
  readonly clientCrl: ReadonlyArray<string>
  readonly clientRevocation: Option.Option<string>
  readonly tlsMin: Option.Option<string>
  readonly tlsMax: Option.Option<string>
  readonly ciphers: Option.Option<string>
  readonly groups: Option.Option<string>
  readonly sigalgs: Option.Option<string>
  readonly alpn: Option.Option<string>
  readonly sessionTickets: Option.Option<"on" | "off">
  readonly keyLog: Option.Option<string>
  readonly tlsLog: Option.Option<"off" | "failures" | "steps" | "records">
  readonly alsoPlain: boolean
}

/** The same with what holds without TLS as well. */
export type Typed = ServerFlags & { readonly http2: boolean }

/** The flags as they are typed. */
export const flagOf = {
  cert: "cert",
  key: "key",
  certPassword: "cert-password-env",
  strictSni: "strict-sni",
  clientCa: "client-ca",
  clientCaSystem: "client-ca-system",
  clientCert: "client-cert",
  clientCrl: "client-crl",
  clientRevocation: "client-revocation",
  tlsMin: "tls-min",
  tlsMax: "tls-max",
  ciphers: "ciphers",
  groups: "groups",
  sigalgs: "sigalgs",
  alpn: "alpn",
  sessionTickets: "session-tickets",
  keyLog: "key-log",
  tlsLog: "tls-log",
  alsoPlain: "also-plain"
} as const satisfies Record<keyof ServerFlags, string>

/** TLS as it was asked for, if it was. */
export const serverOptions = Effect.fnUntraced(function* (
  flags: Typed
): Effect.fn.Return<NodeTls.Options | undefined, UsageError, Scope.Scope> {
  if (flags.cert.length === 0) {
    // the keys of flagOf are those of ServerFlags
    const names = Object.keys(flagOf) as ReadonlyArray<keyof ServerFlags>
    const stray = names.find((name) => isGiven(flags[name]))
    return stray === undefined ? undefined : yield* usage(`--${flagOf[stray]} is for wss, and needs --cert`)
  }
  const TlsOptions = yield* Effect.promise(() => import("./tlsOptions.ts"))
  return yield* TlsOptions.serverOptions(flags)
})
