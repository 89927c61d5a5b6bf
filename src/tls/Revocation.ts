/**
 * Whether a certificate that is otherwise fine has been revoked: by its issuer's revocation lists (CRL, RFC 5280 section 5) and
 * by asking its issuer's responder (OCSP, RFC 6960). Both are off by default, since a check connects to whatever addresses the
 * certificate names.
 *
 * | mode | the certificate names a list or a responder | it names none |
 * | --- | --- | --- |
 * | `off` | – | – |
 * | `ifNamed` | it must say that the certificate is good | as if the check were off |
 * | `required` | it must say that the certificate is good | fails |
 *
 * Only addresses of `http:` count. Every answer has a signature, which is verified to be that of the certificate's issuer or,
 * with OCSP, of a responder that the issuer has authorized; signatures by SHA-1 and MD5 are not accepted. A responder's own
 * certificate is not checked for revocation, and neither are those of the issuers.
 *
 * @since 0.1.0
 */
import * as Cache from "effect/Cache"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Hash from "effect/Hash"
import { type KeyObject, randomBytes } from "node:crypto"
import { duration, integer, number } from "../protocol/internal/option.ts"
import type { Certificate } from "./Certificate.ts"
import * as Crl from "./internal/crl.ts"
import * as Ocsp from "./internal/ocsp.ts"
import * as Pem from "./internal/pem.ts"
import * as Revocable from "./internal/revocable.ts"
import { sameKey } from "./internal/sameKey.ts"
import * as Signature from "./internal/signature.ts"
import {
  BadSignature,
  Outdated,
  RevocationError,
  type RevocationErrorReason,
  Revoked,
  type Source,
  Unavailable,
  UnknownCertificate,
  words
} from "./RevocationError.ts"

/**
 * See the table at the head of this module.
 *
 * @category models
 * @since 0.1.0
 */
export type Mode = "off" | "ifNamed" | "required"

/**
 * What is checked, and how much is fetched for it. Everything has a default: nothing is checked.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Default: `"off"`. */
  readonly crl?: Mode | undefined
  /** Default: `"off"`. */
  readonly ocsp?: Mode | undefined
  /**
   * Revocation lists in DER, or in PEM, where one text may have several. They are looked in before any is fetched: for the
   * certificates of their issuers.
   */
  readonly crls?: ReadonlyArray<string | Uint8Array> | undefined
  /** Whether OCSP asks with a nonce, which an answer must repeat if it has one. Default: `false`. */
  readonly nonce?: boolean | undefined
  /** How long one fetch may take. Default: 5 seconds. */
  readonly timeout?: Duration.Input | undefined
  /** The most bytes of a list; an OCSP response has 64 KiB at most. Default: 8 MiB. */
  readonly maxSize?: number | undefined
  /** The most addresses of a certificate that are tried, for each of the two checks. Default: 3. */
  readonly maxAddresses?: number | undefined
  /** How long lists and answers are used at most; never longer than they say themselves. Default: 12 hours. */
  readonly maxAge?: Duration.Input | undefined
  /** How far clocks may be apart. Default: 5 minutes. */
  readonly clockSkew?: Duration.Input | undefined
}

const failed = (reason: RevocationErrorReason) => new RevocationError({ reason })

/**
 * `good`: a list or a responder said so. `unchecked`: there was nothing to ask.
 *
 * @category models
 * @since 0.1.0
 */
export type Verdict = "good" | "unchecked"

/**
 * Checks whether certificates are revoked.
 *
 * @category services
 * @since 0.1.0
 */
export class Revocation extends Context.Service<
  Revocation,
  {
    /** Checks a certificate, whose issuer the caller trusts. */
    readonly check: (certificate: Certificate, issuer: Certificate) => Effect.Effect<Verdict, RevocationError>
  }
>()("effect-websocket/tls/Revocation") {}

/**
 * What is to be fetched.
 *
 * @category models
 * @since 0.1.0
 */
export interface Request {
  readonly url: URL
  /** What is sent, by POST; without it, it is a GET. */
  readonly body?: { readonly type: string; readonly bytes: Uint8Array } | undefined
  readonly accept: string
  /** More than this must not be read. */
  readonly maxSize: number
}

/**
 * A list or an answer could not be fetched.
 *
 * @category errors
 * @since 0.1.0
 */
export class FetchError extends Data.TaggedError("FetchError")<{
  /** A sentence without its capital and full stop. */
  readonly message: string
  /** The status of an answer that is not 200. */
  readonly status?: number | undefined
  readonly cause?: unknown
}> {}

/**
 * Fetches over HTTP. An interruption ends it.
 *
 * @category models
 * @since 0.1.0
 */
export type Fetch = (request: Request) => Effect.Effect<Uint8Array, FetchError>

/** The most bytes of an OCSP response. */
const maxResponse = 64 * 1024

/** The most bytes of a GET for OCSP (RFC 5019 section 5). */
const maxGet = 255

const maxUrl = 2048

/** How old an answer may be that does not say when there will be another, in milliseconds. */
const freshness = 24 * 3600 * 1000

/** One address, asked about one certificate or for one issuer's list: the same questions are asked but once. */
class Question implements Equal.Equal {
  readonly url: URL
  readonly certificate: Revocable.Revocable
  private readonly id: string
  constructor(url: URL, certificate: Revocable.Revocable, subject: string) {
    this.url = url
    this.certificate = certificate
    this.id = `${certificate.issuer.fingerprint256} ${subject} ${url.href}`
  }
  [Equal.symbol](that: unknown): boolean {
    return that instanceof Question && that.id === this.id
  }
  [Hash.symbol](): number {
    return Hash.string(this.id)
  }
}

const urlsOf = (named: ReadonlyArray<string>): ReadonlyArray<URL> =>
  named.flatMap((url) => {
    const parsed = url.length <= maxUrl && URL.canParse(url) ? new URL(url) : undefined
    return parsed?.protocol === "http:" && parsed.username === "" && parsed.password === "" ? [parsed] : []
  })

/** Runs what throws at bytes that are not what they should be. */
const reading = <A>(source: Source, url: string | undefined, read: () => A): Effect.Effect<A, RevocationError> =>
  Effect.try({
    try: read,
    catch: (cause) =>
      failed(new Unavailable({ source, url, why: cause instanceof Error ? cause.message : String(cause), cause }))
  })

/** The lists of a file in DER, which is one, or in PEM, which may be several, one behind the other. */
const readLists = (file: string | Uint8Array): ReadonlyArray<Crl.Crl> => {
  const text = typeof file === "string" ? file : Buffer.from(file).toString("latin1")
  const blocks = file[0] === 0x30 ? [] : Pem.parseWhole(text).filter(({ label }) => label === "X509 CRL")
  if (blocks.length > 0) return blocks.map(({ bytes }) => Crl.parse(bytes))
  return [Crl.parse(typeof file === "string" ? Buffer.from(file, "base64") : file)]
}

/**
 * A check of revocation that fetches by `fetch`. It fails if one of the given lists cannot be read.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: Options,
  fetch: Fetch
): Effect.fn.Return<Revocation["Service"], RevocationError> {
  const { crl = "off", nonce = false, ocsp = "off" } = options
  const maxAddresses = integer("maxAddresses", options.maxAddresses, 3)
  const maxSize = number("maxSize", options.maxSize, 8 * 1024 * 1024)
  const timeout = duration("timeout", options.timeout, "5 seconds", "above 0")
  const maxAge = duration("maxAge", options.maxAge, "12 hours")
  const skew = duration("clockSkew", options.clockSkew, "5 minutes")

  const get = (source: Source, request: Request): Effect.Effect<Uint8Array, FetchError> =>
    Effect.timeoutOrElse(fetch(request), {
      duration: timeout,
      orElse: () =>
        Effect.fail(new FetchError({ message: `there was no answer in ${Duration.format(Duration.millis(timeout))}` }))
    }).pipe(Effect.tapError(({ message }) => Effect.logDebug(`${source} at ${request.url.href}: ${message}`)))

  const unavailable = (source: Source, url: URL) => (cause: FetchError) =>
    failed(new Unavailable({ source, url: url.href, why: cause.message, cause }))

  const inTime = Effect.fnUntraced(function* (
    source: Source,
    url: string | undefined,
    times: { readonly thisUpdate: number; readonly nextUpdate: number | undefined }
  ) {
    const now = yield* Clock.currentTimeMillis
    const { nextUpdate, thisUpdate } = times
    if (thisUpdate - skew <= now && now <= (nextUpdate ?? thisUpdate + freshness) + skew) return
    return yield* failed(
      new Outdated({
        source,
        url,
        thisUpdate: new Date(thisUpdate),
        nextUpdate: nextUpdate === undefined ? undefined : new Date(nextUpdate)
      })
    )
  })

  /** How long what was fetched is used, by its own word; what failed is asked for again. */
  const timeToLive = (exit: Exit.Exit<{ readonly nextUpdate: number | undefined; readonly asked: number }, unknown>) =>
    Exit.isSuccess(exit) && exit.value.nextUpdate !== undefined
      ? Math.max(0, Math.min(exit.value.nextUpdate - exit.value.asked, maxAge))
      : 0

  /** The key that a list was last found to be signed by. */
  const verified = new WeakMap<Crl.Crl, KeyObject>()

  const signedBy = (list: Crl.Crl, certificate: Revocable.Revocable, url: string | undefined) =>
    Effect.gen(function* () {
      const bad = (why: string) => failed(new BadSignature({ source: "CRL", url, why }))
      if (!certificate.issuerSignsLists) return yield* bad("the certificate's issuer may not sign revocation lists")
      if (Buffer.compare(list.issuerName, certificate.issuerName) !== 0)
        return yield* bad("the list is by another issuer")
      const key = certificate.issuer.publicKey
      // of a given list it would be verified again for each certificate, and it may be long
      if (sameKey(verified.get(list), key)) return
      const good = yield* reading("CRL", url, () => Signature.isOf(list, key))
      if (!good) return yield* bad("the signature of the list is wrong")
      verified.set(list, key)
    })

  const lists = yield* Cache.makeWith(
    Effect.fnUntraced(function* ({ certificate, url }: Question) {
      const request: Request = { url, accept: "application/pkix-crl, */*", maxSize }
      const bytes = yield* Effect.mapError(get("CRL", request), unavailable("CRL", url))
      const list = yield* reading("CRL", url.href, () => readLists(bytes)[0]!)
      yield* signedBy(list, certificate, url.href)
      yield* inTime("CRL", url.href, list)
      return { list, nextUpdate: list.nextUpdate, asked: yield* Clock.currentTimeMillis }
    }),
    // each may be large
    { capacity: 8, timeToLive }
  )

  const askResponder = ({ certificate, url }: Question, sent: Uint8Array | undefined) => {
    const bytes = Ocsp.request(certificate, sent)
    const base = url.href.endsWith("/") ? url.href : `${url.href}/`
    const short = `${base}${encodeURIComponent(Buffer.from(bytes).toString("base64"))}`
    const request: Request = { url, accept: "application/ocsp-response", maxSize: Math.min(maxSize, maxResponse) }
    const post = get("OCSP", { ...request, body: { type: "application/ocsp-request", bytes } })
    // a GET can be answered by a cache, but not with a nonce; some responders do not know it
    return sent !== undefined || short.length > maxGet || url.search !== ""
      ? post
      : Effect.catchIf(
          get("OCSP", { ...request, url: new URL(short) }),
          (error) => error.status !== undefined,
          () => post
        )
  }

  const answers = yield* Cache.makeWith(
    Effect.fnUntraced(function* (question: Question) {
      const { certificate, url } = question
      const sent = nonce ? randomBytes(16) : undefined
      const bytes = yield* Effect.mapError(askResponder(question, sent), unavailable("OCSP", url))
      const now = yield* Clock.currentTimeMillis
      const response = yield* reading("OCSP", url.href, () => Ocsp.parse(bytes))
      const bad = (why: string) => failed(new BadSignature({ source: "OCSP", url: url.href, why }))
      const wrong = yield* reading("OCSP", url.href, () => Ocsp.notSigned(response, certificate, now))
      if (wrong !== undefined) return yield* bad(wrong)
      if (sent !== undefined && response.nonce !== undefined && Buffer.compare(sent, response.nonce) !== 0) {
        return yield* bad("the response is to another request: its nonce is not ours")
      }
      const answer = yield* reading("OCSP", url.href, () => Ocsp.answerOf(response, certificate))
      if (answer === undefined) {
        const why = "the response is about other certificates"
        return yield* failed(new Unavailable({ source: "OCSP", url: url.href, why }))
      }
      yield* inTime("OCSP", url.href, answer)
      return { status: answer.status, nextUpdate: answer.nextUpdate, asked: now }
    }),
    { capacity: 1024, timeToLive }
  )

  /** What the list says of the certificate. */
  const lookIn = (list: Crl.Crl, certificate: Revocable.Revocable, url: string | undefined) =>
    Effect.flatMap(
      reading("CRL", url, () => Crl.find(list, certificate.serialNumber)),
      (entry) => {
        if (entry !== undefined) {
          return Effect.fail(failed(new Revoked({ source: "CRL", url, at: new Date(entry.at), why: entry.reason })))
        }
        const why = Crl.notFor(list, certificate)
        return why === undefined ? Effect.void : Effect.fail(failed(new Unavailable({ source: "CRL", url, why })))
      }
    )

  const askList = (question: Question) =>
    Effect.flatMap(Cache.get(lists, question), ({ list }) => lookIn(list, question.certificate, question.url.href))

  const askOcsp = (question: Question) =>
    Effect.flatMap(Cache.get(answers, question), ({ status }) => {
      const url = question.url.href
      switch (status._tag) {
        case "Good":
          return Effect.void
        case "Unknown":
          return Effect.fail(failed(new UnknownCertificate({ source: "OCSP", url })))
        case "Revoked":
          return Effect.fail(failed(new Revoked({ source: "OCSP", url, at: new Date(status.at), why: status.reason })))
      }
    })

  /** Asks one after the other until one says yes or no. */
  const askAll = (
    source: Source,
    mode: Mode,
    asks: ReadonlyArray<Effect.Effect<void, RevocationError>>
  ): Effect.Effect<Verdict, RevocationError> => {
    const [first, ...others] = asks
    if (first === undefined) {
      const why = `the certificate names no ${words[source]} at an address of http:`
      return mode === "required"
        ? Effect.fail(failed(new Unavailable({ source, url: undefined, why })))
        : Effect.succeed("unchecked")
    }
    const all = others.reduce(
      (before, next) =>
        Effect.catchIf(
          before,
          ({ reason }) => reason._tag !== "Revoked" && reason._tag !== "UnknownCertificate",
          () => next
        ),
      first
    )
    return Effect.as(all, "good")
  }

  const files = yield* Effect.forEach(options.crls ?? [], (file) =>
    Effect.mapError(
      reading("CRL", undefined, () => readLists(file)),
      ({ message }) =>
        failed(new Unavailable({ source: "CRL", url: undefined, why: `a given list cannot be read: ${message}` }))
    )
  )
  // the newest of an issuer is the one that counts
  const given = files.flat().toSorted((a, b) => b.thisUpdate - a.thisUpdate)

  const askGiven = (list: Crl.Crl, certificate: Revocable.Revocable) =>
    signedBy(list, certificate, undefined).pipe(
      Effect.andThen(inTime("CRL", undefined, list)),
      Effect.andThen(lookIn(list, certificate, undefined))
    )

  const checkList = (certificate: Revocable.Revocable) => {
    const own = given.filter((list) => Buffer.compare(list.issuerName, certificate.issuerName) === 0)
    const named = urlsOf(certificate.lists).slice(0, maxAddresses)
    return askAll("CRL", crl, [
      ...own.map((list) => askGiven(list, certificate)),
      ...named.map((url) => askList(new Question(url, certificate, "")))
    ])
  }

  const checkResponder = (certificate: Revocable.Revocable) => {
    const subject = Buffer.from(certificate.serialNumber).toString("hex")
    const named = urlsOf(certificate.responders).slice(0, maxAddresses)
    return askAll(
      "OCSP",
      ocsp,
      named.map((url) => askOcsp(new Question(url, certificate, subject)))
    )
  }

  return {
    check: Effect.fnUntraced(function* (certificate, issuer) {
      if (ocsp === "off" && crl === "off") return "unchecked"
      const source = ocsp === "off" ? "CRL" : "OCSP"
      const revocable = yield* reading(source, undefined, () => {
        if (certificate.x509 === undefined || issuer.x509 === undefined || !isIssuer(issuer, certificate)) {
          throw new Error("the certificate's issuer is not known")
        }
        return Revocable.read(certificate.x509, issuer.x509)
      })
      const said = ocsp === "off" ? "unchecked" : yield* checkResponder(revocable)
      const listed = crl === "off" ? "unchecked" : yield* checkList(revocable)
      return said === "good" ? said : listed
    })
  }
})

const isIssuer = (issuer: Certificate, { x509 }: Certificate): boolean =>
  issuer.x509 !== undefined && x509?.checkIssued(issuer.x509) === true && x509.verify(issuer.x509.publicKey)
