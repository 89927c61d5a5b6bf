/**
 * A request, from its admission to the end of its connection.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Socket from "effect/socket/Socket"
import type { Codec } from "../../connection/Deflate.ts"
import type { KeepAlive } from "../../connection/KeepAlive.ts"
import type { Limits } from "../../connection/Limits.ts"
import * as Transport from "../../connection/Transport.ts"
import type { WebSocket } from "../../connection/WebSocket.ts"
import { Connection } from "../../connection/internal/connection.ts"
import * as OpeningHandshake from "../../protocol/OpeningHandshake.ts"
import type * as PerMessageDeflate from "../../protocol/PerMessageDeflate.ts"
import type { Admission } from "../Admission.ts"
import { anonymous, type Identity } from "../Identity.ts"
import type { Answer, OpenRequest } from "../OpenRequest.ts"
import type { Peer, Proxied, Upgrade } from "../UpgradeListener.ts"

/** What the visits of a server share. */
export interface House {
  readonly limits: Limits
  readonly clock: Clock.Clock
  readonly keepAlive: KeepAlive
  readonly admission: Admission
  readonly codec: (agreement: PerMessageDeflate.Agreement | undefined) => Codec | undefined
}

export class Visit implements OpenRequest {
  readonly acceptance: OpeningHandshake.Acceptance
  readonly upgrade: Upgrade
  identity: Identity = anonymous
  private readonly house: House
  private connection: Connection | undefined = undefined
  /** The client went away before it was answered. */
  isGone = false

  /** The subprotocol that is sent back where none is agreed on, since it is all that the client offers: its token. */
  private readonly echo: string | undefined

  constructor(house: House, upgrade: Upgrade, acceptance: OpeningHandshake.Acceptance, echo?: string) {
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
    const { clock, codec, keepAlive, limits } = this.house
    const answer =
      this.echo === undefined || acceptance.subprotocol !== undefined
        ? acceptance
        : { ...acceptance, headers: { ...acceptance.headers, "sec-websocket-protocol": this.echo } }
    return Effect.matchEffect(Effect.flatMap(this.upgrade.accept(answer), Transport.fromSocket), {
      onSuccess: (transport) => {
        const connection = new Connection({
          role: "server",
          subprotocol: acceptance.subprotocol,
          codec: codec(acceptance.compression),
          limits,
          clock,
          transport
        })
        this.connection = connection
        keepAlive.watch(connection)
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

  /** The end of the handler. */
  leave(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    const { connection, house, upgrade } = this
    if (connection === undefined) return Effect.sync(() => house.admission.leave(upgrade))
    return Effect.map(connection.release(exit), () => {
      house.keepAlive.forget(connection)
      house.admission.leave(upgrade)
    })
  }
}
