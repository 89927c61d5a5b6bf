/**
 * The client of a request that came through a trusted reverse proxy, and whether it may come in: the door has only decided about
 * the proxy.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Duplex } from "node:stream"
import type { Refusal } from "../../protocol/OpeningHandshake.ts"
import * as AccessList from "../../server/AccessList.ts"
import { Denial } from "../../server/Denial.ts"
import * as ForwardedFor from "../../server/ForwardedFor.ts"
import * as Judge from "../../server/Judge.ts"
import type { Door } from "./door.ts"
import { remoteAddressOf } from "./peer.ts"
import type { Named } from "./upgrade.ts"

/** Calls one of the two: at once, unless names have to be looked up. */
export type Forwarding = (
  request: { readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>> },
  socket: Duplex,
  onNamed: (named: Named) => void,
  onRefused: (refusal: Refusal) => void
) => void

const unreadable = (header: ForwardedFor.Header, why: string) =>
  new Denial({ kind: "addressUnreadable", policy: "forwarded", reason: `${header}: ${why}`, challenges: [] })

export const make = Effect.fnUntraced(function* (
  options: ForwardedFor.Options,
  door: Door | undefined,
  background: (self: Effect.Effect<void>) => void
): Effect.fn.Return<Forwarding> {
  const judge = yield* Judge.make()
  // nobody else has the connection meanwhile: when the listener ends, it ends here
  const decide = (socket: Duplex, self: Effect.Effect<void>): void =>
    background(Effect.onInterrupt(self, () => Effect.sync(() => void socket.destroy())))
  return ({ headers }, socket, onNamed, onRefused) => {
    const from = remoteAddressOf(socket)
    const client = ForwardedFor.clientAddress(options, from, headers[options.header]?.toString())
    if (Result.isFailure(client)) {
      const denial = unreadable(options.header, client.failure)
      return decide(socket, Effect.map(judge.refuse(denial, { remoteAddress: from }), onRefused))
    }
    const named = { address: client.success }
    // it came through the door itself
    if (door === undefined || !AccessList.matches(options.trusted, from)) return onNamed(named)
    decide(
      socket,
      Effect.map(door.judge(named.address), (refusal) => (refusal === undefined ? onNamed(named) : onRefused(refusal)))
    )
  }
})
