/**
 * The keys that JSON Web Tokens are verified with: from PEM, a JWK or a JWK set (RFC 7517) as text, a shared secret, or the
 * address where an issuer publishes its set. The kind of a key determines which algorithms it may verify, when it is read, and
 * never the token (RFC 8725 section 3.1): an RSA key takes RS* and PS*, a curve its own algorithm, a secret HS*, and nothing
 * takes `none`.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Fiber from "effect/Fiber"
import type * as Jose from "jose"
import { duration } from "../protocol/internal/option.ts"
import type * as BoundedGet from "./internal/boundedGet.ts"

/**
 * A key that verifies signatures.
 *
 * @category models
 * @since 0.1.0
 */
export interface Key {
  /** The name that a token calls it by (`kid`), if it has one. */
  readonly id: string | undefined
  /** The algorithms that it may verify. */
  readonly algorithms: ReadonlyArray<string>
  readonly key: Jose.JWK | Uint8Array
}

/**
 * Finds the keys that a token may be signed with, by the algorithm and the name (`kid`) that it claims. There may be none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Keys {
  readonly find: (algorithm: string, id: string | undefined) => Effect.Effect<ReadonlyArray<Key>, JwtKeysError>
}

/**
 * The keys cannot be loaded, or the text is no key. The message says what was expected; nothing of a secret is in it.
 *
 * @category errors
 * @since 0.1.0
 */
export class JwtKeysError extends Data.TaggedError("JwtKeysError")<{ readonly message: string }> {}

const wrong = (message: string) => new JwtKeysError({ message })

/** The most keys of a set: a token without a `kid` is tried with each that fits. */
const maxKeys = 32

/** jose is loaded when a key is, and not by whoever has no tokens. */
const jose: Effect.Effect<typeof Jose> = Effect.promise(() => import("jose"))

/** So is what fetches a set. */
const boundedGet: Effect.Effect<typeof BoundedGet> = Effect.promise(() => import("./internal/boundedGet.ts"))

const rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
const curves: ReadonlyMap<string, ReadonlyArray<string>> = new Map([
  ["P-256", ["ES256"]],
  ["P-384", ["ES384"]],
  ["P-521", ["ES512"]],
  // RFC 8037 section 3.1, and RFC 9864 section 2.2, which names the curve
  ["Ed25519", ["EdDSA", "Ed25519"]]
])

/** RFC 7518 section 3.2: a secret has as many bits as the hash, or more. */
const hmac = (bytes: number): ReadonlyArray<string> => [
  ...(bytes >= 32 ? ["HS256"] : []),
  ...(bytes >= 48 ? ["HS384"] : []),
  ...(bytes >= 64 ? ["HS512"] : [])
]

const secretKey = (bytes: Uint8Array, id?: string): Effect.Effect<Key, JwtKeysError> =>
  bytes.length < 32
    ? Effect.fail(wrong(`a secret has 32 bytes at least (RFC 7518 section 3.2); this one has ${bytes.length}`))
    : Effect.succeed({ id, algorithms: hmac(bytes.length), key: bytes })

/** What the kind of a JWK may verify. */
const algorithmsOf = (jwk: Jose.JWK): ReadonlyArray<string> | undefined =>
  jwk.kty === "RSA" ? rsa : jwk.kty === "EC" || jwk.kty === "OKP" ? curves.get(jwk.crv ?? "") : undefined

const fromJwk = Effect.fnUntraced(function* (jwk: Jose.JWK): Effect.fn.Return<Key, JwtKeysError> {
  const { base64url, importJWK } = yield* jose
  const narrowed = (key: Key): Effect.Effect<Key, JwtKeysError> => {
    if (jwk.alg === undefined) return Effect.succeed(key)
    // RFC 7517 section 4.4: it says so itself
    return key.algorithms.includes(jwk.alg)
      ? Effect.succeed({ ...key, algorithms: [jwk.alg] })
      : Effect.fail(wrong(`a key of the kind ${jwk.kty} cannot be for the algorithm ${JSON.stringify(jwk.alg)}`))
  }
  if (jwk.kty === "oct") {
    const bytes = yield* Effect.try({
      try: () => base64url.decode(jwk.k ?? ""),
      catch: () => wrong("a key of the kind oct has its secret in base64url as k")
    })
    return yield* Effect.flatMap(secretKey(bytes, jwk.kid), narrowed)
  }
  const algorithms = algorithmsOf(jwk)
  if (algorithms === undefined) {
    return yield* wrong("expected keys of the kinds RSA, EC (P-256, P-384, P-521), OKP (Ed25519) or oct")
  }
  if (jwk.d !== undefined) return yield* wrong("the key is private; only the public one is needed to verify")
  const key = yield* narrowed({ id: jwk.kid, algorithms, key: jwk })
  const imported = yield* Effect.tryPromise({
    try: () => importJWK(jwk, key.algorithms[0]!),
    catch: () => wrong("a JWK cannot be used: its numbers are no key")
  })
  // RFC 7518 section 3.3
  const bits =
    "algorithm" in imported && "modulusLength" in imported.algorithm ? imported.algorithm.modulusLength : 2048
  if (typeof bits === "number" && bits < 2048) {
    return yield* wrong(`an RSA key has 2048 bits at least (RFC 7518 section 3.3); this one has ${bits}`)
  }
  return key
})

/** One of each kind: which of them a key in PEM is, is found out by trying. */
const kinds = ["RS256", "ES256", "ES384", "ES512", "Ed25519"]

const fromPem = Effect.fnUntraced(function* (pem: string): Effect.fn.Return<Key, JwtKeysError> {
  if (/PRIVATE KEY-----/.test(pem)) {
    return yield* wrong("the key is private; only the public one is needed to verify (openssl pkey -pubout)")
  }
  const { exportJWK, importSPKI, importX509 } = yield* jose
  const read = pem.includes("BEGIN CERTIFICATE") ? importX509 : importSPKI
  const tried = kinds.map((kind) =>
    Effect.tryPromise({
      try: async () => exportJWK(await read(pem, kind, { extractable: true })),
      catch: () =>
        wrong("expected a public key (BEGIN PUBLIC KEY) of RSA, P-256, P-384, P-521 or Ed25519, or a certificate")
    })
  )
  return yield* Effect.flatMap(Effect.firstSuccessOf(tried), fromJwk)
})

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The keys of a set that are there to verify; an issuer may have others in it, which are no fault of it. */
const jwksOf = (value: unknown): ReadonlyArray<Jose.JWK> | undefined => {
  const list = isObject(value) && "keys" in value ? value["keys"] : [value]
  if (!Array.isArray(list) || !list.every((one): one is Jose.JWK => isObject(one) && typeof one["kty"] === "string")) {
    return undefined
  }
  return list.filter(({ use }) => use !== "enc")
}

const parseJson = (text: string): Effect.Effect<ReadonlyArray<Jose.JWK>, JwtKeysError> =>
  Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: () => wrong("expected a key in PEM, a JWK or a JWK set; what begins like JSON is none")
  }).pipe(
    Effect.flatMap((value) => {
      const jwks = jwksOf(value)
      return jwks === undefined ? Effect.fail(wrong("expected a JWK or a JWK set (RFC 7517)")) : Effect.succeed(jwks)
    })
  )

const pick = (keys: ReadonlyArray<Key>, algorithm: string, id: string | undefined): ReadonlyArray<Key> =>
  keys.filter(
    (key) => key.algorithms.includes(algorithm) && (key.id === undefined || id === undefined || key.id === id)
  )

const fixed = (keys: ReadonlyArray<Key>): Effect.Effect<Keys, JwtKeysError> =>
  keys.length === 0 || keys.length > maxKeys
    ? Effect.fail(wrong(`expected from 1 to ${maxKeys} keys, got ${keys.length}`))
    : Effect.succeed({ find: (algorithm, id) => Effect.succeed(pick(keys, algorithm, id)) })

/**
 * Keys from text: one or more public keys or certificates in PEM, a JWK, or a JWK set. Text that is none of them is refused and
 * never taken for a secret: a public key that is a secret by mistake would let anyone sign.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromText = (text: string): Effect.Effect<Keys, JwtKeysError> => {
  const trimmed = text.trim()
  if (/^[[{]/.test(trimmed)) {
    return Effect.flatMap(parseJson(trimmed), (jwks) => Effect.flatMap(Effect.forEach(jwks, fromJwk), fixed))
  }
  const blocks = trimmed.match(/-----BEGIN ([A-Z0-9 ]+)-----[^-]+-----END \1-----/g) ?? []
  return blocks.length === 0
    ? Effect.fail(wrong("expected a public key in PEM, a certificate, a JWK or a JWK set; it is none of them"))
    : Effect.flatMap(Effect.forEach(blocks, fromPem), fixed)
}

/**
 * A secret that the issuer has, too (HS256, HS384 and HS512, as far as it is long enough): the bytes of this text.
 *
 * @category constructors
 * @since 0.1.0
 */
export const secret = (value: Redacted.Redacted<string>): Effect.Effect<Keys, JwtKeysError> =>
  Effect.flatMap(secretKey(new TextEncoder().encode(Redacted.value(value))), (key) => fixed([key]))

/**
 * When a published set is fetched. Everything has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface RemoteOptions {
  /** How long a set is used before it is fetched again. Default: 10 minutes. */
  readonly timeToLive?: Duration.Input | undefined
  /** How long after that it is used while it cannot be fetched. Default: 1 hour. */
  readonly staleTime?: Duration.Input | undefined
  /** The time between two fetches at least, whatever tokens come. Default: 30 seconds. */
  readonly cooldown?: Duration.Input | undefined
  /** How long a fetch may take. Default: 5 seconds. */
  readonly fetchTimeout?: Duration.Input | undefined
}

/** The largest set, in bytes. */
const maxSize = 256 * 1024

const loopback = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

/**
 * The keys that an issuer publishes (`jwks_uri`), fetched when the first token asks for them, and again when they are old or a
 * token names one that is not there. The address must be https, or http on this machine: whoever can change the answer can sign
 * tokens. Secret keys in the set are ignored, since they are public.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromUrl = Effect.fnUntraced(function* (
  url: string,
  options: RemoteOptions = {}
): Effect.fn.Return<Keys, JwtKeysError> {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  const isSafe = parsed?.protocol === "https:" || (parsed?.protocol === "http:" && loopback.test(parsed.hostname))
  if (parsed === undefined || !isSafe || parsed.username !== "") {
    return yield* wrong(
      "expected the https address of a JWK set, without a user or password (http of this machine is taken)"
    )
  }
  const clock = yield* Clock.Clock
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const timeToLive = duration("timeToLive", options.timeToLive, "10 minutes")
  const staleTime = duration("staleTime", options.staleTime, "1 hour")
  const cooldown = duration("cooldown", options.cooldown, "30 seconds")
  const timeout = duration("fetchTimeout", options.fetchTimeout, "5 seconds", "above 0")
  let keys: ReadonlyArray<Key> | undefined
  let fetched = -Infinity
  let tried = -Infinity

  const load = boundedGet.pipe(
    Effect.flatMap(({ fetch }) => fetch(parsed, { maxSize, timeout })),
    Effect.flatMap(({ status, text }) =>
      status === 200 ? Effect.succeed(text) : Effect.fail({ message: `it answers with HTTP status ${status}` })
    ),
    Effect.mapError(({ cause, message }: BoundedGet.Fault) =>
      wrong(`the keys cannot be fetched from ${parsed.host}: ${message}${cause === undefined ? "" : ` (${cause})`}`)
    ),
    Effect.flatMap(parseJson),
    Effect.flatMap((jwks) =>
      Effect.forEach(
        jwks.filter(({ kty }) => kty !== "oct").slice(0, maxKeys),
        // an issuer may have keys of kinds that are not known here, for others
        (jwk) => Effect.catch(fromJwk(jwk), () => Effect.succeed(undefined))
      )
    ),
    Effect.map((all) => all.filter((key) => key !== undefined))
  )

  const isOld = () => clock.currentTimeMillisUnsafe() - fetched > timeToLive
  const mayTry = () => clock.currentTimeMillisUnsafe() - tried >= cooldown

  let loading: Fiber.Fiber<void> | undefined

  /** In a fiber of its own, bounded by `fetchTimeout`: the client that asked first may go away, and others wait for the same. */
  const loadNow = Effect.matchEffect(load, {
    onSuccess: (all) =>
      Effect.sync(() => {
        keys = all
        fetched = clock.currentTimeMillisUnsafe()
      }),
    onFailure: ({ message }) => Effect.logWarning(`Tokens: ${message}`)
  }).pipe(
    Effect.catchCause((cause) => Effect.logError("Tokens: the keys could not be read", cause)),
    Effect.ensuring(Effect.sync(() => void (loading = undefined)))
  )

  /** Waits for a fetch, which begins if none is under way. */
  const refresh = Effect.suspend(() => {
    if (loading === undefined && mayTry()) {
      tried = clock.currentTimeMillisUnsafe()
      loading = runFork(loadNow)
    }
    return loading === undefined ? Effect.void : Effect.asVoid(Fiber.await(loading))
  })

  return {
    find: Effect.fnUntraced(function* (algorithm, id) {
      const look = () => (keys === undefined ? [] : pick(keys, algorithm, id))
      if (isOld() || look().length === 0) yield* refresh
      if (keys === undefined || clock.currentTimeMillisUnsafe() - fetched > timeToLive + staleTime) {
        return yield* wrong(`the keys of ${parsed.host} are not to be had`)
      }
      return look()
    })
  }
})
