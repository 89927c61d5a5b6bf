/**
 * The component `WSServer` as an echo server, as its documentation shows it: one send for each message, compression off.
 * Prints `ready ws://HOST:PORT`. Usage: `node --conditions=source bench/servers/component-echo.ts HOST:PORT`.
 */
import { WSServer } from "effect-websocket/component"
import { endpoint } from "../peers/endpoint.ts"

const { host, port } = endpoint(process.argv[2])
const server = new WSServer()
server.localHost = host
server.localPort = port
server.config("EnablePermessageDeflate=false")
server.config("BufferMessage=true")
server.config("MaxConnections=100000")
server.on("DataIn", (e) =>
  e.dataFormat === 1 ? server.sendText(e.connectionId, e.text) : server.sendBytes(e.connectionId, e.textB)
)
await server.startListening()
console.log(`ready ws://${server.localHost}:${server.localPort}`)
