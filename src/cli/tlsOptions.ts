/**
 * TLS toward clients, as the flags of `tls.ts` say.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { closeSync } from "node:fs"
import { openToAppend } from "../node/internal/appending.ts"
import { codeOf } from "../node/internal/codeOf.ts"
import type * as NodeTls from "../node/NodeTls.ts"
import { authority } from "../protocol/internal/authority.ts"
import type { Peer } from "../server/UpgradeListener.ts"
import { CertStoreType } from "../tls/CertificateStore.ts"
import * as CipherSuites from "../tls/CipherSuites.ts"
import * as Identities from "../tls/Identities.ts"
import * as TlsSettings from "../tls/TlsSettings.ts"
import type { UsageError } from "./Address.ts"
import * as ClientRevocation from "./clientRevocation.ts"
import * as HangUp from "./hangUp.ts"
import { flagOf, type ServerFlags, type Typed } from "./tls.ts"
import { authoritiesOf } from "./tlsClient.ts"
import { isGiven, readFile, usage, variable } from "./typed.ts"

/** The versions of TLS as they are typed. */
const versions = {
  "1.0": "TLSv1",
  "1.1": "TLSv1.1",
  "1.2": "TLSv1.2",
  "1.3": "TLSv1.3"
} as const satisfies Record<string, TlsSettings.Version>

/** Whether a file is PEM without a private key. */
const needsKey = (content: string): boolean =>
  content.includes("-----BEGIN CERTIFICATE-----") && !/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(content)

/** Which key is whose: as many keys as certificates, or as many as have none in their own file. */
const keysOf = Effect.fnUntraced(function* ({
  cert,
  key
}: ServerFlags): Effect.fn.Return<ReadonlyArray<string | undefined>, UsageError> {
  // what cannot be read is said by the flag's name, and not as a store that cannot be opened
  const contents = yield* Effect.forEach(cert, (path) => readFile("cert", path))
  yield* Effect.forEach(key, (path) => readFile("key", path), { discard: true })
  if (key.length === cert.length) return key
  const without = contents.filter(needsKey).length
  if (key.length !== without) {
    const missing = cert.find((_, i) => needsKey(contents[i]!))
    if (key.length === 0) return yield* usage(`--cert ${missing} has no private key; give its file with --key`)
    const expected = `one for each --cert, or for each whose file has none (${without})`
    return yield* usage(`--key expects ${expected}, in their order; got ${key.length}`)
  }
  let next = 0
  return contents.map((content) => (needsKey(content) ? key[next++] : undefined))
})

const version = (flag: "tlsMin" | "tlsMax", typed: Option.Option<string>) =>
  Option.match(typed, {
    onNone: () => Effect.succeed(undefined),
    onSome: (text): Effect.Effect<TlsSettings.Version, UsageError> => {
      const known = Object.entries(versions).find(([name]) => name === text)
      return known === undefined
        ? Effect.fail(usage(`--${flagOf[flag]} expects 1.0, 1.1, 1.2 or 1.3; got ${JSON.stringify(text)}`))
        : Effect.succeed(known[1])
    }
  })

const listOf = (text: string): ReadonlyArray<string> =>
  text
    .split(/[\s,:]+/)
    .map((name) => name.trim())
    .filter((name) => name !== "")

/**
 * Names of suites, or OpenSSL's language for lists of them: `HIGH:!aNULL`, `ECDHE+AESGCM`, `@SECLEVEL=2`. What could be a
 * name is taken for one, so that a name with a slip in it is told.
 */
export const cipherOptions = (text: string): Pick<TlsSettings.Options, "cipherSuites" | "cipherList"> => {
  const names = listOf(text)
  const isLanguage = (name: string) => /^[!@+-]|\+|^[^-_*]+$/.test(name) && CipherSuites.fromName(name) === undefined
  return names.some(isLanguage) ? { cipherList: text } : { cipherSuites: names }
}

/** The settings that were asked for; a name that nobody knows is a mistake, and one that is of no use here is told. */
const settingsOf = Effect.fnUntraced(function* (flags: Typed): Effect.fn.Return<TlsSettings.TlsSettings, UsageError> {
  const [min, max] = [yield* version("tlsMin", flags.tlsMin), yield* version("tlsMax", flags.tlsMax)]
  // an older maximum asks for an older minimum too
  const old = max === "TLSv1" || max === "TLSv1.1" ? max : "TLSv1.2"
  const options: TlsSettings.Options = {
    minVersion: min ?? old,
    maxVersion: max,
    ...Option.match(flags.ciphers, { onNone: () => ({}), onSome: cipherOptions }),
    groups: Option.getOrUndefined(Option.map(flags.groups, listOf)),
    signatureAlgorithms: Option.getOrUndefined(Option.map(flags.sigalgs, listOf)),
    alpnProtocols: Option.getOrUndefined(
      Option.map(flags.alpn, (text) => (text === "off" ? [] : text.split(",").map((name) => name.trim())))
    ),
    sessionTickets: Option.getOrUndefined(Option.map(flags.sessionTickets, (typed) => typed === "on")),
    keyLogFile: Option.getOrUndefined(flags.keyLog)
  }
  const { alpnProtocols } = options
  if (alpnProtocols !== undefined && alpnProtocols.includes("h2") !== flags.http2) {
    return yield* usage(
      flags.http2
        ? "--alpn: h2 is missing, which --http2 is for; name it, or leave out one of them"
        : "--alpn: h2 is spoken with --http2; say that in its place"
    )
  }
  const settings = yield* Effect.fromResult(
    Result.mapError(TlsSettings.make(options), ({ message, setting }) =>
      usage(`--${flagOfSetting[setting] ?? "tls-min"}: ${message}`)
    )
  )
  if (settings.unavailable.length > 0) {
    yield* Effect.logWarning(`TLS: of no use here and left out: ${settings.unavailable.join(", ")}`)
  }
  return settings
})

/** The flag that a setting came from. */
const flagOfSetting: { readonly [K in keyof TlsSettings.Options]?: string } = {
  minVersion: "tls-min",
  maxVersion: "tls-max",
  cipherSuites: "ciphers",
  cipherList: "ciphers",
  groups: "groups",
  signatureAlgorithms: "sigalgs",
  alpnProtocols: "alpn"
}

const checkKeyLog = (path: string): Effect.Effect<void, UsageError> =>
  Effect.andThen(
    Effect.try({
      try: () => closeSync(openToAppend(path)),
      catch: (cause) => usage(`--key-log expects a file that can be written; ${path}: ${codeOf(cause)}`)
    }),
    Effect.logWarning(`The secrets of all TLS connections are written to ${path}: whoever has it can read them`)
  )

const clientCertificatesOf = Effect.fnUntraced(function* (
  flags: ServerFlags
): Effect.fn.Return<NodeTls.ClientCertificates | undefined, UsageError> {
  if (flags.clientCa.length === 0 && !flags.clientCaSystem) {
    const stray = (["clientCert", "clientCrl", "clientRevocation"] as const).find((name) => isGiven(flags[name]))
    if (stray === undefined) return undefined
    return yield* usage(`--${flagOf[stray]} needs --client-ca or --client-ca-system: whose certificates are trusted`)
  }
  const ca = yield* Effect.forEach(flags.clientCa, (path) => authoritiesOf("client-ca", path))
  const required = Option.getOrElse(flags.clientCert, () => "required") === "required"
  return { ca, systemCa: flags.clientCaSystem, required, revocation: yield* ClientRevocation.make(flags) }
})

/** What a log calls a client. */
const nameOf = ({ remoteAddress = "?", remotePort = 0 }: Peer): string => authority(remoteAddress, remotePort)

/** What is told of handshakes, in the log. */
const loggingOf = Effect.fnUntraced(function* (
  tlsLog: ServerFlags["tlsLog"]
): Effect.fn.Return<Pick<NodeTls.Options, "onStatus" | "onFailure" | "records">> {
  const what = Option.getOrElse(tlsLog, () => "failures" as const)
  if (what === "off") return {}
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const log = (peer: Peer, message: string) => void runFork(Effect.logInfo(`TLS with ${nameOf(peer)}: ${message}`))
  if (what !== "failures") return { onStatus: log, records: what === "records" }
  // who only looked whether somebody listens is not worth a line
  return { onFailure: (peer, { kind, message }) => (kind === "Unused" ? undefined : log(peer, message)) }
})

/** TLS as it was asked for. SIGHUP has the certificates read again, and so has a change of their files. */
export const serverOptions = Effect.fnUntraced(function* (
  flags: Typed
): Effect.fn.Return<NodeTls.Options, UsageError, Scope.Scope> {
  const { certPassword } = flags
  const password = Option.isNone(certPassword) ? undefined : yield* variable("cert-password-env", certPassword.value)
  const keys = yield* keysOf(flags)
  const settings = yield* settingsOf(flags)
  const clientCertificates = yield* clientCertificatesOf(flags)
  if (flags.alsoPlain && clientCertificates?.required === true) {
    return yield* usage(
      "--also-plain would let in clients without a certificate, whom --client-ca keeps out; leave out one of them, or say --client-cert optional"
    )
  }
  const identities = yield* Identities.reloading({
    sources: flags.cert.map((store, i) => ({ type: CertStoreType.cstAuto, store, password, keyFile: keys[i] })),
    otherNames: flags.strictSni ? "refuse" : "choose"
  }).pipe(Effect.mapError((error) => usage(`--cert: ${error.message}`)))
  yield* HangUp.reads(identities.reload)
  if (Option.isSome(flags.keyLog)) yield* checkKeyLog(flags.keyLog.value)
  return {
    identities,
    settings,
    plaintext: flags.alsoPlain,
    clientCertificates,
    ...(yield* loggingOf(flags.tlsLog))
  }
})
