/**
 * Ten lines that `docs/components.md` puts beside the same in C#.
 *
 *   npm run example examples/component-ten-lines.ts
 */
import { WSServer } from "effect-websocket/component"

const server = new WSServer()
server.localPort = Number(process.env["PORT"] ?? 8080)
server.config("BufferMessage=true")
server.on("WebSocketOpenRequest", (e) => (e.requestURI === "/" ? undefined : (e.statusCode = 404)))
server.on("Connected", (e) => console.log(server.connections.item(e.connectionId).remoteHost))
server.on("DataIn", (e) => server.sendText(e.connectionId, e.text))
server.on("Disconnected", (e) => console.log(e.statusCode, e.description))
await server.startListening()
console.log(`Listening on ws://localhost:${server.localPort}/`)
process.once("SIGTERM", () => server.shutdown())
