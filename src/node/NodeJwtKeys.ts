/**
 * The keys of `JwtKeys` from a file, read again when it changes.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as JwtKeys from "../server/JwtKeys.ts"
import type { FileError } from "./NodeFileError.ts"
import { watchedFile } from "./internal/watchedFile.ts"

/**
 * Which file has the keys. Only `file` has no default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly file: string
  /**
   * What is in it: public keys, certificates or JWKs, as `JwtKeys.fromText` reads them, or a secret that the issuer has, too, as
   * one line of text. Default: `keys`.
   */
  readonly kind?: "keys" | "secret" | undefined
  /** How often the file is looked at, above 0; `Duration.infinity` is never. Default: 5 seconds. */
  readonly interval?: Duration.Input | undefined
}

/** Whether it is a key, which may be public, in one line: PEM, OpenSSH's format, or a JWK or a set of them. */
const isKey = (line: string): boolean => {
  if (/-----BEGIN |^\S+ AAAA/.test(line)) return true
  if (!/^\s*[[{]/.test(line)) return false
  return Result.isSuccess(Result.try((): unknown => JSON.parse(line)))
}

/**
 * A line break at the end is the editor's. One within is a mistake, and a dangerous one if the file has a public key: whoever
 * knows that could sign tokens (RFC 8725 section 2.1).
 */
const secretOf = Effect.fnUntraced(function* (text: string) {
  const secret = text.replace(/\r?\n$/, "")
  if (/[\r\n]/.test(secret) || isKey(secret)) {
    return yield* new JwtKeys.JwtKeysError({
      message: "a secret is one line of text; keys in PEM, JWK or OpenSSH's format are none"
    })
  }
  return yield* JwtKeys.secret(Redacted.make(secret))
})

/**
 * At first the file has to be good. A later version that is not is logged, and the previous keys stay.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<JwtKeys.Keys, FileError, Scope.Scope> {
  const { current } = yield* watchedFile({
    file: options.file,
    interval: options.interval,
    what: "The keys",
    load: options.kind === "secret" ? secretOf : JwtKeys.fromText
  })
  return { find: (algorithm, id) => Effect.suspend(() => current().find(algorithm, id)) }
})
