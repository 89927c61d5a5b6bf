/**
 * A WebSocket in front of a TCP service that speaks TLS: the service's certificate has to be for its name and of the given authority,
 * and it is shown one of ours, if there is one.
 *
 *   TARGET=db.internal:5432 CA=ca.pem CERT=client.pem npm run example examples/tls-target.ts
 */
import { NodeFileSystem, NodeRuntime } from "@effect/platform-node"
import { Config, Effect, FileSystem, Layer, Option } from "effect"
import { Target, WebSocketProxy, WebSocketServer } from "effect-websocket"
import { NodeDialer, NodeRevocation, NodeWebSocketServer } from "effect-websocket/node"
import { CertificateStore } from "effect-websocket/tls"

const Dialer = Layer.unwrap(
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const ca = yield* fs.readFileString(yield* Config.String("CA"))
    const file = yield* Config.option(Config.String("CERT"))
    const certificate = Option.isNone(file)
      ? undefined
      : yield* CertificateStore.load({ type: CertificateStore.CertStoreType.cstPEMKeyFile, store: file.value })
    // asks whom the certificate names, if it names anybody
    const revocation = yield* NodeRevocation.make({ ocsp: "ifNamed", crl: "ifNamed" })
    return NodeDialer.layer({ tls: { ca, onlyGivenCa: true, certificate, revocation } })
  })
)

const Proxy = Layer.unwrap(
  Effect.map(Config.schema(Target.FromString, "TARGET"), (target) => WebSocketProxy.layer({ target }))
)

const Server = NodeWebSocketServer.layerConfig({ port: Config.Int("PORT").pipe(Config.withDefault(6080)) })

Layer.mergeAll(Proxy, WebSocketServer.layerLogAddress).pipe(
  Layer.provide([Dialer, Server]),
  Layer.provide(NodeFileSystem.layer),
  Layer.launch,
  NodeRuntime.runMain
)
