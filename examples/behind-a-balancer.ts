/**
 * A server behind load balancers that speak the PROXY protocol: each client is told the address that it comes from, and the name in
 * the certificate that it has shown the balancer, if the balancer has verified it.
 *
 *   BALANCERS=10.0.0.0/8 npm run example examples/behind-a-balancer.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer } from "effect"
import { AccessList, type OpenRequest, ProxyProtocol, WebSocketServer } from "effect-websocket"
import { NodeWebSocketServer } from "effect-websocket/node"

const nameOf = ({ proxied }: OpenRequest.OpenRequest): string => {
  const ssl = proxied?.tlvs.ssl
  return ssl !== undefined && ProxyProtocol.isVerified(ssl) ? (ssl.commonName ?? "somebody") : "nobody that is known"
}

const Greeting = WebSocketServer.layerRequests((open) =>
  Effect.flatMap(open.accept, (socket) =>
    socket.send(`You are ${nameOf(open)} at ${open.remoteAddress ?? "no address"}.`)
  )
)

const Server = NodeWebSocketServer.layerConfig({
  port: Config.Int("PORT").pipe(Config.withDefault(8080)),
  proxyProtocol: Config.map(Config.schema(AccessList.FromString, "BALANCERS"), (trusted) => ({ trusted }))
})

Layer.mergeAll(Greeting, WebSocketServer.layerLogAddress).pipe(Layer.provide(Server), Layer.launch, NodeRuntime.runMain)
