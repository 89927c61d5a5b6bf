/**
 * Options as a program gives them, checked once, where they become values. A mistake in one is the program's and so a defect; its
 * one sentence says which option it is, what was expected and what came.
 */
import * as Duration from "effect/Duration"
import * as Formatter from "effect/Formatter"
import * as Option from "effect/Option"

export const wrong = (name: string, expected: string, came: unknown): RangeError =>
  new RangeError(`${name}: expected ${expected}; got ${Formatter.format(came)}`)

type Least = "from 0 on" | "above 0"

const isAt = (least: Least, value: number): boolean => (least === "above 0" ? value > 0 : value >= 0)

/** A limit. `Infinity` means no limit. `NaN` is refused: every comparison with it is false, which would switch the limit off unnoticed. */
export const number = (
  name: string,
  given: number | undefined,
  otherwise: number,
  least: Least = "from 0 on"
): number => {
  if (given === undefined) return otherwise
  if (typeof given !== "number" || !isAt(least, given)) throw wrong(name, `a number ${least}`, given)
  return given
}

/** A number that counts what is not cut in pieces. Where there is no most, `Infinity` is no limit. */
export const integer = <A extends number | undefined>(
  name: string,
  given: number | undefined,
  otherwise: A,
  [least, most]: readonly [least: number, most: number] = [0, Infinity]
): number | A => {
  if (given === undefined) return otherwise
  if ((Number.isInteger(given) || given === Infinity) && given >= least && given <= most) return given
  const range = most === Infinity ? `from ${least} on, or Infinity` : `from ${least} to ${most}`
  throw wrong(name, `a whole number ${range}`, given)
}

/** A duration, in milliseconds. */
export const duration = (
  name: string,
  given: Duration.Input | undefined,
  otherwise: Duration.Input,
  least: Least = "from 0 on"
): number => {
  const millis = Option.map(Duration.fromInput(given ?? otherwise), Duration.toMillis)
  // to Effect it is no time
  const isNone = typeof given === "number" && Number.isNaN(given)
  if (!isNone && Option.isSome(millis) && isAt(least, millis.value)) return millis.value
  const expected = least === "above 0" ? "a duration above 0" : "a duration that is not negative"
  throw wrong(name, `${expected}, such as "30 seconds" or "Infinity"`, given)
}
