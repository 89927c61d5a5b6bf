/**
 * An echo server written with the Effect API, in the process of the tests.
 */
import { Effect, Layer, ManagedRuntime, Stream } from "effect"
import { NetAddress } from "effect/net"
import { WebSocketServer } from "../../../src/index.ts"
import { NodeWebSocketServer } from "../../../src/node/index.ts"
import type { Target } from "../suite.ts"

const MiB = 1024 * 1024

const echo = (options: NodeWebSocketServer.Options) =>
  WebSocketServer.layerHandler((socket) => Stream.runForEach(socket.messages, (message) => socket.send(message))).pipe(
    Layer.provideMerge(
      NodeWebSocketServer.layer({
        port: 0,
        origin: "any",
        compression: { contextTakeover: true, threshold: 16 },
        maxMessageSize: 64 * MiB,
        maxFragments: 1_000_000,
        ...options
      })
    )
  )

export const startEffect = async (options: NodeWebSocketServer.Options = {}): Promise<Target> => {
  const runtime = ManagedRuntime.make(echo(options))
  const { address } = await runtime.runPromise(Effect.service(WebSocketServer.WebSocketServer))
  if (!NetAddress.isInetAddress(address)) throw new Error("not an IP address")
  return { host: NetAddress.formatIp(address.address), port: address.port, stop: () => runtime.dispose() }
}
