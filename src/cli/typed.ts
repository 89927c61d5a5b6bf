/**
 * What can be typed: the kinds of flags that the commands have, what a flag may name, and how a mistake in one is told.
 */
import type { Input } from "effect/ByteSize"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { readFileSync, statSync } from "node:fs"
import { codeOf } from "../node/internal/codeOf.ts"
import { UsageError } from "./Address.ts"

/** A value that is empty was to be something else, such as a variable that is not set: a path that is none would be the current folder. */
const valued = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar(metavar),
    Flag.withDescription(description),
    Flag.filter(
      (text) => text !== "",
      () => `${metavar}, got an empty one`
    )
  )

/** A flag with a value. */
export const optional = (name: string, metavar: string, description: string) =>
  Flag.optional(valued(name, metavar, description))

/** One that may be given several times. */
export const repeated = (name: string, metavar: string, description: string) =>
  Flag.atLeast(valued(name, metavar, description), 0)

/** One of these words. */
export const choice = <const Choices extends ReadonlyArray<string>>(
  name: string,
  choices: Choices,
  description: string
) => Flag.Literals(name, choices).pipe(Flag.withDescription(description), Flag.optional)

/** A flag that is given or not. What comes behind it is none of its own: an address may be 0 or 1, too. */
export const given = (name: string, description: string) =>
  Flag.Boolean(name).pipe(
    Flag.withOptionalValue("true"),
    Flag.withMetavar("yes|no"),
    Flag.withDescription(description),
    Flag.withDefault(false)
  )

/** Whether a flag was given, of whichever of these kinds it is. */
export const isGiven = (value: boolean | Option.Option<string> | ReadonlyArray<string>): boolean =>
  typeof value === "boolean" ? value : Option.isOption(value) ? Option.isSome(value) : value.length > 0

export const usage = (message: string) => new UsageError({ message })

/** `10MiB`, or a number of bytes. */
export const parseSize = Effect.fnUntraced(function* (
  flag: string,
  text: string,
  most = 2 ** 40
): Effect.fn.Return<number, UsageError> {
  const { fromInput } = yield* Effect.promise(() => import("effect/ByteSize"))
  // what is no size, whatever it is, is none to it either
  const size = fromInput((/^\d+$/.test(text) ? `${text}B` : text) as Input)
  if (Option.isSome(size) && size.value > 0n && size.value <= BigInt(most)) return Number(size.value)
  return yield* usage(
    `--${flag} expects a size up to ${most / 2 ** 30} GiB, such as 10MiB; got ${JSON.stringify(text)}`
  )
})

/** The bytes of the file that a flag names. A pipe holds up whoever opens it, and gives its content once, where files are read again. */
export const readBytes = (flag: string, path: string): Effect.Effect<Buffer, UsageError> =>
  Effect.suspend(() => {
    try {
      if (statSync(path).isFile()) return Effect.succeed(readFileSync(path))
    } catch (cause) {
      return Effect.fail(usage(`--${flag} expects a file that can be read; ${path}: ${codeOf(cause)}`))
    }
    return Effect.fail(usage(`--${flag} expects a file that can be read; ${path}: it is no regular file`))
  })

/** The same, a character for each byte. */
export const readFile = (flag: string, path: string): Effect.Effect<string, UsageError> =>
  Effect.map(readBytes(flag, path), (bytes) => bytes.toString("latin1"))

/** The environment variable that a flag names. */
export const variable = (flag: string, name: string): Effect.Effect<string, UsageError> => {
  // what every object has is no variable
  const value = Object.hasOwn(process.env, name) ? process.env[name] : undefined
  return value === undefined ? Effect.fail(usage(`--${flag} names ${name}, which is not set`)) : Effect.succeed(value)
}
