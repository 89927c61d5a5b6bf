/**
 * A chat with the component `WSServer`: what one client says goes to every other one. A page of another site is refused, and a
 * client that does not read is let go.
 *
 *   npm run example examples/component-chat.ts
 */
import { ComponentError, WSServer } from "effect-websocket/component"

const server = new WSServer()
server.localHost = "127.0.0.1"
server.localPort = Number(process.env["PORT"] ?? 8080)
server.config("BufferMessage=true")
server.config("MaxConnections=500")

/** With a Timeout of 0 sending does not wait: 10035 says that too much waits for this client already. */
const tell = async (connectionId: string, text: string) => {
  try {
    await server.sendText(connectionId, text)
  } catch (error) {
    if (error instanceof ComponentError && error.code === 10035) await server.disconnect(connectionId)
  }
}

server.on("WebSocketOpenRequest", (e) => {
  if (e.originHeader !== "" && new URL(e.originHeader).host !== e.hostHeader) e.statusCode = 403
})

server.on("Connected", (e) => tell(e.connectionId, "Welcome. What you say goes to everyone else."))

server.on("DataIn", async (e) => {
  const others = [...server.connections.keys()].filter((connectionId) => connectionId !== e.connectionId)
  await Promise.all(others.map((connectionId) => tell(connectionId, e.text)))
})

await server.startListening()
console.log(`Chatting on ws://${server.localHost}:${server.localPort}`)

process.once("SIGTERM", () => server.dispose())
process.once("SIGINT", () => server.dispose())
