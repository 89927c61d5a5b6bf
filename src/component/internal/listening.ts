/**
 * One time of listening: a listener and a server over it, from the start until the last connection that it took has ended.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as NetAddress from "effect/net/NetAddress"
import * as Scope from "effect/Scope"
import * as NodeUpgradeListener from "../../node/NodeUpgradeListener.ts"
import type { Refusal } from "../../protocol/OpeningHandshake.ts"
import type { OpenRequest } from "../../server/OpenRequest.ts"
import { type ListenError, UpgradeListener } from "../../server/UpgradeListener.ts"
import * as WebSocketServer from "../../server/WebSocketServer.ts"

export interface Options {
  readonly listener: NodeUpgradeListener.Options
  readonly server: WebSocketServer.Options
}

export class Listening {
  readonly host: string
  readonly port: number
  private readonly scope: Scope.Closeable
  private readonly stopListening: Effect.Effect<void>
  private connections = 0
  private idle: Deferred.Deferred<void> | undefined

  constructor(address: NetAddress.SocketAddress, scope: Scope.Closeable, stopListening: Effect.Effect<void>) {
    this.host = NetAddress.isInetAddress(address) ? NetAddress.formatIp(address.address) : ""
    this.port = NetAddress.isInetAddress(address) ? address.port : 0
    this.scope = scope
    this.stopListening = stopListening
  }

  enter(): void {
    this.connections++
  }

  leave(): void {
    if (--this.connections === 0 && this.idle !== undefined) Deferred.doneUnsafe(this.idle, Effect.void)
  }

  private readonly released = Promise.withResolvers<void>()

  /** Until everything of it is released. */
  get over(): Promise<void> {
    return this.released.promise
  }

  /** Stops listening. Open connections go on; everything else is released after the last of them. */
  get stop(): Effect.Effect<void> {
    return Effect.andThen(
      this.stopListening,
      Effect.suspend(() => {
        this.idle = Deferred.makeUnsafe()
        if (this.connections === 0) Deferred.doneUnsafe(this.idle, Effect.void)
        return Effect.asVoid(Effect.forkDetach(Effect.andThen(Deferred.await(this.idle), this.close)))
      })
    )
  }

  /** Ends everything. */
  get close(): Effect.Effect<void> {
    return Effect.andThen(
      Scope.close(this.scope, Exit.void),
      Effect.sync(() => this.released.resolve())
    )
  }
}

/** Begins to listen; `visit` has what becomes of each request. */
export const start = Effect.fnUntraced(function* (
  options: Options,
  visit: (open: OpenRequest, listening: Listening) => Effect.Effect<void, Refusal>
): Effect.fn.Return<Listening, ListenError> {
  const scope = yield* Scope.make()
  return yield* Effect.gen(function* () {
    const { listener } = yield* NodeUpgradeListener.make(options.listener)
    const server = yield* WebSocketServer.make(options.server).pipe(Effect.provideService(UpgradeListener, listener))
    const listening: Listening = new Listening(server.address, scope, server.stop)
    yield* Effect.forkIn(
      server.runRequests((open) => visit(open, listening)),
      scope,
      { startImmediately: true }
    )
    return listening
  }).pipe(
    Scope.provide(scope),
    Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
  )
})
