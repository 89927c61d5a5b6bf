/** The targets of a choice, one after the other, until one can be connected to. */
import * as Arr from "effect/Array"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import type { Refusal } from "../../protocol/OpeningHandshake.ts"
import type { OpenRequest } from "../../server/OpenRequest.ts"
import type { DialError, Dialer } from "../Dialer.ts"
import type { Choice } from "../Router.ts"
import type { AnyTarget } from "../Target.ts"

/** The first that can be connected to. What the last one said is the client's answer; each failure is told. */
export const dialFirst = (
  dialer: Dialer["Service"],
  choice: Choice,
  open: OpenRequest,
  tell: (error: DialError) => Effect.Effect<void>
): Effect.Effect<Socket.Socket, Refusal, Scope.Scope> => {
  const from = ([target, ...others]: NonEmptyReadonlyArray<AnyTarget>): ReturnType<typeof dialFirst> => {
    open.annotate("target", String(target))
    return Effect.catch(dialer.dial(target, open), (error) => {
      open.annotate("dialError", error.kind)
      return tell(error).pipe(
        Effect.andThen(choice.onDialError?.(error) ?? Effect.void),
        Effect.andThen(Arr.isArrayNonEmpty(others) ? from(others) : Effect.fail(error.refusal))
      )
    })
  }
  return from(choice.targets)
}
