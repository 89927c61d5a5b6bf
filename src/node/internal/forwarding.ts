/**
 * Whose a request is that came through a reverse proxy which is believed, and whether that client may come in: the door has let in
 * the proxy, and knows nothing of whom it speaks for.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as NodeHttp from "node:http"
import type { Duplex } from "node:stream"
import type { Refusal } from "../../protocol/OpeningHandshake.ts"
import * as AccessList from "../../server/AccessList.ts"
import * as ForwardedFor from "../../server/ForwardedFor.ts"
import type { Door } from "./door.ts"
import { remoteAddressOf } from "./peer.ts"
import { type Named, refusal } from "./upgrade.ts"

/** Calls one of the two: at once, unless names have to be looked up. */
export type Forwarding = (
  request: NodeHttp.IncomingMessage,
  socket: Duplex,
  onNamed: (named: Named) => void,
  onRefused: (refusal: Refusal) => void
) => void

const badRequest = refusal(400, "The request cannot be read.")

export const make =
  (
    options: ForwardedFor.Options,
    door: Door | undefined,
    background: (self: Effect.Effect<void>) => void
  ): Forwarding =>
  ({ headers }, socket, onNamed, onRefused) => {
    const from = remoteAddressOf(socket)
    const client = ForwardedFor.clientAddress(options, from, headers[options.header]?.toString())
    if (Result.isFailure(client)) {
      const why = `A request from ${from} was refused: ${options.header}: ${client.failure}`
      background(
        Effect.andThen(
          Effect.logInfo(why),
          Effect.sync(() => onRefused(badRequest))
        )
      )
      return
    }
    const named = { address: client.success }
    // it came through the door itself
    if (door === undefined || !AccessList.matches(options.trusted, from)) return onNamed(named)
    background(
      Effect.map(door.judge(named.address), (refusal) => (refusal === undefined ? onNamed(named) : onRefused(refusal)))
    )
  }
