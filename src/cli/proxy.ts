/**
 * `effect-websocket proxy [LISTEN] [TARGET]`: a WebSocket in front of a TCP service, or of several.
 */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NodeDialer from "../node/NodeDialer.ts"
import * as WebSocketProxy from "../proxy/WebSocketProxy.ts"
import * as Address from "./Address.ts"
import * as Admission from "./admission.ts"
import * as Compression from "./compression.ts"
import * as flags from "./flags.ts"
import * as Forwarding from "./forwarding.ts"
import * as HangUp from "./hangUp.ts"
import * as Life from "./life.ts"
import * as Log from "./log.ts"
import { printReady } from "./ready.ts"
import * as Record from "./record.ts"
import * as Routing from "./routing.ts"
import * as Target from "./target.ts"
import * as Tls from "./tls.ts"
import { given } from "./typed.ts"
import * as Web from "./web.ts"
import * as Workers from "./workers.ts"

export const proxy = Command.make(
  "proxy",
  {
    addresses: flags.addresses(
      "[LISTEN] TARGET",
      `LISTEN is [host:]port (${Address.defaultListen}; port 0 picks one), unix:PATH or fd:N, TARGET is host:port or unix:PATH; IPv6 as [::1]:port`,
      2,
      0
    ),
    ...Compression.compression("Compress with clients that offer permessage-deflate"),
    text: given("text", "Send text messages to the client; the target must speak UTF-8"),
    ...Routing.routing,
    ...Target.target,
    ...flags.server,
    ...Tls.server,
    ...Forwarding.server,
    ...Forwarding.target,
    ...Web.server,
    ...Life.server,
    ...Log.server,
    ...Record.server,
    ...Admission.server,
    ...Admission.web,
    ...Workers.server
  },
  Effect.fnUntraced(
    function* ({ addresses, text, ...rest }) {
      const [listen, to] = yield* Routing.addresses(addresses, rest)
      yield* HangUp.take
      const place = yield* Workers.make(
        rest,
        yield* flags.serverOptions(yield* Address.parseListen(listen, rest.preferIpv6), rest, "same-origin")
      )
      if (place.options === undefined) return yield* place.lead
      const { options } = place
      const target = yield* Routing.parse(to, rest)
      const dialer = { ...(yield* Forwarding.dialerOptions(rest)), ...(yield* Target.dialerOptions(rest, to)) }
      const forwarding = yield* Forwarding.serverOptions(rest)
      const tls = yield* Tls.serverOptions(rest)
      const admission = yield* Admission.proxyOptions(rest, { ...options, ...forwarding, tls })
      const compression = yield* Compression.options(rest)
      const life = yield* Life.make(rest)
      const running = Layer.launch(
        Layer.effectDiscard(printReady).pipe(
          Layer.provideMerge(WebSocketProxy.layer({ target, messages: text ? "text" : "binary" })),
          Layer.provide(Record.layer(rest)),
          Layer.provide(NodeDialer.layer(dialer)),
          Layer.provide(life.layer),
          // what the client offers first is what the target is taken to speak
          Layer.provide(
            Web.layer(
              rest,
              {
                ...options,
                ...forwarding,
                ...admission.options,
                ...compression,
                subprotocols: "first"
              },
              admission.guard
            ).pipe(Layer.provide(Log.layerAccess(rest)))
          )
        )
      )
      return yield* place.run(Effect.raceFirst(running, Effect.flatMap(life.over, Effect.logInfo)))
    },
    Effect.scoped,
    (self, flags) => Effect.provide(self, Log.layer(flags))
  )
).pipe(
  Command.withDescription(`Put a WebSocket in front of a TCP service. ${flags.durations}`),
  Command.withShortDescription("Put a WebSocket in front of a TCP service"),
  Command.withExamples([
    { command: "effect-websocket proxy 6080 localhost:5900", description: "ws://127.0.0.1:6080 to a VNC server" },
    {
      command: "effect-websocket proxy 0.0.0.0:8080 db.internal:5432 --origin https://app.example",
      description: "for everyone's network, and the pages of one site"
    },
    {
      command: "effect-websocket proxy 6080 --token-plugin file --token-source tokens.txt",
      description: "targets by token: ws://127.0.0.1:6080/?token=..."
    },
    {
      command: "effect-websocket proxy 6080 localhost:5900 --web /usr/share/novnc",
      description: "and the page at http://127.0.0.1:6080/vnc.html"
    },
    { command: "effect-websocket proxy 6443 localhost:5900 --cert server.pem --key server.key", description: "wss" }
  ])
)
