/**
 * `effect-websocket echo [LISTEN]`: a server that sends every message back, to test clients and networks with.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as WebSocket from "../connection/WebSocket.ts"
import * as NodeWebSocketServer from "../node/NodeWebSocketServer.ts"
import * as WebSocketServer from "../server/WebSocketServer.ts"
import * as Address from "./Address.ts"
import type * as Message from "../protocol/Message.ts"
import * as Admission from "./admission.ts"
import * as Compression from "./compression.ts"
import * as flags from "./flags.ts"
import * as Forwarding from "./forwarding.ts"
import * as HangUp from "./hangUp.ts"
import { printReady } from "./ready.ts"
import * as Tls from "./tls.ts"
import * as Workers from "./workers.ts"

const MiB = 1024 * 1024

const sendBack = (messages: NonEmptyReadonlyArray<Message.Message>, webSocket: WebSocket.WebSocket) =>
  webSocket.sendAll(messages, { transfer: true })

export const echo = Command.make(
  "echo",
  {
    addresses: flags.addresses(
      "LISTEN",
      `[host:]port (${Address.defaultListen}; port 0 picks one), unix:PATH or fd:N; IPv6 as [::1]:port`,
      1,
      0
    ),
    contextTakeover: Compression.contextTakeover,
    ...flags.server,
    ...Tls.server,
    ...Forwarding.server,
    ...Admission.server,
    ...Workers.server
  },
  Effect.fnUntraced(function* ({ addresses, ...rest }) {
    const listen = yield* Address.parseListen(addresses[0] ?? Address.defaultListen, rest.preferIpv6)
    yield* HangUp.take
    // an echo has nothing that a page could take
    const place = yield* Workers.make(rest, yield* flags.serverOptions(listen, rest, "any"))
    if (place.options === undefined) return yield* place.lead
    const { options } = place
    const forwarding = yield* Forwarding.serverOptions(rest)
    const tls = yield* Tls.serverOptions(rest)
    const admission = yield* Admission.serverOptions(rest, { ...options, tls })
    const running = Layer.launch(
      Layer.effectDiscard(printReady).pipe(
        Layer.provideMerge(WebSocketServer.layerHandler((webSocket) => WebSocket.runForEachArray(webSocket, sendBack))),
        Layer.provide(
          NodeWebSocketServer.layer({
            ...options,
            ...forwarding,
            ...admission,
            subprotocols: "first",
            compression: Compression.setting(rest.contextTakeover),
            maxMessageSize: 64 * MiB,
            maxFragments: 64 * MiB
          })
        )
      )
    )
    return yield* place.run(running)
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    `Send every message back, to test clients and networks with; compressed for clients that offer it. ${flags.durations}`
  ),
  Command.withShortDescription("Send every message back: to test clients and networks with")
)
