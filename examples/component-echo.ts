/**
 * An echo server with the component `WSServer`: properties, events, and methods that give promises.
 *
 *   npm run example examples/component-echo.ts
 */
import { WSServer } from "effect-websocket/component"

const server = new WSServer()
server.localHost = "127.0.0.1"
server.localPort = Number(process.env["PORT"] ?? 8080)
// without it, a message that comes in fragments would be answered by as many messages
server.config("BufferMessage=true")

server
  .on("Connected", (e) => console.log(`${server.connections.item(e.connectionId).remoteHost} has connected`))
  .on("DataIn", (e) => server.sendText(e.connectionId, e.text))
  .on("Disconnected", (e) => console.log(`${e.connectionId} has disconnected: ${e.statusCode} ${e.description}`))
  .on("Error", (e) => console.error(`${e.errorCode}: ${e.description}`))

await server.startListening()
console.log(`Echoing on ws://${server.localHost}:${server.localPort}`)

process.once("SIGTERM", () => server.dispose())
process.once("SIGINT", () => server.dispose())
