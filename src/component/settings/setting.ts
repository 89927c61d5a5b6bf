/**
 * What a setting is: an entry of a table, from which `config` works, and the list of settings is made.
 *
 * @since 0.1.0
 */
import type { TextKind } from "../internal/kinds.ts"
import type { Row } from "../internal/row.ts"

/**
 * When a setting may be given another value: always, also where it is read when listening starts, not while the component listens (with
 * the error code for it), or never.
 *
 * @category models
 * @since 0.1.0
 */
export type Change = "always" | "nextListening" | "notListening" | "never"

/**
 * A setting but for its name, which is its key in the table.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry<A> extends Omit<Row, "name"> {
  readonly kind: TextKind<A>
  readonly default: A
  readonly change: Change
  /** Whether it is of a connection, and written `NAME[connectionId]`; `withDefault` has a value for later connections too. */
  readonly perConnection: false | "only" | "withDefault"
  /** What it does. */
  readonly what: string
}

/**
 * A setting.
 *
 * @category models
 * @since 0.1.0
 */
export interface Setting<A> extends Entry<A> {
  readonly name: string
}

/**
 * Settings of these values.
 *
 * @category models
 * @since 0.1.0
 */
export type Settings<V> = { readonly [K in keyof V]: Setting<V[K]> }

interface Rest extends Omit<Row, "name"> {
  readonly what: string
  readonly change?: Change
  readonly perConnection?: Entry<unknown>["perConnection"]
}

/**
 * A setting that is of the component and may always be given another value, unless the rest says otherwise.
 *
 * @category constructors
 * @since 0.1.0
 */
export const setting = <A>(kind: TextKind<A>, value: NoInfer<A>, rest: Rest): Entry<A> => ({
  change: "always",
  perConnection: false,
  ...rest,
  kind,
  default: value
})

/**
 * Gives each setting the name of its key.
 *
 * @category constructors
 * @since 0.1.0
 */
export const named = <V extends object>(table: { readonly [K in keyof V]: Entry<V[K]> }): Settings<V> =>
  // the same entries, with one more field
  Object.fromEntries(
    Object.entries<object>(table).map(([name, entry]) => [name, { ...entry, name }])
  ) as unknown as Settings<V>
