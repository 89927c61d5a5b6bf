/**
 * Waiting, and failing, as the tests of the components do it: for a condition and never for a time, and with the code of the
 * error.
 */
import { Effect } from "effect"
import { ComponentError } from "../../src/component/ComponentError.ts"
import { eventually } from "../proxy/watch.ts"

/** Waits until something is so; fails with what was awaited when it takes too long. */
export const until = <A>(what: string, look: () => A | undefined | false, millis?: number): Promise<A> =>
  Effect.runPromise(eventually(what, look, millis))

/** The error that a call of a component fails with. */
export const failure = async (call: Promise<unknown>): Promise<ComponentError> => {
  try {
    await call
  } catch (error) {
    if (error instanceof ComponentError) return error
    throw error
  }
  throw new Error("expected a failure")
}

/** The code of that error. */
export const codeOf = async (call: Promise<unknown>): Promise<number> => (await failure(call)).code

/** Whether a promise is settled by now, and all that runs without input or output is done. */
export const isSettled = async (call: Promise<unknown>): Promise<boolean> => {
  let settled = false
  const settle = () => (settled = true)
  call.then(settle, settle)
  await new Promise((resolve) => {
    setImmediate(resolve)
  })
  return settled
}
