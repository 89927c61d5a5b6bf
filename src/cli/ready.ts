/**
 * What a command prints when it listens.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import { WebSocketServer } from "../server/WebSocketServer.ts"
import { Notes } from "./websockify.ts"

/** `HOST:PORT` as the server is reached, or the path of its unix socket. */
export const serverAddress = Effect.map(WebSocketServer, ({ address }) => NetAddress.formatSocketAddress(address))

/** The one line that says that connections are taken, and where; what there is to note goes before it, to stderr. */
export const printReady = Effect.gen(function* () {
  const { address, schemes } = yield* WebSocketServer
  for (const note of yield* Notes) yield* Console.error(`effect-websocket: note: ${note}`)
  const scheme = schemes[0] ?? "ws"
  yield* Console.log(
    NetAddress.isUnixPathAddress(address)
      ? `ready ${scheme}+unix:${address.path.replace("\0", "@")}`
      : `ready ${scheme}://${NetAddress.formatSocketAddress(address)}`
  )
})
