/**
 * A program's connection through a tunnel, from its first byte to the end of both sides, as the table at the head of `Tunnel.ts` says.
 * As long as nothing comes it has no fiber, where its listener keeps it (`staying.ts`).
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import { Connection } from "../../connection/internal/connection.ts"
import type { Keeper } from "../../connection/internal/keeper.ts"
import { Staying } from "../../connection/internal/staying.ts"
import type { Limits } from "../../connection/Limits.ts"
import * as Transport from "../../connection/Transport.ts"
import type { WebSocket } from "../../connection/WebSocket.ts"
import type { WebSocketError } from "../../connection/WebSocketError.ts"
import * as CloseCode from "../../protocol/CloseCode.ts"
import type { Endings } from "../../proxy/internal/endings.ts"
import { Pipe, toItsEnd } from "../../proxy/internal/pipe.ts"
import type { PipeOptions } from "../../proxy/internal/pipeOptions.ts"
import type { WebSocketClientError } from "../WebSocketClientError.ts"

/** Why a connection failed; a `SocketError` is one of the program's side. */
export type Failure = WebSocketClientError | WebSocketError | Socket.SocketError

/** What all passages of a tunnel have in common. */
export interface Way {
  readonly connect: Effect.Effect<WebSocket, WebSocketClientError, Scope.Scope>
  readonly messages: PipeOptions["messages"]
  readonly endings: (limits: Limits) => Endings
  readonly onFailure: (failure: Failure) => Effect.Effect<void>
}

/** A program takes what has come for the whole then. */
const isWhole = ({ code }: { readonly code: number }): boolean =>
  code === CloseCode.normal || code === CloseCode.noStatus

const logged = (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logError("A connection of a tunnel failed", cause)

export class Passage extends Staying {
  private readonly way: Way
  /** The WebSocket's. */
  private readonly scope = Scope.makeUnsafe()
  private program: Transport.Transport | undefined = undefined
  /** There is a pipe, which sees to the program's end. */
  private isPiped = false
  // declared, so that it takes no memory where there is none
  declare private failure: Failure | undefined

  constructor(way: Way, keeper: Keeper<never> | undefined) {
    super(keeper)
    this.way = way
  }

  /** All of it. */
  through(socket: Socket.Socket): Effect.Effect<unknown> {
    const led = Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Transport.fromSocket(socket), (program) => {
        this.program = program
        return Effect.flatMap(restore(Scope.provide(this.way.connect, this.scope)), (webSocket) =>
          this.piped(webSocket, program, restore)
        )
      })
    )
    return Effect.exit(this.handled(led))
  }

  private piped(
    webSocket: WebSocket,
    program: Transport.Transport,
    restore: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ): Effect.Effect<void, Failure> {
    // every WebSocket that this package makes is a Connection
    if (!(webSocket instanceof Connection)) return Effect.die(new TypeError("expected a WebSocket of this package"))
    this.isPiped = true
    const options: PipeOptions = { messages: this.way.messages, isWhole, onFailure: this.onFailure }
    const pipe = new Pipe(webSocket, program, options, this.way.endings(webSocket.limits))
    return this.stay(() => pipe.park()) ?? toItsEnd(pipe, restore)
  }

  /** The pipe keeps it, and so it closes over nothing else. */
  private get onFailure(): (failure: Failure) => void {
    return (failure) => void (this.failure = failure)
  }

  protected handled(handling: Effect.Effect<unknown, unknown>): Effect.Effect<unknown, unknown> {
    return Effect.onExit(handling, (exit) => (this.goesOn(exit) ? Effect.void : this.over(exit)))
  }

  private over(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    const { program, scope } = this
    const ended = this.isPiped || program === undefined ? this.parked?.release?.(exit) : Transport.reset(program)
    const closed = Effect.suspend(() => {
      const { failure } = this
      return Scope.close(scope, failure === undefined ? exit : Exit.fail(failure))
    })
    const destroyed = program === undefined ? Effect.void : program.ends.destroy(0)
    // what breaks in one of them keeps none of the others from being done, and nobody else would learn of it
    return Effect.catchCause(
      Effect.ensuring(ended ?? Effect.void, Effect.ensuring(closed, Effect.ensuring(this.told(exit), destroyed))),
      logged
    )
  }

  /** Tells the first failure: later ones are caused by it. It may take its time, but not when the tunnel ends. */
  private told(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { failure, way } = this
      if (failure !== undefined) return Effect.interruptible(way.onFailure(failure))
      if (Exit.isSuccess(exit)) return Effect.void
      const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
      // there is nothing else that its effects fail with
      return error === undefined ? Effect.failCause(exit.cause) : Effect.interruptible(way.onFailure(error as Failure))
    }).pipe(Effect.catchCause(logged))
  }
}
