/**
 * When a command ends by itself, other than by a signal: after its first connection, after a time, or once nobody has been
 * connected for a time. Connections end in order then, as with SIGTERM, and the exit code is 0.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Cause from "effect/Cause"
import { Refusal } from "../protocol/OpeningHandshake.ts"
import type { OpenRequest } from "../server/OpenRequest.ts"
import { WebSocketServer } from "../server/WebSocketServer.ts"
import type { UsageError } from "./Address.ts"
import { parseTime } from "./flags.ts"
import { given, optional } from "./typed.ts"

/** The flags of a command that may end by itself. */
export const server = {
  runOnce: given("run-once", "End when the first connection has ended; there is one at a time"),
  runFor: optional(
    "run-for",
    "DURATION",
    "Listen for this long, and end when the connections that are open then have ended"
  ),
  runUntilIdle: optional("run-until-idle", "DURATION", "End when nobody has been connected for this long")
}

/** What was typed for them. */
export interface LifeFlags {
  readonly runOnce: boolean
  readonly runFor: Option.Option<string>
  readonly runUntilIdle: Option.Option<string>
}

/** Durations in milliseconds, if there are any. */
interface Life {
  readonly once: boolean
  readonly runFor: number | undefined
  readonly untilIdle: number | undefined
}

const taken = new Refusal({ status: 503, reason: "The server takes one connection at a time." })

/** Whether a handler had a connection: a request that was refused, or given up by its client, has none. */
const hadConnection = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isSuccess(exit) ||
  Option.match(Cause.findErrorOption(exit.cause), {
    onNone: () => false,
    onSome: (error) => !(error instanceof Refusal)
  })

/** Counts who is connected, and says when it is over. */
class Watch {
  readonly over = Deferred.makeUnsafe<string>()
  readonly quiet = Latch.makeUnsafe(true)
  readonly busy = Latch.makeUnsafe(false)
  private readonly once: boolean
  private count = 0
  private isOver = false

  constructor(once: boolean) {
    this.once = once
  }

  visit<E, R, A>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Refusal, R> {
    return Effect.suspend((): Effect.Effect<A, E | Refusal, R> => {
      if (this.once && (this.isOver || this.count > 0)) return Effect.fail(taken)
      if (this.count++ === 0) {
        this.quiet.closeUnsafe()
        this.busy.openUnsafe()
      }
      return Effect.onExit(self, (exit) => Effect.sync(() => this.leave(exit)))
    })
  }

  end(reason: string): void {
    this.isOver = true
    Deferred.doneUnsafe(this.over, Effect.succeed(reason))
  }

  private leave(exit: Exit.Exit<unknown, unknown>): void {
    if (--this.count === 0) {
      this.busy.closeUnsafe()
      this.quiet.openUnsafe()
    }
    if (this.once && hadConnection(exit)) this.end("the connection of --run-once has ended")
  }
}

/** Ends when nobody was connected for so long. */
const awaitIdle = (watch: Watch, millis: number): Effect.Effect<void> =>
  Effect.suspend(() =>
    Effect.flatMap(
      Effect.andThen(watch.quiet.await, Effect.timeoutOption(watch.busy.await, millis)),
      Option.match({
        onNone: () => Effect.sync(() => watch.end("nobody was connected for the time of --run-until-idle")),
        onSome: () => awaitIdle(watch, millis)
      })
    )
  )

/** A server whose connections are counted, and which ends the watch when what the flags name has come. */
const counting = Effect.fnUntraced(function* (
  { once, runFor, untilIdle }: Life,
  watch: Watch
): Effect.fn.Return<WebSocketServer["Service"], never, WebSocketServer | Scope.Scope> {
  const server = yield* WebSocketServer
  if (runFor !== undefined) {
    yield* Effect.sleep(runFor).pipe(
      Effect.andThen(server.stop),
      Effect.andThen(watch.quiet.await),
      Effect.andThen(Effect.sync(() => watch.end("the time of --run-for is over"))),
      Effect.forkScoped
    )
  }
  if (untilIdle !== undefined) yield* Effect.forkScoped(awaitIdle(watch, untilIdle))
  if (!once && runFor === undefined && untilIdle === undefined) return server
  const runRequests = <R, E, _>(handler: (open: OpenRequest) => Effect.Effect<_, E | Refusal, R>) =>
    server.runRequests((open) => watch.visit(handler(open)))
  return {
    ...server,
    runRequests,
    run: (handler) =>
      runRequests((open) => Effect.flatMap(open.accept, (webSocket) => handler(webSocket, open.request)))
  }
})

/** The server as it is to be used, and what ends when the command is to end, with the reason. */
export const make = Effect.fnUntraced(function* (flags: LifeFlags): Effect.fn.Return<
  {
    readonly layer: Layer.Layer<WebSocketServer, never, WebSocketServer>
    readonly over: Effect.Effect<string>
  },
  UsageError
> {
  const millis = Effect.fnUntraced(function* (flag: string, text: Option.Option<string>) {
    if (Option.isNone(text)) return undefined
    const millis = Duration.toMillis(yield* parseTime(flag, text.value))
    return millis === Infinity ? undefined : millis
  })
  const life: Life = {
    once: flags.runOnce,
    runFor: yield* millis("run-for", flags.runFor),
    untilIdle: yield* millis("run-until-idle", flags.runUntilIdle)
  }
  const watch = new Watch(life.once)
  return { layer: Layer.effect(WebSocketServer)(counting(life, watch)), over: Deferred.await(watch.over) }
})
