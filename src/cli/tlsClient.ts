/**
 * What the flags of TLS have in common, whatever they are called: whom to trust, and what to present as a client.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Certificate } from "../tls/Certificate.ts"
import type * as TlsClient from "../tls/TlsClient.ts"
import type { UsageError } from "./Address.ts"
import { readFile, usage, variable } from "./typed.ts"

/** The certificates of authorities in a file that a flag names. */
export const authoritiesOf = Effect.fnUntraced(function* (
  flag: string,
  path: string
): Effect.fn.Return<string, UsageError> {
  const pem = yield* readFile(flag, path)
  const Authorities = yield* Effect.promise(() => import("../tls/internal/authorities.ts"))
  const read = Authorities.read([pem])
  return Result.isSuccess(read) ? pem : yield* usage(`--${flag} ${path}: ${read.failure.message}`)
})

/** The same, if the flag is given. */
export const authorities = (flag: string, path: Option.Option<string>): Effect.Effect<string | undefined, UsageError> =>
  Option.isNone(path) ? Effect.succeed(undefined) : authoritiesOf(flag, path.value)

/** A flag by its name, and what was typed for it. */
type Typed = readonly [name: string, value: Option.Option<string>]

/** The certificate to present, if one is: of a file, with its key there or in a file of its own. */
export const certificate = Effect.fnUntraced(function* (
  [certFlag, cert]: Typed,
  [keyFlag, key]: Typed,
  [passwordFlag, password]: Typed
): Effect.fn.Return<Certificate | undefined, UsageError> {
  if (Option.isNone(cert)) {
    return Option.isNone(key) && Option.isNone(password)
      ? undefined
      : yield* usage(`--${keyFlag} and --${passwordFlag} are for --${certFlag}, which is missing`)
  }
  const CertificateStore = yield* Effect.promise(() => import("../tls/CertificateStore.ts"))
  const { cstAuto, cstPEMKeyBlob } = CertificateStore.CertStoreType
  const secret = Option.isNone(password) ? undefined : yield* variable(passwordFlag, password.value)
  // said by the flag's name, and not as a store that cannot be opened
  const pem = yield* readFile(certFlag, cert.value)
  const store = Option.isNone(key)
    ? { type: cstAuto, store: cert.value }
    : { type: cstPEMKeyBlob, store: `${pem}\n${yield* readFile(keyFlag, key.value)}` }
  const certificate = yield* Effect.mapError(CertificateStore.load({ ...store, password: secret }), ({ message }) =>
    usage(`--${certFlag}: ${message}`)
  )
  if (certificate.privateKey !== undefined) return certificate
  return yield* usage(`--${certFlag} ${cert.value} has no private key; give its file with --${keyFlag}`)
})

/** Options that a client of TLS can be made of: what cannot be used is told now, and not at each connection. */
export const usable = Effect.fnUntraced(function* (
  flag: string | Readonly<Record<TlsClient.TlsClientError["kind"], string>>,
  options: TlsClient.Options
): Effect.fn.Return<TlsClient.Options, UsageError> {
  const TlsClient = yield* Effect.promise(() => import("../tls/TlsClient.ts"))
  const client = TlsClient.make(options)
  if (Result.isSuccess(client)) return options
  const { kind, message } = client.failure
  return yield* usage(`--${typeof flag === "string" ? flag : flag[kind]}: ${message}`)
})
