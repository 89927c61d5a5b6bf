/**
 * How a server of the Effect API tells that it is up: the one line `ready ws://HOST:PORT`.
 */
import { Console, Layer } from "effect"
import { NetAddress } from "effect/net"
import { WebSocketServer } from "effect-websocket"

export const layerReady = Layer.effectDiscard(
  WebSocketServer.WebSocketServer.use(({ address }) =>
    Console.log(`ready ws://${NetAddress.formatSocketAddress(address)}`)
  )
)
