/**
 * The last argument of a method: a signal that ends its wait, or a callback, as programs for the older editions of the original give.
 */
import { type Callback, type ComponentError, invalid } from "../ComponentError.ts"

export type Ending = AbortSignal | Callback

/** One of another realm, or of a library, is a signal too. */
const isSignal = (value: object): value is AbortSignal =>
  "aborted" in value && "addEventListener" in value && typeof value.addEventListener === "function"

/** What is thrown at once is a promise's failure too. */
const begin = (call: () => Promise<void>): Promise<void> => {
  try {
    return call()
  } catch (error) {
    return Promise.reject(error)
  }
}

/** Does it, unless the argument is neither. A callback has the failure, so that the promise of it does not fail as well. */
export const ended = (
  ending: Ending | undefined,
  call: (signal: AbortSignal | undefined) => Promise<void>
): Promise<void> => {
  if (ending === undefined) return begin(() => call(undefined))
  if (typeof ending === "function") {
    return begin(() => call(undefined)).then(
      () => ending(),
      (error: ComponentError) => ending(error)
    )
  }
  // not every caller has types
  if (typeof ending === "object" && ending !== null && isSignal(ending)) return begin(() => call(ending))
  return Promise.reject(invalid("Signal", "an AbortSignal, or a function to call when it is done", ending))
}
