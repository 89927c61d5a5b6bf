/** What sources of tokens say. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Router from "../../src/proxy/Router.ts"
import type { TokenSource } from "../../src/proxy/TokenSource.ts"

/** The targets of a token, as text; `undefined` if it is not known. */
export const says = (source: TokenSource["Service"], token: string) =>
  Effect.map(source.lookup(token), Option.match({ onNone: () => undefined, onSome: (to) => Router.targets(to).join() }))

/** Why it cannot say. */
export const fails = (source: TokenSource["Service"], token: string) =>
  Effect.map(Effect.flip(source.lookup(token)), ({ message }) => message)
