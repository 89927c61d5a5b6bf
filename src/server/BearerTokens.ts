/**
 * Opaque bearer tokens from a list: one per line, as its SHA-256 digest or in plain, and the name of its owner.
 *
 * ```text
 * sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 ann
 * plain:3q2-7wAAv1Yz5bM0kq8R bob
 * # the prefix of a plain one may be left out, unless it could be a digest
 * 3q2-7wAAv1Yz5bM0kq8S
 * ```
 *
 * A token is looked up by a keyed hash of its digest, so that how long that takes says nothing about the list.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { isBearerToken } from "../protocol/internal/token.ts"
import type { Facts, Fault } from "./AccessPolicy.ts"
import * as CredentialLines from "./CredentialLines.ts"
import { hmac, hmacKey, sha256 } from "./internal/digests.ts"

/**
 * A line: a digest in lower-case hexadecimal, or the token.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  readonly digest: string | undefined
  readonly token: Redacted.Redacted<string> | undefined
  readonly name: string | undefined
}

/** A secret that can be guessed is none. */
const minLength = 16

const parseLine = (line: string): Result.Result<Entry, string> => {
  const [, written = "", rest = ""] = /^\s*(\S+)\s*(.*?)\s*$/.exec(line) ?? []
  // what follows is a name; `-` is what sha256sum writes for one
  const name = rest === "" || rest === "-" ? undefined : rest
  if (/\p{Cc}/u.test(rest)) return Result.fail("a name has no control characters")
  if (/^sha256:/i.test(written)) {
    const digest = written.slice("sha256:".length).toLowerCase()
    return /^[0-9a-f]{64}$/.test(digest)
      ? Result.succeed({ digest, token: undefined, name })
      : Result.fail("expected 64 hexadecimal digits after sha256:")
  }
  const isMarked = written.startsWith("plain:")
  const token = isMarked ? written.slice("plain:".length) : written
  if (!isMarked && /^[0-9a-f]{64}$/i.test(token)) {
    return Result.fail("this could be a token or a digest; write plain: or sha256: before it")
  }
  if (!isBearerToken(token)) {
    return Result.fail(
      "a token is of letters, digits and -._~+/ (RFC 6750 section 2.1), and its name follows after a blank"
    )
  }
  if (token.length < minLength) return Result.fail(`a token has ${minLength} characters at least`)
  return Result.succeed({ digest: undefined, token: Redacted.make(token, { label: "token" }), name })
}

/**
 * Reads a file's text. All of it has to be good.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<ReadonlyArray<Entry>, CredentialLines.InvalidLine> =>
  CredentialLines.read(text, parseLine)

/**
 * Tokens, as a policy asks for them.
 *
 * @category models
 * @since 0.1.0
 */
export interface BearerTokens {
  /** For `AccessPolicy.bearer`: the subject is the name of the line. */
  readonly verify: (token: Redacted.Redacted<string>) => Effect.Effect<Facts, Fault>
}

/**
 * Knows these tokens. It keeps keyed hashes of them, and not the tokens.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (entries: ReadonlyArray<Entry>): Effect.Effect<BearerTokens> =>
  Effect.promise(async () => {
    const key = await hmacKey()
    const names = new Map<string, string | undefined>()
    for (const { digest, name, token } of entries) {
      // oxlint-disable-next-line no-await-in-loop -- all at once would hold the thread pool for a large file
      names.set(await hmac(key, digest ?? (await sha256(Redacted.value(token!)))), name)
    }
    return {
      verify: (token) =>
        Effect.flatMap(
          Effect.promise(async () => hmac(key, await sha256(Redacted.value(token)))),
          (mark): Effect.Effect<Facts, Fault> =>
            names.has(mark)
              ? Effect.succeed({ subject: names.get(mark) })
              : Effect.fail({ kind: "credentialsWrong", reason: "the token is not known" })
        )
    }
  })
