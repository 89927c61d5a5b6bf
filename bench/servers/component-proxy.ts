/**
 * The component `WebSocketProxy`. Prints `ready ws://HOST:PORT`.
 * Usage: `node --conditions=source bench/servers/component-proxy.ts HOST:PORT TARGET-HOST:PORT`.
 */
import { WebSocketProxy } from "effect-websocket/component"
import { endpoint } from "../peers/endpoint.ts"

const { host, port } = endpoint(process.argv[2])
const target = endpoint(process.argv[3])
const proxy = new WebSocketProxy()
proxy.localHost = host
proxy.localPort = port
proxy.defaultForwardHost = target.host
proxy.defaultForwardPort = target.port
proxy.config("MaxConnections=100000")
await proxy.setListening(true)
console.log(`ready ws://${proxy.localHost}:${proxy.localPort}`)
