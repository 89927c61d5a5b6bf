/**
 * A client that sends, closes and is gone while its data is not given out: all of it is, however long that takes.
 */
import { assert, it } from "@effect/vitest"
import { once } from "node:events"
import { WebSocket } from "ws"
import { WSServer } from "../../src/component/index.ts"

it("PauseData, ProcessData: what a client left behind is given out after many pings would have been due", async () => {
  await using server = new WSServer()
  server.localHost = "127.0.0.1"
  server.config("PingInterval=1")
  const ended = Promise.withResolvers<number>()
  let received = 0
  server
    .on("Connected", (e) => server.pauseData(e.connectionId))
    .on("DataIn", (e) => (received += e.textB.length))
    .on("Disconnected", (e) => ended.resolve(e.statusCode))
  await server.startListening()
  const client = new WebSocket(`ws://127.0.0.1:${server.localPort}`, { perMessageDeflate: false })
  await once(client, "open")
  for (let i = 0; i < 5; i++) client.send(Buffer.alloc(40_000, i))
  client.close(1000, "gone")
  await new Promise((resolve) => setTimeout(resolve, 2500))
  client.terminate()
  await new Promise((resolve) => setTimeout(resolve, 2500))
  await server.processData([...server.connections.keys()][0]!)
  assert.strictEqual(await ended.promise, 1000)
  assert.strictEqual(received, 200_000)
})
