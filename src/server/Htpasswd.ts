/**
 * Users and passwords as Apache's `htpasswd -B` writes them: lines of `user:hash`, hashed with bcrypt and with nothing else. How
 * long a check takes says nothing about whether the user is known. The number of checks at a time, the number that wait and the
 * cost of one are bounded, so that a flood of passwords cannot overload the machine. So is the number of wrong passwords from one
 * address for one user, so that passwords cannot be guessed.
 *
 * A password that was right is remembered for a while as a keyed hash, which is of no use outside of this process: the many
 * connections of one client are one check. bcrypt looks at the first 72 bytes of a password.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import * as Telemetry from "../connection/Telemetry.ts"
import { duration, integer, number } from "../protocol/internal/option.ts"
import type { Facts, Fault } from "./AccessPolicy.ts"
import { keyOf } from "./Admission.ts"
import * as CredentialLines from "./CredentialLines.ts"
import { hmac, hmacKey } from "./internal/digests.ts"
import * as WrongPasswords from "./internal/wrongPasswords.ts"

/**
 * The hash of each user.
 *
 * @category models
 * @since 0.1.0
 */
export type Users = ReadonlyMap<string, string>

const bcrypt = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/

/** The highest cost that is taken unless told: about a quarter of a second. */
const defaultMaxCost = 12

const schemes: ReadonlyArray<readonly [RegExp, string]> = [
  [/^\$apr1\$/, "hashed with MD5"],
  [/^\$1\$/, "hashed with MD5"],
  [/^\{SHA\}/i, "hashed with SHA-1"],
  [/^\$5\$/, "hashed with SHA-256"],
  [/^\$6\$/, "hashed with SHA-512"],
  [/^\$(?:y|7)\$/, "hashed with yescrypt or scrypt"],
  [/^\$argon2/, "hashed with Argon2"],
  [/^\$2/, "hashed with a form of bcrypt that is not known"],
  [/^[./A-Za-z0-9]{13}$/, "hashed with crypt, or not at all"]
]

const parseLine =
  (maxCost: number, seen: Map<string, number>) =>
  (line: string, number: number): Result.Result<readonly [string, string], string> => {
    const colon = line.indexOf(":")
    if (colon <= 0) return Result.fail("expected user:hash, as htpasswd -B writes it")
    const user = line.slice(0, colon).normalize("NFC")
    const hash = line.slice(colon + 1).trim()
    const shown = JSON.stringify(user)
    if (/\p{Cc}/u.test(user)) return Result.fail("a user name has no control characters (RFC 7617 section 2)")
    const before = seen.get(user)
    if (before !== undefined) return Result.fail(`${shown} is in line ${before}, too; leave one of them`)
    seen.set(user, number)
    const cost = Number(bcrypt.exec(hash)?.[1] ?? Number.NaN)
    if (Number.isNaN(cost)) {
      const how = schemes.find(([pattern]) => pattern.test(hash))?.[1] ?? "not hashed"
      return Result.fail(`the password of ${shown} is ${how}; set it anew with htpasswd -B`)
    }
    if (cost < 4 || cost > maxCost) {
      return Result.fail(
        `the password of ${shown} has the cost ${cost}, and from 4 to ${maxCost} is taken; set it anew with htpasswd -B -C 10`
      )
    }
    return Result.succeed([user, hash])
  }

/**
 * Reads a file's text. Every line has to be good: to skip one would lock a user out without a word.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (
  text: string,
  options: { readonly maxCost?: number | undefined } = {}
): Result.Result<Users, CredentialLines.InvalidLine> =>
  Result.map(
    CredentialLines.read(text, parseLine(integer("maxCost", options.maxCost, defaultMaxCost, [4, 31]), new Map())),
    (entries) => new Map(entries)
  )

/**
 * How many checks there may be, and what is remembered of them. Everything has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The most checks at a time, 1 at the least. Default: 1. */
  readonly concurrency?: number | undefined
  /** The most that are checked or wait for it, 1 at the least; more get 503. Default: 64. */
  readonly maxWaiting?: number | undefined
  /**
   * The most of them from one address (of IPv6 a network of 64 bits), 1 at the least, so that it leaves room for others; more get
   * 503. Default: 16.
   */
  readonly maxWaitingPerAddress?: number | undefined
  /**
   * The most wrong passwords for one user from one address (of IPv6 a network of 64 bits) at once, and in a minute after that; more
   * get 429 and the time to come back, right or wrong. Others behind the same address are not held back with it. 16,384 of these
   * pairs are remembered, about 4 MiB; those that were wrong the longest ago are forgotten first. `Infinity` is no limit.
   * Default: 10.
   */
  readonly maxWrongPasswords?: number | undefined
  /** The highest cost of a hash (2^cost rounds) in the file, from 4 to bcrypt's own most, 31. Default: 12. */
  readonly maxCost?: number | undefined
  /** How long a password that was right is remembered; 0 is not at all. Default: 1 minute. */
  readonly remember?: Duration.Input | undefined
  /**
   * Compares a password with a hash, or fails, most likely with `unavailable`, which is no wrong password. Default: `bcryptjs` in
   * this thread; `NodeHtpasswd` has a thread of its own for it.
   */
  readonly compare?: ((password: string, hash: string) => Effect.Effect<boolean, Fault>) | undefined
}

/**
 * Users, as a policy asks for them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Htpasswd {
  /** For `AccessPolicy.basic`. */
  readonly verify: (
    user: string,
    password: Redacted.Redacted<string>,
    client?: { readonly remoteAddress: string | undefined }
  ) => Effect.Effect<Facts, Fault>
}

/** The most passwords that are remembered; those that were right the longest ago go first. */
const maxRemembered = 1024

/** The most whose wrong passwords are remembered. */
const maxGuessers = 16_384

/** Who guesses: an address, for a user. What is longer than a name is one with those that begin like it. */
const guesser = (address: string, user: string): string => `${address} ${user.slice(0, 64)}`

/** Compared with where the file has nobody: cost 10, of a password that nobody knows. */
const nobody = "$2b$10$aXX33lSS3X/EvpYeDi.qtuV9hX2feaiuukVvGfQDbj4YXvLNsBHuW"

const compareHere = (password: string, hash: string): Effect.Effect<boolean> =>
  Effect.promise(async () => (await import("bcryptjs")).default.compare(password, hash))

const proven: Facts = {}

/**
 * Checks passwords against the users of the moment.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  users: () => Users,
  options: Options = {}
): Effect.fn.Return<Htpasswd> {
  const clock = yield* Clock.Clock
  const running = yield* Semaphore.make(integer("concurrency", options.concurrency, 1, [1, Infinity]))
  const compare = options.compare ?? compareHere
  const maxWaiting = integer("maxWaiting", options.maxWaiting, 64, [1, Infinity])
  const remember = duration("remember", options.remember, "1 minute")
  const key = yield* Effect.promise(hmacKey)
  /** Until when a password is known to be right, by the keyed hash of it, its user and the user's hash. */
  const right = new Map<string, number>()
  let waiting = 0
  const waitingAt = new Map<string, number>()
  const maxWaitingPerAddress = integer("maxWaitingPerAddress", options.maxWaitingPerAddress, 16, [1, Infinity])
  const wrong = WrongPasswords.make(number("maxWrongPasswords", options.maxWrongPasswords, 10), maxGuessers)

  /** Takes a place among those that are checked or wait for it, if there is one. */
  const enter = (address: string): boolean => {
    const here = waitingAt.get(address) ?? 0
    if (waiting >= maxWaiting || (address !== "" && here >= maxWaitingPerAddress)) return false
    waiting++
    waitingAt.set(address, here + 1)
    return true
  }
  const leave = (address: string): void => {
    waiting--
    const here = waitingAt.get(address)! - 1
    if (here > 0) waitingAt.set(address, here)
    else waitingAt.delete(address)
  }

  let listed: Users | undefined
  let hashes: ReadonlyArray<string> = []

  /** Any hash of the file, always the same for a name: an unknown user costs what a known one does, whatever the costs are. */
  const standIn = (all: Users, mark: string): string => {
    if (listed !== all) {
      listed = all
      hashes = [...all.values()]
    }
    return hashes[Number.parseInt(mark.slice(0, 8), 16) % hashes.length] ?? nobody
  }

  /** Fails where the address has been wrong too often for this user: what it brings is not looked at, so that nothing is found out by it. */
  const refuseGuessing = (address: string, user: string): Effect.Effect<void, Fault> =>
    Effect.suspend(() => {
      const retryAfter = wrong.waitOf(guesser(address, user), clock.currentTimeMillisUnsafe())
      if (retryAfter === undefined) return Effect.void
      const reason = "too many wrong passwords for this user came from its address"
      const kind = "maxWrongPasswords" as const
      return Effect.andThen(Telemetry.limitHit(kind), Effect.fail({ kind, reason, retryAfter }))
    })
  const refuseWrong = (address: string, user: string, reason: string): Effect.Effect<never, Fault> =>
    Effect.suspend(() => {
      if (address !== "") wrong.count(guesser(address, user), clock.currentTimeMillisUnsafe())
      return Effect.fail({ kind: "credentialsWrong", reason })
    })

  /**
   * Does it when it is its turn. What runs cannot be stopped, so it has a fiber of its own: who waits for it may go away at any time, and its place
   * is given to the next when it is done.
   */
  const inTurn = <A>(address: string, self: Effect.Effect<A, Fault>): Effect.Effect<A, Fault> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        if (!enter(address)) {
          return Effect.fail<Fault>({ kind: "unavailable", reason: "too many passwords wait to be checked" })
        }
        const turn = Effect.ensuring(
          running.withPermit(self),
          Effect.sync(() => leave(address))
        )
        return Effect.flatMap(Effect.forkDetach(turn, { startImmediately: true }), (fiber) =>
          Effect.onInterrupt(restore(Fiber.join(fiber)), () => Effect.sync(() => fiber.interruptUnsafe()))
        )
      })
    )

  const check = (user: string, password: string, address: string): Effect.Effect<Facts, Fault> =>
    Effect.gen(function* () {
      yield* refuseGuessing(address, user)
      const all = users()
      const known = all.get(user)
      const mark = yield* Effect.promise(() =>
        hmac(key, `${user}\0${known ?? ""}\0${known === undefined ? "" : password}`)
      )
      const now = clock.currentTimeMillisUnsafe()
      if (known !== undefined && (right.get(mark) ?? 0) > now) return proven
      const isRight = yield* inTurn(
        address,
        Effect.andThen(
          // those before it may have been wrong
          refuseGuessing(address, user),
          Effect.uninterruptible(compare(password, known ?? standIn(all, mark)))
        )
      )
      if (known === undefined) return yield* refuseWrong(address, user, "no such user")
      if (!isRight) return yield* refuseWrong(address, user, `wrong password for ${JSON.stringify(user)}`)
      if (remember > 0) {
        right.delete(mark)
        right.set(mark, clock.currentTimeMillisUnsafe() + remember)
        if (right.size > maxRemembered) right.delete(right.keys().next().value!)
      }
      return proven
    })

  return {
    verify: (user, password, client) => {
      const { remoteAddress } = client ?? {}
      return check(user, Redacted.value(password), remoteAddress === undefined ? "" : keyOf(remoteAddress))
    }
  }
})

/**
 * The one user of a `user:password` that was given as it is, hashed here so that it is compared as all others are.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromPlain = Effect.fnUntraced(function* (
  user: string,
  password: Redacted.Redacted<string>
): Effect.fn.Return<Users> {
  const bcryptjs = yield* Effect.promise(async () => (await import("bcryptjs")).default)
  const hash = yield* Effect.promise(() => bcryptjs.hash(Redacted.value(password).normalize("NFC"), 8))
  return new Map([[user.normalize("NFC"), hash]])
})
