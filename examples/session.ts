/**
 * Users of a web application: the cookie that its pages have is looked up in its sessions, before a connection is open. The service
 * `Sessions` stands for its database.
 *
 *   npm run example examples/session.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Context, Effect, Layer, Stream } from "effect"
import { Cookies } from "effect/http"
import { AccessPolicy, Identity, WebSocketServer } from "effect-websocket"
import { NodeWebSocketServer } from "effect-websocket/node"

class Sessions extends Context.Service<
  Sessions,
  { readonly userOf: (session: string) => Effect.Effect<string | undefined> }
>()("Sessions") {}

const bySession = AccessPolicy.custom(
  "session",
  Effect.fnUntraced(function* ({ request }) {
    const { session } = Cookies.parseHeader(request.headers["cookie"] ?? "")
    const user = session === undefined ? undefined : yield* (yield* Sessions).userOf(session)
    if (user === undefined) return yield* AccessPolicy.denied("session", "nobody has this session")
    return Identity.make({ method: "session", subject: user, claims: {} })
  })
)

const Server = Layer.unwrap(
  Effect.gen(function* () {
    const access = AccessPolicy.provideContext(bySession, yield* Effect.context<Sessions>())
    const port = yield* Config.Int("PORT").pipe(Config.withDefault(8080))
    return NodeWebSocketServer.layer({ port, access })
  })
)

const Greeter = WebSocketServer.layerRequests(
  Effect.fnUntraced(function* ({ accept, identity }) {
    const socket = yield* accept
    yield* socket.send(`Hello, ${identity.subject}!`)
    yield* Stream.runDrain(socket.messages)
  })
)

const users = new Map([["3a91", "ann"]])
const InMemory = Layer.succeed(Sessions)({ userOf: (session) => Effect.succeed(users.get(session)) })

Layer.mergeAll(Greeter, WebSocketServer.layerLogAddress).pipe(
  Layer.provide(Server),
  Layer.provide(InMemory),
  Layer.launch,
  NodeRuntime.runMain
)
