/**
 * The flags that say who may come in: by address, certificate, password or token, and websockify's `--auth-plugin` with what it
 * means there. `admissionOptions.ts` makes options of them, and is loaded if one of them is given.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as NodeWebSocketServer from "../node/NodeWebSocketServer.ts"
import * as Admission from "../server/Admission.ts"
import type { UsageError } from "./Address.ts"
import { given, isGiven, optional, repeated, usage } from "./typed.ts"

/** The flags of every command that listens. */
export const server = {
  allowClient: repeated(
    "allow-client",
    "LIST",
    "Clients that may connect: addresses, networks (10.0.0.0/8), 192.168.*, names, *.example.com; repeatable"
  ),
  denyClient: repeated("deny-client", "LIST", "Clients that may not, whatever allows them; repeatable"),
  htpasswd: optional("htpasswd", "FILE", "Users and passwords as htpasswd -B writes them; read again when it changes"),
  bearerFile: optional("bearer-file", "FILE", "Bearer tokens, one in a line: sha256:DIGEST or the token, and a name"),
  jwtKey: optional("jwt-key", "FILE", "Signed tokens by these public keys: PEM, certificate, JWK or JWK set"),
  jwtSecret: optional("jwt-secret", "FILE", "Signed tokens by this secret of 32 bytes or more (HS256)"),
  jwtJwks: optional("jwt-jwks", "URL", "Signed tokens by the keys that their issuer publishes there"),
  jwtIssuer: repeated("jwt-issuer", "ISSUER", "Who must have issued a signed token; repeatable"),
  jwtAudience: repeated("jwt-audience", "AUDIENCE", "Whom a signed token must be for; repeatable"),
  tokenFrom: repeated(
    "bearer-from",
    "WHERE",
    "Where a token is: header (default), query:NAME or subprotocol:PREFIX, for browsers; repeatable"
  ),
  clientCertSubject: repeated(
    "client-cert-subject",
    "PATTERN",
    "Whose certificate lets in: a common name (*.example.com) or parts of the subject (O=Ops); needs --client-ca; repeatable"
  ),
  satisfy: optional(
    "satisfy",
    "HOW",
    "Whether a certificate and a password are both needed: all (default), or any of them"
  ),
  realm: optional("auth-realm", "TEXT", "What the password is for, as a browser shows it"),
  authPlugin: optional(
    "auth-plugin",
    "NAME",
    "websockify's name for one of these: BasicHTTPAuth, ExpectOrigin, ClientCertCNAuth"
  ),
  authSource: optional("auth-source", "SOURCE", "user:password, origins, or common names, for --auth-plugin")
}

/** The flag of a command that serves files, too. */
export const web = {
  webAuth: given("web-auth", "Ask whoever wants the files of --web for the same")
}

/** What was typed for it, for `--web` and for `--origin`. */
export interface WebFlags {
  readonly origin: ReadonlyArray<string>
  readonly webAuth: boolean
  readonly web: Option.Option<string>
}

/** What was typed for them. */
export interface Flags {
  readonly allowClient: ReadonlyArray<string>
  readonly denyClient: ReadonlyArray<string>
  readonly htpasswd: Option.Option<string>
  readonly bearerFile: Option.Option<string>
  readonly jwtKey: Option.Option<string>
  readonly jwtSecret: Option.Option<string>
  readonly jwtJwks: Option.Option<string>
  readonly jwtIssuer: ReadonlyArray<string>
  readonly jwtAudience: ReadonlyArray<string>
  readonly tokenFrom: ReadonlyArray<string>
  readonly clientCertSubject: ReadonlyArray<string>
  readonly satisfy: Option.Option<string>
  readonly realm: Option.Option<string>
  readonly authPlugin: Option.Option<string>
  readonly authSource: Option.Option<string>
}

type Options = Pick<NodeWebSocketServer.Options, "host" | "origin" | "tls">

const names: ReadonlyArray<keyof Flags> = [
  "allowClient",
  "denyClient",
  "htpasswd",
  "bearerFile",
  "jwtKey",
  "jwtSecret",
  "jwtJwks",
  "jwtIssuer",
  "jwtAudience",
  "tokenFrom",
  "clientCertSubject",
  "satisfy",
  "realm",
  "authPlugin",
  "authSource"
]

/** The server's options: who may come in, and TLS as it has to be for that. */
export const serverOptions = Effect.fnUntraced(function* (
  flags: Flags & { readonly origin: ReadonlyArray<string> },
  options: Options
): Effect.fn.Return<
  Pick<NodeWebSocketServer.Options, "clients" | "access" | "origin" | "tls">,
  UsageError,
  Scope.Scope
> {
  if (!names.some((name) => isGiven(flags[name]))) return { origin: options.origin, tls: options.tls }
  const AdmissionOptions = yield* Effect.promise(() => import("./admissionOptions.ts"))
  return yield* AdmissionOptions.serverOptions(flags, options)
})

/** The same for a command that may serve files: who may have them, and whether connections are counted or requests. */
export const proxyOptions = Effect.fnUntraced(function* (
  flags: Flags & WebFlags,
  options: NodeWebSocketServer.Options
) {
  const admission = yield* serverOptions(flags, options)
  const { access } = admission
  if (flags.webAuth && Option.isNone(flags.web))
    return yield* usage("--web-auth is for the files of --web, which is missing")
  if (flags.webAuth && access === undefined) {
    return yield* usage("--web-auth needs what it is to ask for, such as --htpasswd FILE")
  }
  const { maxConnections, maxConnectionsPerAddress, maxHandshakeRatePerAddress } = options
  const isLimited = [maxConnections, maxConnectionsPerAddress, maxHandshakeRatePerAddress].some(
    (it) => it !== undefined
  )
  return {
    options: {
      ...admission,
      // where there are no files, all that connects is to be a WebSocket
      admission: isLimited && Option.isNone(flags.web) ? yield* Admission.make(options) : undefined
    },
    guard: flags.webAuth && access !== undefined ? { access } : undefined
  }
})
