/**
 * Runs when no command is given: the proxy in front of a small TCP service of its own, and a page that talks to it. It shows
 * within a minute that everything works, and says what to type next.
 */
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as Socket from "effect/socket/Socket"
import { SocketServer } from "effect/socket/SocketServer"
import * as Stream from "effect/Stream"
import * as NodeDialer from "../node/NodeDialer.ts"
import * as NodeWebSocketServer from "../node/NodeWebSocketServer.ts"
import { Target } from "../proxy/Target.ts"
import * as WebSocketProxy from "../proxy/WebSocketProxy.ts"
import type { ListenError } from "../server/UpgradeListener.ts"
import type { WebSocketServer } from "../server/WebSocketServer.ts"
import { serverAddress } from "./ready.ts"

const firstPort = 8080
const lastPort = 8179

/** The longest line that the service takes, so that it holds no more than that. */
const maxLine = 64 * 1024

/** The TCP service: it greets, and sends back every line that it gets. */
const lineEcho = Effect.fnUntraced(function* (socket: Socket.Socket) {
  const pull = yield* Socket.readerString(socket)
  const writer = yield* socket.writer
  yield* writer.write("Hello. Type a line and it comes back.\n")
  let held = ""
  yield* Stream.fromPull(Effect.succeed(pull)).pipe(
    Stream.runForEach((text) => {
      const lines = (held + text).split("\n")
      held = lines.pop() ?? ""
      if (held.length > maxLine) {
        lines.push(held)
        held = ""
      }
      return lines.length === 0 ? Effect.void : writer.write(lines.map((line) => `${line}\n`).join(""))
    }),
    // also one that was reset is only an end to it
    Effect.catchTag("SocketError", () => Effect.void)
  )
})

/** Listens on the first free port from 8080 on. */
const listen = (port: number): Layer.Layer<WebSocketServer | HttpServer.HttpServer, ListenError> =>
  NodeWebSocketServer.layerHttp({ port }).pipe(
    Layer.catch((error) =>
      error.code === "EADDRINUSE" && port < lastPort ? listen(port + 1) : Layer.effectDiscard(Effect.fail(error))
    )
  ) as Layer.Layer<WebSocketServer | HttpServer.HttpServer, ListenError>

const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>effect-websocket</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 2rem auto; padding: 0 1rem }
  pre { background: #f4f4f4; padding: 1rem; min-height: 8rem; white-space: pre-wrap }
  input { font: inherit; width: 70% }
</style>
<h1>effect-websocket</h1>
<p>This page speaks WebSocket to the proxy, and the proxy TCP to a service that sends back every line.</p>
<p id="state">connecting…</p>
<form><input id="line" autofocus autocomplete="off" placeholder="a line" aria-label="a line"> <button>Send</button></form>
<pre id="log"></pre>
<script>
  const socket = new WebSocket(location.href.replace(/^http/, "ws"))
  const show = (id, text) => { document.getElementById(id).textContent += text }
  const state = (text) => { document.getElementById("state").textContent = text }
  socket.onopen = () => state("connected")
  socket.onmessage = (event) => show("log", event.data)
  socket.onclose = (event) => state("closed with code " + event.code)
  document.querySelector("form").onsubmit = (event) => {
    event.preventDefault()
    const line = document.getElementById("line")
    socket.send(line.value + "\\n")
    line.value = ""
  }
</script>
</html>
`

const serveIndex = Effect.map(HttpServerRequest.HttpServerRequest, (request) =>
  request.method !== "GET" && request.method !== "HEAD"
    ? HttpServerResponse.empty({ status: 405, headers: { allow: "GET, HEAD" } })
    : request.url.split("?")[0] === "/"
      ? HttpServerResponse.html(page)
      : HttpServerResponse.text("There is only the page at /.\n", { status: 404 })
)

/** This command as whoever reads it can type it: in a clone, where it runs from its sources, or where it is installed. */
const self = import.meta.url.endsWith(".ts") ? "npm start --" : "npx effect-websocket"

const announce = Effect.flatMap(serverAddress, (address) =>
  Console.log(
    `open http://${address} to talk to a TCP service through the WebSocket at ws://${address}\n` +
      `next: ${self} proxy 6080 localhost:5900 puts a WebSocket in front of a TCP service of yours`
  )
)

export const demo = Layer.unwrap(
  Effect.gen(function* () {
    const service = yield* SocketServer
    yield* Effect.forkScoped(service.run((socket) => Effect.scoped(lineEcho(socket))))
    const { address } = service
    if (!NetAddress.isInetAddress(address)) return yield* Effect.die("the embedded service listens on an IP address")
    const target = new Target({ host: NetAddress.formatIp(address.address), port: address.port })
    return Layer.effectDiscard(announce).pipe(
      Layer.provideMerge(WebSocketProxy.layer({ target, messages: "text" })),
      Layer.provideMerge(HttpServer.serve(serveIndex)),
      Layer.provide(NodeDialer.layer()),
      Layer.provide(listen(firstPort))
    )
  })
).pipe(Layer.provide(NodeSocketServer.layer({ host: "127.0.0.1", port: 0 })), Layer.launch)
