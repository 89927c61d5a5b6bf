/**
 * Properties from a table: an accessor for each, and the pair of `getName` and `setName` that the JavaScript edition of the
 * original has, with the documented name behind the prefix. Values are checked when they are set.
 */
import { invalid, invalidSecret } from "../ComponentError.ts"
import type { Kind } from "./kinds.ts"
import type { Row } from "./row.ts"
import { showsAs } from "./shown.ts"

/** A property. Its key in the table is its accessor's name. */
export interface Field<N extends string, A, Access extends "read" | "write"> extends Row {
  readonly name: N
  readonly kind: Kind<A>
  readonly access: Access
  /** What it is. */
  readonly what: string
}

export type Fields = Readonly<Record<string, Field<string, never, "read" | "write">>>

type Value<F> = F extends Field<string, infer A, "read" | "write"> ? A : never
type Name<F> = F extends Row & { readonly name: infer N extends string } ? N : never
type Writable<T, K extends keyof T> = T[K] extends { readonly access: "write" } ? K : never

/** What a class has of a table. */
export type Accessors<T> = {
  readonly [K in keyof T as Exclude<K, Writable<T, K>>]: Value<T[K]>
} & { -readonly [K in keyof T as Writable<T, K>]: Value<T[K]> } & {
  readonly [K in keyof T as `get${Name<T[K]>}`]: () => Value<T[K]>
} & { readonly [K in keyof T as `set${Name<T[K & Writable<T, K>]>}`]: (value: Value<T[K]>) => void }

/** Where the values are. */
export interface HasFields {
  /** @internal */
  readField(key: string): unknown
  /** @internal */
  writeField(key: string, value: unknown): void
}

/** What is neither printed nor told in an error: passwords and private keys, the stores that may hold them, and the twins of bytes. */
const secret = /password$|^privateKey$|store$|B$/i

type Details = Omit<Row, "name">

export const field = <const N extends string, A, Access extends "read" | "write">(
  name: N,
  kind: Kind<A>,
  access: Access,
  what: string,
  details: Details
): Field<N, A, Access> => ({ name, kind, access, what, ...details })

/** A class with the properties of a table, over one that holds their values. */
export const withFields = <B extends abstract new (...args: never) => HasFields, T extends object>(
  Base: B,
  table: T
): abstract new (...args: ConstructorParameters<B>) => InstanceType<B> & Accessors<T> => {
  // a mixin must take any arguments, which nothing but `any` says; it passes them on
  abstract class WithFields extends (Base as unknown as abstract new () => HasFields) {}
  for (const [key, entry] of Object.entries(table)) {
    const { access, kind, name } = entry as Field<string, unknown, "read" | "write">
    const write = function (this: HasFields, value: unknown): void {
      if (!kind.is(value)) throw (secret.test(key) ? invalidSecret : invalid)(name, kind.accepts, value)
      this.writeField(key, value)
    }
    const read = function (this: HasFields): unknown {
      return this.readField(key)
    }
    Object.defineProperty(WithFields.prototype, key, {
      get: read,
      ...(access === "write" ? { set: write } : {}),
      enumerable: true,
      configurable: true
    })
    Object.defineProperty(WithFields.prototype, `get${name}`, { value: read })
    if (access === "write") Object.defineProperty(WithFields.prototype, `set${name}`, { value: write })
  }
  showsAs(
    WithFields,
    Object.keys(table).filter((key) => !secret.test(key))
  )
  // the members were just defined from the table that the type is made of
  return WithFields as unknown as abstract new (...args: ConstructorParameters<B>) => InstanceType<B> & Accessors<T>
}
