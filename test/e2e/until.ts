/**
 * Waiting for what another process does, with a bound for a machine that is busy.
 */
import * as Effect from "effect/Effect"
import { eventually } from "../proxy/watch.ts"

export const until = <A>(what: string, look: () => A | undefined | false): Promise<A> =>
  Effect.runPromise(eventually(what, look, 30_000))
