/** A handler of upgrades at its beginning, where it may throw. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { Upgrade } from "../../server/UpgradeListener.ts"
import { internalError } from "../../server/internal/refusals.ts"

/** Calls a handler. If it throws before it returns an effect, it has not answered the request, which is refused here. */
export const begun = <R>(
  handler: () => Effect.Effect<unknown, unknown, R>,
  upgrade: Upgrade
): Effect.Effect<unknown, unknown, R> =>
  Effect.suspend(() => {
    try {
      return handler()
    } catch (defect) {
      return Effect.andThen(
        Effect.logError("A handler of upgrades failed", Cause.die(defect)),
        upgrade.refuse(internalError)
      )
    }
  })
