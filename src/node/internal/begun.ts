/** A handler of upgrades at its beginning, where it may throw. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { Upgrade } from "../../server/UpgradeListener.ts"
import { internalError } from "../../server/internal/refusals.ts"

/** What throws before it gives an effect has decided nothing, and nobody else would. */
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
