/**
 * A client, from its admission to the end of its connection. Its request is in its `Opening`, which is dropped once it is answered.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Codec } from "../../connection/Deflate.ts"
import type { KeepAlive, Watch } from "../../connection/KeepAlive.ts"
import type * as Transport from "../../connection/Transport.ts"
import type { WebSocket } from "../../connection/WebSocket.ts"
import { Connection } from "../../connection/internal/connection.ts"
import type { Keeper } from "../../connection/internal/keeper.ts"
import { mayPark } from "../../connection/internal/parked.ts"
import { Staying } from "../../connection/internal/staying.ts"
import type { Terms } from "../../connection/internal/terms.ts"
import type * as OpeningHandshake from "../../protocol/OpeningHandshake.ts"
import type * as PerMessageDeflate from "../../protocol/PerMessageDeflate.ts"
import type * as Admission from "../Admission.ts"
import type { Peer } from "../UpgradeListener.ts"
import type { AccessRecord, Ended } from "./accessRecord.ts"
import type { Opened, Opening } from "./opening.ts"

/** What the visits of a server share. */
export interface House extends Terms {
  /** The whole of a visit from here on, with its end. */
  readonly handled: (
    visit: Visit,
    handling: Effect.Effect<unknown, unknown, unknown>
  ) => Effect.Effect<unknown, unknown, unknown>
  readonly keepAlive: KeepAlive
  readonly admission: Admission.Admission
  readonly codec: (agreement: PerMessageDeflate.Agreement | undefined) => Codec | undefined
}

export class Visit extends Staying implements Admission.From, Opened {
  private readonly house: House
  /** The request, until it is answered. */
  opening: Opening | undefined = undefined
  private connection: Connection | undefined = undefined
  private watch: Watch | undefined = undefined
  /** The handler's, once anything asked for it. */
  private scope: Scope.Closeable | undefined = undefined

  // declared, so that they take no memory where no limit is by address
  declare private address: string | undefined
  declare private line: Peer | undefined

  // and neither where there is no access log
  declare readonly record: AccessRecord | undefined

  constructor(house: House, keeper: Keeper<unknown> | undefined, record?: AccessRecord) {
    super(keeper)
    this.house = house
    if (record !== undefined) this.record = record
  }

  // where it comes from: what a limit asked for when it came, it may ask for again when it leaves
  get remoteAddress(): string | undefined {
    return this.opening === undefined ? this.address : (this.address = this.opening.remoteAddress)
  }
  get peer(): Peer | undefined {
    return this.opening === undefined ? this.line : (this.line = this.opening.peer)
  }

  /** Once the request is answered. */
  get webSocket(): WebSocket | undefined {
    return this.connection
  }

  /** The connection behind the answer. */
  opened(transport: Transport.Transport, acceptance: OpeningHandshake.Acceptance): WebSocket {
    const { house } = this
    const connection = new Connection({
      terms: house,
      subprotocol: acceptance.subprotocol,
      codec: house.codec(acceptance.compression),
      transport
    })
    this.opening = undefined
    this.connection = connection
    this.watch = house.keepAlive.watch(connection)
    return connection
  }

  /** Runs with the handler's scope, which is made for the first that is run so. It is the fiber's from then on. */
  scoped<A, E, R>(self: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Scope.Scope>> {
    // what `Effect.scoped` keeps to give a fiber its own context back is a twentieth of what a connection holds
    const scoped: Effect.Effect<A, E, R> = Effect.withFiber((fiber) => {
      const { context } = fiber
      const scope = (this.scope ??= Scope.makeUnsafe())
      if (Context.getOrUndefined(context, Scope.Scope) !== scope)
        fiber.setContext(Context.add(context, Scope.Scope, scope))
      return self()
    })
    // the scope is in the context
    return scoped as Effect.Effect<A, E, Exclude<R, Scope.Scope>>
  }

  /** Marks the application's handler, which is run next. */
  handles<A, E, R>(handling: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    if (!mayPark(handling)) this.bar()
    return handling
  }

  override within<E, R>(self: Effect.Effect<unknown, E, R>): Effect.Effect<unknown, E, R> {
    const within = super.within(self)
    return this.scoped(() => within) as Effect.Effect<unknown, E, R>
  }

  protected handled(handling: Effect.Effect<unknown, unknown, unknown>): Effect.Effect<unknown, unknown, unknown> {
    return this.house.handled(this, handling)
  }

  /** What is left to do at the end of the handler, before that of the connection: of what it waited for, and then of its scope. */
  close(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> | undefined {
    const release = this.parked?.release?.(exit)
    return release === undefined
      ? this.closeScope(exit)
      : Effect.ensuring(
          release,
          Effect.suspend(() => this.closeScope(exit) ?? Effect.void)
        )
  }

  private closeScope(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> | undefined {
    return this.scope === undefined ? undefined : Scope.closeUnsafe(this.scope, exit)
  }

  /** The end of the handler. */
  leave(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    const { connection, house } = this
    if (connection === undefined) return Effect.sync(() => house.admission.leave(this))
    return Effect.map(connection.release(exit), () => {
      house.keepAlive.forget(this.watch)
      house.admission.leave(this)
    })
  }

  /** What the connection came to, if there was one. */
  get ended(): Ended | undefined {
    const { connection } = this
    return connection && { info: connection.info, received: connection.inbound.bytes, sent: connection.outbound.bytes }
  }
}
