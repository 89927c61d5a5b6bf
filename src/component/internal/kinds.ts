/**
 * The kinds of values that properties and settings take: a Schema, and what it accepts in words, for the error of one that it
 * does not. A setting is text, so its kind reads and writes that as well.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"

/** A kind of value. `accepts` goes on after "expected". */
export interface Kind<A> {
  readonly accepts: string
  readonly is: (value: unknown) => value is A
}

/** A kind of value that is written as text. `acceptsText` says which texts it accepts, if that differs from `accepts`. */
export interface TextKind<A> extends Kind<A> {
  readonly acceptsText?: string
  readonly parse: (text: string) => A | undefined
  readonly format: (value: A) => string
}

/** A kind of a Schema of values. */
export const kind = <A>(schema: Schema.Schema<A>, accepts: string): Kind<A> => ({ accepts, is: Schema.is(schema) })

/** A kind of a Schema between values and their text. */
export const textKind = <A>(schema: Schema.Codec<A, string>, accepts: string): TextKind<A> => {
  const decode = Schema.decodeOption(schema)
  const encode = Schema.encodeSync(schema)
  return {
    ...kind(Schema.toType(schema), accepts),
    parse: (text) => Option.getOrUndefined(decode(text)),
    format: encode
  }
}

/** Between text and what is written of it in one of several ways. */
const written = <A>(type: Schema.Codec<A>, read: (text: string) => A | undefined, write: (value: A) => string) =>
  Schema.String.pipe(
    Schema.decodeTo(
      type,
      SchemaTransformation.transformEffect<A, string>({
        decode: (text, options) => {
          const value = read(text)
          return value === undefined
            ? Effect.fail(new SchemaIssue.InvalidValue({ message: "not one of these" }, text, options))
            : Effect.succeed(value)
        },
        encode: (value) => Effect.succeed(write(value))
      })
    )
  )

const booleans: Readonly<Record<string, boolean>> = {
  true: true,
  "1": true,
  yes: true,
  false: false,
  "0": false,
  no: false
}

/** The six spellings, in any case. */
export const boolean: TextKind<boolean> = {
  ...textKind(
    written(
      Schema.Boolean,
      (text) => booleans[text.trim().toLowerCase()],
      (value) => (value ? "True" : "False")
    ),
    "true or false"
  ),
  acceptsText: "True or False (or 1, 0, Yes, No)"
}

/** Whole numbers between two, both included. */
export const integer = (minimum: number, maximum: number, unit = ""): TextKind<number> =>
  textKind(
    written(
      Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum, maximum }))),
      (text) => (/^\s*-?\d+\s*$/.test(text) ? Number(text) : undefined),
      String
    ),
    `a whole number${unit} from ${minimum} to ${maximum}`
  )

/** Text, whatever it says. */
export const text: TextKind<string> = textKind(Schema.String, "text")

/** Text that a check accepts. */
export const textThat = (check: (text: string) => boolean, accepts: string): TextKind<string> =>
  textKind(Schema.String.pipe(Schema.check(Schema.makeFilter(check))), accepts)

/** One of some numbers. */
export const oneOf = <const A extends number>(values: ReadonlyArray<A>, accepts: string): TextKind<A> =>
  textKind(
    written(Schema.Literals(values), (text) => values.find((value) => String(value) === text.trim()), String),
    accepts
  )

/** Objects of a class. */
export const instanceOf = <A>(constructor: abstract new (...args: never) => A, accepts: string): Kind<A> => ({
  accepts,
  is: (value): value is A => value instanceof constructor
})
