/**
 * A request to open a connection, from its admission to its answer. It is dropped then, unless the application keeps it:
 * connections live long, there may be many, and a browser's request takes a third of the memory of a connection that waits.
 */
import * as Effect from "effect/Effect"
import type * as Socket from "effect/socket/Socket"
import type { WebSocket } from "../../connection/WebSocket.ts"
import * as Transport from "../../connection/Transport.ts"
import type { Parked } from "../../connection/internal/parked.ts"
import * as OpeningHandshake from "../../protocol/OpeningHandshake.ts"
import type { withoutTokens } from "../Credentials.ts"
import { anonymous, type Identity } from "../Identity.ts"
import type { Answer, OpenRequest } from "../OpenRequest.ts"
import type { Peer, Proxied, Upgrade } from "../UpgradeListener.ts"
import type { AccessRecord } from "./accessRecord.ts"

/** What an opening becomes. */
export interface Opened {
  /** Once it is answered. */
  readonly webSocket: WebSocket | undefined
  opened(transport: Transport.Transport, acceptance: OpeningHandshake.Acceptance): WebSocket
  stay(parked: () => Parked | undefined): Effect.Effect<void> | undefined
  /** What the access log keeps of it, if there is one. */
  readonly record: AccessRecord | undefined
}

export class Opening implements OpenRequest {
  private readonly visit: Opened
  readonly upgrade: Upgrade
  /** Without the subprotocols that are tokens: no handler is to agree on one. */
  readonly request: OpeningHandshake.Request
  readonly acceptance: OpeningHandshake.Acceptance
  identity: Identity = anonymous
  /** The client went away before it was answered. */
  isGone = false
  /** The subprotocol to send back: the client's token, if it offers nothing else and none can be agreed on. */
  private readonly echo: string | undefined

  constructor(
    visit: Opened,
    upgrade: Upgrade,
    acceptance: OpeningHandshake.Acceptance,
    { echo, request }: ReturnType<typeof withoutTokens>
  ) {
    this.visit = visit
    this.upgrade = upgrade
    this.request = request
    this.acceptance = acceptance
    this.echo = echo
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

  annotate(key: string, value: string): void {
    this.visit.record?.annotate(key, value)
  }

  /** Waits without a fiber, if that is possible: the last effect of a handler that has nothing else left to do. */
  stay(parked: () => Parked | undefined): Effect.Effect<void> | undefined {
    return this.visit.stay(parked)
  }

  private answer(acceptance: OpeningHandshake.Acceptance): Effect.Effect<WebSocket, Socket.SocketError> {
    return Effect.uninterruptible(
      Effect.suspend(() => {
        const { webSocket } = this.visit
        return webSocket === undefined ? this.open(acceptance) : Effect.succeed(webSocket)
      })
    )
  }

  private open(acceptance: OpeningHandshake.Acceptance): Effect.Effect<WebSocket, Socket.SocketError> {
    const answer =
      this.echo === undefined
        ? acceptance
        : { ...acceptance, headers: { ...acceptance.headers, "sec-websocket-protocol": this.echo } }
    return Effect.matchEffect(Effect.flatMap(this.upgrade.accept(answer), Transport.fromSocket), {
      onSuccess: (transport) => {
        const webSocket = Effect.succeed(this.visit.opened(transport, acceptance))
        const { record } = this.visit
        return record === undefined ? webSocket : Effect.andThen(record.opened(acceptance), webSocket)
      },
      onFailure: (error) => {
        this.isGone = true
        return Effect.fail(error)
      }
    })
  }
}

/** See `Opening.stay`. */
export const stay = (open: OpenRequest, parked: () => Parked | undefined): Effect.Effect<void> | undefined =>
  open instanceof Opening ? open.stay(parked) : undefined
