/**
 * The certificates of a server: the service that chooses one for each client, by its ClientHello.
 *
 * - {@link one} has a single certificate for everybody.
 * - {@link several} chooses by the name that the client asks for (RFC 6066 section 3, RFC 9525 section 6: an exact name, then a
 *   wildcard of one label) and among those by what the client can use, so that RSA and ECDSA certificates may share a name. If no
 *   certificate has the name, it chooses among all, the first before the others.
 * - {@link reloading} does the same with certificates of stores on disk, which it reads again when their files change.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { statSync } from "node:fs"
import * as tls from "node:tls"
import { duration } from "../protocol/internal/option.ts"
import type { Certificate } from "./Certificate.ts"
import * as CertificateStore from "./CertificateStore.ts"
import type { ClientHello } from "./ClientHello.ts"
import * as Choosing from "./internal/choosing.ts"
import { type Followed, follow } from "./internal/follow.ts"
import { whyNot } from "./internal/regularFile.ts"
import { sameKey } from "./internal/sameKey.ts"
import * as TlsSettings from "./TlsSettings.ts"

/**
 * The server has no certificate for this client.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoIdentity extends Data.TaggedError("NoIdentity")<{
  /** The name that the client asked for. */
  readonly serverName: string | undefined
  /** The names that there are certificates for. */
  readonly names: ReadonlyArray<string>
}> {
  override get message(): string {
    const asked = this.serverName === undefined ? "without a server name" : `for ${JSON.stringify(this.serverName)}`
    const few = this.names.slice(0, 5).join(", ") || "no name"
    return `there is no certificate for a client that asks ${asked}; there are some for ${few}`
  }
}

/**
 * The two ends of the TCP connection of a client.
 *
 * @category models
 * @since 0.1.0
 */
export interface Client {
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
  readonly localAddress?: string | undefined
  readonly localPort?: number | undefined
}

/**
 * See the head of this module.
 *
 * @category services
 * @since 0.1.0
 */
export class Identities extends Context.Service<
  Identities,
  {
    /** Chooses a certificate, which has to have its private key; `NoIdentity` ends the handshake with an alert. */
    readonly choose: (hello: ClientHello, client: Client) => Effect.Effect<Certificate, NoIdentity>
    /**
     * The certificate, as long as `choose` gives this one to every client. A listener that needs nothing else of the ClientHello
     * then does not read it, which costs less. Default: there is none.
     */
    readonly forAll?: (() => Certificate | undefined) | undefined
    /** Reads the certificates again, if they come from files. A broken one is refused, and the old one kept. */
    readonly reload: Effect.Effect<void, CertificateStore.CertificateStoreError>
  }
>()("effect-websocket/tls/Identities") {}

/**
 * The same certificate for everybody.
 *
 * @category constructors
 * @since 0.1.0
 */
export const one = (certificate: Certificate): Identities["Service"] => {
  const chosen = Effect.succeed(certificate)
  return { choose: () => chosen, forAll: () => certificate, reload: Effect.void }
}

/**
 * A choice of one's own.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (choose: Identities["Service"]["choose"]): Identities["Service"] => ({
  choose,
  reload: Effect.void
})

/**
 * A certificate, and the names that it is for.
 *
 * @category models
 * @since 0.1.0
 */
export interface Named {
  readonly certificate: Certificate
  /** Names and wildcards such as `*.example.com`. Default: the DNS names of the certificate itself. */
  readonly names?: ReadonlyArray<string> | undefined
}

/**
 * What clients get that ask for another name. Everything has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface SeveralOptions {
  /** What happens to a client that asks for another name, or for none. Default: `choose`, among all certificates. */
  readonly otherNames?: "choose" | "refuse" | undefined
}

/** Certificates by the names that they are for. */
class Directory {
  private readonly byName = new Map<string, Array<Certificate>>()
  private readonly all: ReadonlyArray<Certificate>

  constructor(entries: ReadonlyArray<Named>) {
    this.all = entries.map(({ certificate }) => certificate)
    for (const { certificate, names } of entries) {
      for (const name of new Set(names?.map(Choosing.normalize) ?? Choosing.namesOf(certificate))) {
        const others = this.byName.get(name)
        if (others === undefined) this.byName.set(name, [certificate])
        else others.push(certificate)
      }
    }
  }

  /** The only one, if nobody is refused it. */
  only({ otherNames }: SeveralOptions): Certificate | undefined {
    return this.all.length === 1 && otherNames !== "refuse" ? this.all[0] : undefined
  }

  choose(hello: ClientHello, options: SeveralOptions): Result.Result<Certificate, NoIdentity> {
    const { serverName } = hello
    const name = Choosing.normalize(serverName ?? "")
    const named = [...(this.byName.get(name) ?? []), ...(this.byName.get(Choosing.wildcardOf(name) ?? "") ?? [])]
    const candidates = named.length === 0 && options.otherNames !== "refuse" ? this.all : named
    const chosen = candidates.find((it) => Choosing.isUsable(it, hello)) ?? candidates[0]
    return chosen === undefined
      ? Result.fail(new NoIdentity({ serverName, names: [...this.byName.keys()] }))
      : Result.succeed(chosen)
  }
}

/**
 * Chooses by the name that the client asks for, and by what it can use.
 *
 * @category constructors
 * @since 0.1.0
 */
export const several = (
  certificates: ReadonlyArray<Certificate | Named>,
  options: SeveralOptions = {}
): Identities["Service"] => {
  const directory = new Directory(certificates.map((it) => ("certificate" in it ? it : { certificate: it })))
  return {
    choose: (hello) => Effect.fromResult(directory.choose(hello, options)),
    forAll: () => directory.only(options),
    reload: Effect.void
  }
}

/**
 * A store on disk or in memory, which certificate of it, and for which names that is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Source extends CertificateStore.Store {
  /** As in `CertificateStore.select`. Default: the first. */
  readonly subject?: string | undefined
  readonly names?: ReadonlyArray<string> | undefined
}

/**
 * Where certificates come from, and when they are read again. Only `sources` has no default.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReloadingOptions extends SeveralOptions {
  /** At least one. */
  readonly sources: ReadonlyArray<Source>
  /** How often the files are looked at, above 0; `Duration.infinity` leaves it to `reload`. Default: 5 seconds. */
  readonly interval?: Duration.Input | undefined
}

/** The files of a source: they are looked at for changes. */
const filesOf = (source: Source): ReadonlyArray<string> =>
  [CertificateStore.fileOf(source), source.keyFile].filter((path) => path !== undefined)

/** What was the path of a file is not taken for a content when the file is gone. */
const isThere = (path: string) =>
  Effect.try({
    try: () => statSync(path),
    catch: (cause) => {
      const message = `the certificate and its key cannot be read: ${JSON.stringify(path)}: ${whyNot(cause)}`
      return new CertificateStore.CertificateStoreError({
        reason: new CertificateStore.CannotOpenStore({ kind: "FileUnreadable", message, cause })
      })
    }
  })

/** Says so if clients will refuse a certificate for its time. It is served all the same: some clients, or clocks, see it otherwise. */
const warnOfTime = Effect.fnUntraced(function* ({ effectiveDate, expirationDate, subject }: Certificate) {
  const now = yield* Clock.currentTimeMillis
  if (expirationDate !== undefined && expirationDate.getTime() < now) {
    yield* Effect.logWarning(
      `The certificate ${JSON.stringify(subject)} has expired, and clients will refuse it: it was valid until ${expirationDate.toISOString()}`
    )
  } else if (effectiveDate !== undefined && effectiveDate.getTime() > now) {
    yield* Effect.logWarning(
      `The certificate ${JSON.stringify(subject)} is not valid yet, and clients will refuse it: it is valid from ${effectiveDate.toISOString()}`
    )
  }
})

/** A certificate that TLS takes. */
const load = Effect.fnUntraced(function* (source: Source, paths: ReadonlyArray<string>) {
  yield* Effect.forEach(paths, isThere, { discard: true })
  const certificate = yield* Effect.fromResult(
    Result.flatMap(
      CertificateStore.select(yield* CertificateStore.open(source), source.subject ?? "*"),
      CertificateStore.requirePrivateKey
    )
  )
  return yield* Effect.try({
    try: () => {
      tls.createSecureContext(TlsSettings.identity(certificate))
      return certificate
    },
    catch: (cause) => {
      const message = `the certificate ${JSON.stringify(certificate.subject)} cannot be used for TLS: ${String(cause)}`
      return new CertificateStore.CertificateStoreError({
        reason: new CertificateStore.CannotOpenStore({ kind: "Malformed", message, cause })
      })
    }
  })
})

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

/** Whether a client would see no difference. Then the old one stays, and what was made of it is used further. */
const isSame = (a: Certificate, b: Certificate): boolean =>
  a.thumbprintSha256 === b.thumbprintSha256 &&
  a.chain.length === b.chain.length &&
  a.chain.every((der, i) => sameBytes(der, b.chain[i]!)) &&
  sameKey(a.privateKey, b.privateKey)

interface Watched {
  readonly source: Source
  readonly paths: ReadonlyArray<string>
  readonly followed: Followed
  certificate: Certificate
}

/**
 * Certificates of stores, read again when their files change or `reload` is run. All have to be there at first. Later, one that
 * cannot be read or used is logged as an error, and the previous one stays in use. One that has expired is used, and a warning says so.
 * Open connections are not affected.
 *
 * @category constructors
 * @since 0.1.0
 */
export const reloading = Effect.fnUntraced(function* (
  options: ReloadingOptions
): Effect.fn.Return<Identities["Service"], CertificateStore.CertificateStoreError, Scope.Scope> {
  const interval = duration("interval", options.interval, "5 seconds", "above 0")
  const watched = yield* Effect.forEach(
    options.sources,
    Effect.fnUntraced(function* (source): Effect.fn.Return<Watched, CertificateStore.CertificateStoreError> {
      const paths = filesOf(source)
      const followed = follow(paths)
      const certificate = yield* followed.first(load(source, paths))
      yield* warnOfTime(certificate)
      return { source, paths, followed, certificate }
    })
  )
  const list = () => new Directory(watched.map(({ certificate, source: { names } }) => ({ certificate, names })))
  let directory = list()

  const replace = Effect.fnUntraced(function* (entry: Watched) {
    const certificate = yield* load(entry.source, entry.paths)
    if (isSame(entry.certificate, certificate)) return
    entry.certificate = certificate
    directory = list()
    yield* Effect.logInfo(`The certificate ${JSON.stringify(certificate.subject)} was loaded anew`)
    yield* warnOfTime(certificate)
  })
  const logged = (error: CertificateStore.CertificateStoreError) =>
    Effect.logError(`A certificate was not loaded anew, the one of before goes on serving: ${error.message}`)

  const watch = Effect.forEach(watched, (entry) => entry.followed.again(replace(entry), logged), { discard: true })
  if (interval !== Infinity && watched.some(({ paths }) => paths.length > 0)) {
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(interval), watch)))
  }

  return {
    choose: (hello) => Effect.suspend(() => Effect.fromResult(directory.choose(hello, options))),
    forAll: () => directory.only(options),
    reload: Effect.gen(function* () {
      const [, failures] = yield* Effect.partition(watched, replace)
      const [first, ...others] = failures
      yield* Effect.forEach(others, logged)
      if (first !== undefined) return yield* first
    })
  }
})

/**
 * The same certificate for everybody.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (certificate: Certificate): Layer.Layer<Identities> => Layer.succeed(Identities)(one(certificate))

/**
 * {@link several} as a layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSeveral = (
  certificates: ReadonlyArray<Certificate | Named>,
  options: SeveralOptions = {}
): Layer.Layer<Identities> => Layer.succeed(Identities)(several(certificates, options))

/**
 * {@link reloading} as a layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerReloading = (
  options: ReloadingOptions
): Layer.Layer<Identities, CertificateStore.CertificateStoreError> => Layer.effect(Identities)(reloading(options))
