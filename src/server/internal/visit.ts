/**
 * A request, from its admission to the end of its connection.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import type { Codec } from "../../connection/Deflate.ts"
import type { KeepAlive, Watch } from "../../connection/KeepAlive.ts"
import * as Transport from "../../connection/Transport.ts"
import type { WebSocket } from "../../connection/WebSocket.ts"
import { Connection } from "../../connection/internal/connection.ts"
import { type Host, mayPark, type Parked } from "../../connection/internal/parked.ts"
import type { Terms } from "../../connection/internal/terms.ts"
import * as OpeningHandshake from "../../protocol/OpeningHandshake.ts"
import type * as PerMessageDeflate from "../../protocol/PerMessageDeflate.ts"
import type { Admission } from "../Admission.ts"
import { anonymous, type Identity } from "../Identity.ts"
import type { Answer, OpenRequest } from "../OpenRequest.ts"
import type { Keeper, Ongoing, Peer, Proxied, Upgrade } from "../UpgradeListener.ts"

/** What the visits of a server share. */
export interface House extends Terms {
  /** The whole of a visit from here on, with its end. */
  readonly handled: (
    visit: Visit,
    handling: Effect.Effect<unknown, unknown, unknown>
  ) => Effect.Effect<unknown, unknown, unknown>
  readonly keepAlive: KeepAlive
  readonly admission: Admission
  readonly codec: (agreement: PerMessageDeflate.Agreement | undefined) => Codec | undefined
}

export class Visit implements OpenRequest, Ongoing, Host {
  readonly acceptance: OpeningHandshake.Acceptance
  readonly upgrade: Upgrade
  identity: Identity = anonymous
  private readonly house: House
  private connection: Connection | undefined = undefined
  private watch: Watch | undefined = undefined
  place = -1
  /** The client went away before it was answered. */
  isGone = false

  /** The subprotocol that is sent back where none is agreed on, since it is all that the client offers: its token. */
  private readonly echo: string | undefined

  private readonly keeper: Keeper<unknown> | undefined
  /** What it waits for without a fiber, if it does or is about to. */
  private parked: Parked | undefined = undefined
  private isParking = false
  private next: Effect.Effect<unknown, unknown, unknown> | undefined = undefined
  /** Whether a fiber may end before the connection does: nobody takes its end for that, and no effect of the application's has run in it. */
  private mayPark = true
  /** The handler's, once anything asked for it. */
  private scope: Scope.Closeable | undefined = undefined

  constructor(
    house: House,
    upgrade: Upgrade,
    acceptance: OpeningHandshake.Acceptance,
    keeper: Keeper<unknown> | undefined,
    echo: string | undefined
  ) {
    this.keeper = keeper
    this.echo = echo
    this.house = house
    this.upgrade = upgrade
    this.acceptance = acceptance
  }

  get request(): OpeningHandshake.Request {
    return this.upgrade.request
  }
  get remoteAddress(): string | undefined {
    return this.upgrade.remoteAddress
  }
  get peer(): Peer | undefined {
    return this.upgrade.peer
  }
  get proxied(): Proxied | undefined {
    return this.upgrade.peer?.proxied
  }

  get accept(): Effect.Effect<WebSocket, Socket.SocketError> {
    return this.answer(this.acceptance)
  }

  acceptWith(answer: Answer): Effect.Effect<WebSocket, Socket.SocketError> {
    return this.answer(OpeningHandshake.amend(this.request, this.acceptance, answer))
  }

  private answer(acceptance: OpeningHandshake.Acceptance): Effect.Effect<WebSocket, Socket.SocketError> {
    return Effect.uninterruptible(
      Effect.suspend(() => (this.connection === undefined ? this.open(acceptance) : Effect.succeed(this.connection)))
    )
  }

  private open(acceptance: OpeningHandshake.Acceptance): Effect.Effect<WebSocket, Socket.SocketError> {
    const { house } = this
    const answer =
      this.echo === undefined || acceptance.subprotocol !== undefined
        ? acceptance
        : { ...acceptance, headers: { ...acceptance.headers, "sec-websocket-protocol": this.echo } }
    return Effect.matchEffect(Effect.flatMap(this.upgrade.accept(answer), Transport.fromSocket), {
      onSuccess: (transport) => {
        const connection = new Connection({
          terms: house,
          subprotocol: acceptance.subprotocol,
          codec: house.codec(acceptance.compression),
          transport
        })
        this.connection = connection
        this.watch = house.keepAlive.watch(connection)
        return Effect.succeed(connection)
      },
      onFailure: (error) => {
        this.isGone = true
        return Effect.fail(error)
      }
    })
  }

  get isAnswered(): boolean {
    return this.connection !== undefined
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

  /** What an application gave to handle this, which is run next. */
  handles<A, E, R>(handling: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    this.mayPark = mayPark(handling)
    return handling
  }

  /** Waits without a fiber, if that is possible: what a handler ends with that has nothing else to do any more. */
  stay(parked: () => Parked | undefined): Effect.Effect<void> | undefined {
    if (this.keeper === undefined || !this.mayPark) return undefined
    this.parked = parked()
    return this.parked === undefined ? undefined : this.again()
  }

  again(): Effect.Effect<void> | undefined {
    if (!this.mayPark) return undefined
    this.isParking = true
    return Effect.void
  }

  within<E, R>(self: Effect.Effect<unknown, E, R>): Effect.Effect<unknown, E, R> {
    // its children, and what it has changed in its fiber, last until the handler ends
    this.mayPark = false
    return this.scoped(() => self) as Effect.Effect<unknown, E, R>
  }

  /** Whether it goes on when its fiber has ended so; to be asked once. */
  goesOn(exit: Exit.Exit<unknown, unknown>): boolean {
    const { isParking } = this
    this.isParking = false
    return isParking && Exit.isSuccess(exit)
  }

  /** Begins to wait. */
  wait(): void {
    this.keeper!.keep(this)
    this.parked!.begin(this)
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

  /** A fiber keeps what it was made of, and this may be a stay for long: what comes first is let go of. */
  private get going(): Effect.Effect<unknown, unknown, unknown> {
    return Effect.suspend(() => {
      const { next } = this
      this.next = undefined
      return next!
    })
  }

  resume(next: Effect.Effect<unknown, unknown, unknown>): void {
    this.next = next
    this.keeper!.goOn(this, this.house.handled(this, this.going))
  }

  interrupt(): void {
    this.resume(this.parked!.interrupted())
  }

  /** The end of the handler. */
  leave(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    const { connection, house, upgrade } = this
    if (connection === undefined) return Effect.sync(() => house.admission.leave(upgrade))
    return Effect.map(connection.release(exit), () => {
      house.keepAlive.forget(this.watch)
      house.admission.leave(upgrade)
    })
  }
}

/** See `Visit.stay`. */
export const stay = (open: OpenRequest, parked: () => Parked | undefined): Effect.Effect<void> | undefined =>
  open instanceof Visit ? open.stay(parked) : undefined
