/**
 * One connection through a proxy in this process, with both of its ends in the hands of the test. The close timeout is far
 * off unless the test sets one, so that a test can tell what happens at once from what a timeout brings about.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Proxy from "./proxy.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"

/** Soon: well under the close timeout, and well above what a busy machine makes of at once. */
export const soon = 5000

/** The most that some hundreds of milliseconds may take on a busy machine; still well under the timeouts that are not set. */
export const unhurried = 6000

export interface Options extends Omit<Proxy.Options<never>, "target"> {
  readonly client?: RawClient.Options | undefined
  readonly accepting?: RawTarget.Options | undefined
}

export interface Connected {
  readonly proxy: Proxy.Proxy
  readonly client: RawClient.RawClient
  readonly target: RawTarget.TargetConnection
}

export const connected = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<Connected, never, Scope.Scope> {
  const listener = yield* RawTarget.listen(options.accepting)
  const proxy = yield* Proxy.serve({ closeTimeout: "30 seconds", ...options, target: listener.target })
  const client = yield* RawClient.open(proxy.port, options.client)
  const target = yield* listener.accept
  // a test that leaves them open must not wait for the close timeout
  yield* Effect.addFinalizer(() => Effect.andThen(client.release, target.release))
  return { proxy, client, target }
})
