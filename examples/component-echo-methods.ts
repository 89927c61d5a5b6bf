/**
 * The same echo server as programs for the original write it: a `get` and a `set` method for each property, listeners added
 * when it listens, and a loop of `doEvents`.
 *
 *   npm run example examples/component-echo-methods.ts
 */
import * as ipworks from "effect-websocket/component"

const server = new ipworks.wsserver()
let running = true

server.setLocalHost("127.0.0.1")
server.setLocalPort(Number(process.env["PORT"] ?? 8080))
server.config("BufferMessage=true")
await server.startListening().catch((err: ipworks.ComponentError) => {
  console.log(`Error: ${err.message} (code ${err.code})`)
  process.exit(1)
})
console.log(`Listening on ws://${server.getLocalHost()}:${server.getLocalPort()}`)

server
  .on("Connected", (e) => {
    console.log(`${server.getConnections().item(e.connectionId).getRemoteHost()} has connected`)
  })
  .on("Disconnected", (e) => {
    console.log(`Disconnected from ${server.getConnections().item(e.connectionId).getRemoteHost()}: ${e.description}`)
  })
  .on("DataIn", async (e) => {
    console.log(`Echoing '${e.text}'`)
    await server.sendText(e.connectionId, e.text).catch((err: ipworks.ComponentError) => console.log(err.message))
  })

process.once("SIGTERM", () => (running = false))
process.once("SIGINT", () => (running = false))
while (running) await server.doEvents()
await server.shutdown()
