/**
 * A server that lets in who has a password or a signed token, and greets by the name that was proven: users of a file that
 * `htpasswd -B` has written, and tokens signed with a secret (HS256). A browser puts its token among the subprotocols.
 *
 *   htpasswd -cB users ann
 *   USERS=users SECRET=$(openssl rand -hex 32) npm run example examples/admission.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer, Stream } from "effect"
import { AccessPolicy, Jwt, JwtKeys, WebSocketServer } from "effect-websocket"
import { NodeHtpasswd, NodeWebSocketServer } from "effect-websocket/node"

const Server = Layer.unwrap(
  Effect.gen(function* () {
    const users = yield* NodeHtpasswd.make({ file: yield* Config.String("USERS") })
    const tokens = yield* Jwt.make({ keys: yield* JwtKeys.secret(yield* Config.Redacted("SECRET")) })
    const access = AccessPolicy.anyOf(
      AccessPolicy.basic({ realm: "the greeter", verify: users.verify }),
      AccessPolicy.jwt({ verify: Jwt.facts(tokens), from: ["header", { subprotocol: "bearer." }] })
    )
    const port = yield* Config.Int("PORT").pipe(Config.withDefault(8080))
    return NodeWebSocketServer.layer({ port, access, maxHandshakeRatePerAddress: 10, subprotocols: "first" })
  })
)

const Greeter = WebSocketServer.layerRequests(
  Effect.fnUntraced(function* ({ accept, identity }) {
    const socket = yield* accept
    yield* socket.send(`Hello, ${identity.subject}!`)
    yield* Stream.runDrain(socket.messages)
  })
)

Layer.mergeAll(Greeter, WebSocketServer.layerLogAddress).pipe(Layer.provide(Server), Layer.launch, NodeRuntime.runMain)
