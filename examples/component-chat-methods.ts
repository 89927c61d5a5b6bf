/**
 * The same chat with a `get` and a `set` method for each property, and a Timeout: sending waits for each client, at most ten
 * seconds without progress.
 *
 *   npm run example examples/component-chat-methods.ts
 */
import { WSServer } from "effect-websocket/component"

const server = new WSServer()
server.setLocalHost("127.0.0.1")
server.setLocalPort(Number(process.env["PORT"] ?? 8080))
server.setDefaultTimeout(10)
server.config("BufferMessage=true")

server.on("Connected", (e) => server.sendText(e.connectionId, "Welcome. What you say goes to everyone else."))

server.on("DataIn", (e) => {
  const { connectionId: from, text } = e
  for (const connection of server.getConnections().values()) {
    const to = connection.getConnectionId()
    // not waited for here, so that a slow client does not hold up what others say
    if (to !== from) server.sendText(to, text).catch(() => server.disconnect(to).catch(() => {}))
  }
})

await server.startListening()
console.log(`Chatting on ws://${server.getLocalHost()}:${server.getLocalPort()}`)

process.once("SIGTERM", () => server.shutdown())
process.once("SIGINT", () => server.shutdown())
