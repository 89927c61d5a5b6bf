/**
 * An echo over TLS. The certificate is read again when its file changes; clients are asked for one of their own, and those who
 * show one that the authority has signed are greeted by its name. Others are refused with 403.
 *
 *   CERT=server.pem KEY=server.key CLIENT_CA=ca.pem npm run example examples/tls.ts
 */
import { NodeFileSystem, NodeRuntime } from "@effect/platform-node"
import { Config, Effect, FileSystem, Layer, Stream } from "effect"
import { OpenRequest, WebSocketServer } from "effect-websocket"
import { NodeWebSocketServer } from "effect-websocket/node"
import { CertificateStore, Identities } from "effect-websocket/tls"

const Certificates = Layer.unwrap(
  Effect.gen(function* () {
    const store = yield* Config.String("CERT")
    const keyFile = yield* Config.String("KEY")
    const type = CertificateStore.CertStoreType.cstPEMKeyFile
    // more sources are chosen among by the name that a client asks for, and by the kind of key that it can use
    return Identities.layerReloading({ sources: [{ type, store, keyFile }], interval: "10 seconds" })
  })
)

const Server = Layer.unwrap(
  Effect.gen(function* () {
    const port = yield* Config.Int("PORT").pipe(Config.withDefault(8443))
    const fs = yield* FileSystem.FileSystem
    const ca = yield* fs.readFileString(yield* Config.String("CLIENT_CA"))
    return NodeWebSocketServer.layerTls({
      port,
      tls: {
        settings: { minVersion: "TLSv1.3" },
        // whoever shows a wrong one is let in as far as to be told so
        clientCertificates: { ca: [ca], decide: () => Effect.succeed(true) },
        onFailure: (peer, { message }) => console.error(`${peer.remoteAddress}: ${message}`)
      }
    })
  })
)

const Echo = WebSocketServer.layerRequests(
  Effect.fnUntraced(function* ({ accept, peer }) {
    const { clientCertificate, clientCertificateStatus } = peer?.tls ?? {}
    if (clientCertificate === undefined || clientCertificateStatus !== "OK") {
      return yield* new OpenRequest.Refusal({ status: 403, reason: "Show a certificate of ours." })
    }
    const socket = yield* accept
    yield* socket.send(`Welcome, ${clientCertificate.subject}.`)
    yield* Stream.runForEach(socket.messages, (message) => socket.send(message))
  })
)

Layer.mergeAll(Echo, WebSocketServer.layerLogAddress).pipe(
  Layer.provide(Server),
  Layer.provide([Certificates, NodeFileSystem.layer]),
  Layer.launch,
  NodeRuntime.runMain
)
