/**
 * The flags about TLS, toward clients and toward the target, and what they mean.
 */
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { readFileSync } from "node:fs"
import type * as NodeTls from "../node/NodeTls.ts"
import { CertStoreType } from "../tls/CertificateStore.ts"
import * as Identities from "../tls/Identities.ts"
import { UsageError } from "./Address.ts"

const file = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar("FILE"), Flag.withDescription(description), Flag.optional)

/** The flags of every command that listens. */
export const server = {
  cert: file("cert", "Speak wss with the certificate of this file: PEM, with the private key or with --key, or PFX"),
  key: file("key", "The private key of the certificate, if it is in a file of its own"),
  certPassword: Flag.String("cert-password-env").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDescription("The environment variable that has the password of the certificate or key"),
    Flag.optional
  ),
  clientCa: file("client-ca", "Let in only clients with a certificate of these authorities (PEM)"),
  tlsMin: Flag.String("tls-min").pipe(
    Flag.withMetavar("VERSION"),
    Flag.withDescription("The oldest version of TLS: 1.2 (default) or 1.3"),
    Flag.optional
  ),
  alsoPlain: Flag.Boolean("also-plain").pipe(
    Flag.withDescription("Speak ws on the same port, too"),
    Flag.withDefault(false)
  )
}

/** What was typed for them. */
export interface ServerFlags {
  readonly cert: Option.Option<string>
  readonly key: Option.Option<string>
  readonly certPassword: Option.Option<string>
  readonly clientCa: Option.Option<string>
  readonly tlsMin: Option.Option<string>
  readonly alsoPlain: boolean
}

const usage = (message: string) => new UsageError({ message })

const needsCert = ["key", "certPassword", "clientCa", "tlsMin"] as const
const flagOf = { key: "key", certPassword: "cert-password-env", clientCa: "client-ca", tlsMin: "tls-min" } as const

const read = (flag: string, path: string): Effect.Effect<string, UsageError> =>
  Effect.try({
    try: () => readFileSync(path, "latin1"),
    catch: (cause) => usage(`--${flag} expects a file that can be read; ${path}: ${codeOf(cause)}`)
  })

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause ? String(cause.code) : String(cause)

/** TLS as it was asked for, if it was. SIGHUP has the certificate read again, and so has a change of its file. */
export const serverOptions = Effect.fnUntraced(function* (
  flags: ServerFlags
): Effect.fn.Return<NodeTls.Options | undefined, UsageError, Scope.Scope> {
  if (Option.isNone(flags.cert)) {
    const stray = needsCert.find((name) => Option.isSome(flags[name]))
    if (stray !== undefined) return yield* usage(`--${flagOf[stray]} is for wss, and needs --cert`)
    if (flags.alsoPlain) return yield* usage("--also-plain is for wss, and needs --cert")
    return undefined
  }
  const password = Option.isNone(flags.certPassword) ? undefined : process.env[flags.certPassword.value]
  if (Option.isSome(flags.certPassword) && password === undefined) {
    return yield* usage(`--cert-password-env names ${flags.certPassword.value}, which is not set`)
  }
  // said by the flag's name, and not as a store that cannot be opened
  yield* read("cert", flags.cert.value)
  if (Option.isSome(flags.key)) yield* read("key", flags.key.value)
  const identities = yield* Identities.reloading({
    sources: [
      { type: CertStoreType.cstAuto, store: flags.cert.value, password, keyFile: Option.getOrUndefined(flags.key) }
    ]
  }).pipe(Effect.mapError((error) => usage(error.message)))
  yield* reloadOnHangUp(identities)
  const minVersion = Option.match(flags.tlsMin, {
    onNone: () => "TLSv1.2" as const,
    onSome: (text) => (text === "1.2" ? ("TLSv1.2" as const) : text === "1.3" ? ("TLSv1.3" as const) : undefined)
  })
  if (minVersion === undefined) return yield* usage("--tls-min expects 1.2 or 1.3")
  const ca = Option.isNone(flags.clientCa) ? undefined : yield* read("client-ca", flags.clientCa.value)
  if (ca !== undefined && !ca.includes("BEGIN CERTIFICATE")) {
    return yield* usage("--client-ca expects certificates in PEM")
  }
  return {
    identities,
    settings: { minVersion },
    plaintext: flags.alsoPlain,
    ...(ca !== undefined && { clientCertificates: { ca: [ca], required: true } })
  }
})

const reloadOnHangUp = (identities: Identities.Identities["Service"]) =>
  Effect.gen(function* () {
    const runFork = Effect.runForkWith(yield* Effect.context<never>())
    const onHangUp = () => void runFork(Effect.catch(identities.reload, (error) => Effect.logError(error.message)))
    yield* Effect.acquireRelease(
      Effect.sync(() => void process.on("SIGHUP", onHangUp)),
      () => Effect.sync(() => void process.off("SIGHUP", onHangUp))
    )
  })
