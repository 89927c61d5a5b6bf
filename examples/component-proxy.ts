/**
 * The component `WebSocketProxy`: puts a TCP service behind a WebSocket. The path chooses between two.
 *
 *   TARGET=localhost:5900 npm run example examples/component-proxy.ts
 */
import { WebSocketProxy } from "effect-websocket/component"

const [host = "localhost", port = "5900"] = (process.env["TARGET"] ?? "").split(":").filter((part) => part !== "")

const proxy = new WebSocketProxy()
proxy.localHost = "127.0.0.1"
proxy.localPort = Number(process.env["PORT"] ?? 8080)
proxy.defaultForwardHost = host
proxy.defaultForwardPort = Number(port)

proxy
  .on("WebSocketOpenRequest", (e) => {
    if (e.requestURI === "/ssh") e.forwardPort = 22
    else if (e.requestURI !== "/") e.statusCode = 404
  })
  .on("Disconnected", (e) => console.log(`${e.connectionId} has disconnected: ${e.statusCode} ${e.description}`))
  .on("Error", (e) => console.error(`${e.errorCode}: ${e.description}`))

await proxy.setListening(true)
console.log(`Forwarding ws://${proxy.localHost}:${proxy.localPort} to ${host}:${port}`)

process.once("SIGTERM", () => proxy.dispose())
process.once("SIGINT", () => proxy.dispose())
