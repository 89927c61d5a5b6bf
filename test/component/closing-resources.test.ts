/**
 * What is left of connections that ended, and many of them at once.
 */
import { assert, describe, it } from "vitest"
import type { WSConnection } from "../../src/component/WSConnection.ts"
import * as Frames from "../proxy/frames.ts"
import {
  collectGarbage,
  connect,
  eventually,
  type Raw,
  rawRequest,
  refused,
  run,
  type Serving,
  serving
} from "./server.ts"

/** What keeps the process busy: sockets and timers. */
const resources = (): readonly [sockets: number, timers: number] => {
  const all = process.getActiveResourcesInfo()
  return [all.filter((name) => name.startsWith("TCP")).length, all.filter((name) => name === "Timeout").length]
}

const over = (client: Raw) => run(client.watch.until("the end", () => client.over))

const open = async (client: Raw): Promise<Raw> => {
  await run(client.until("open"))
  return client
}

const sending =
  (text: string, then: (client: Raw) => Promise<unknown> = over) =>
  async (client: Raw) => {
    await run((await open(client)).send(Frames.text, text))
    await then(client)
  }

/** Every way in which a connection, or what was to become one, can end; then the client's socket is destroyed. */
const endings: ReadonlyArray<readonly [path: string, end: (client: Raw) => Promise<unknown>]> = [
  ["/closes", async (client) => (await run((await open(client)).sendClose(1000)), over(client))],
  ["/closes-behind-data", sending("x", async (client) => (await run(client.sendClose(3000)), over(client)))],
  ["/fin", async (client) => (await run((await open(client)).end()), over(client))],
  ["/reset", async (client) => run((await open(client)).reset())],
  ["/destroyed", open],
  ["/violation", async (client) => (await run((await open(client)).write(Uint8Array.of(0xff, 0xff))), over(client))],
  ["/utf8", async (client) => (await run((await open(client)).send(Frames.text, Uint8Array.of(0xff))), over(client))],
  [
    "/reset-within",
    async (client) => {
      await run((await open(client)).send(Frames.binary, new Uint8Array(100_000), { fin: false }))
      await run(client.reset())
    }
  ],
  [
    "/disconnected",
    sending("disconnect", async (client) => {
      await run(client.until("close 1000"))
      await run(client.sendClose(1000))
      await over(client)
    })
  ],
  ["/mute", sending("disconnect")],
  ["/throws", sending("throw", (client) => run(client.sendClose(1000)))],
  ["/slow", sending("slow", (client) => run(client.reset()))],
  ["/paused", sending("pause", (client) => run(client.reset()))],
  ["/lines", sending("no end of a line", (client) => run(client.sendClose(1000)))],
  ["/refused", over],
  ["/thrown", over],
  ["/disconnect-early", over],
  ["/gone-while-deciding", (client) => run(client.reset())]
]

const listening = (views: Array<WeakRef<WSConnection>>) =>
  serving({
    config: ["CloseTimeout=1", "PingInterval=1"],
    on: (server) => {
      let count = 0
      server
        .on("WebSocketOpenRequest", async (e) => {
          if (e.requestURI === "/refused") e.statusCode = 403
          if (e.requestURI === "/thrown") throw new Error("as asked")
          if (e.requestURI === "/disconnect-early") await server.disconnect(e.connectionId)
          if (e.requestURI === "/gone-while-deciding") await new Promise((resolve) => setTimeout(resolve, 30))
        })
        .on("ConnectionRequest", (e) => {
          e.accept = ++count % 25 !== 0
        })
        .on("Connected", (e) => {
          const connection = server.connections.item(e.connectionId)
          views.push(new WeakRef(connection))
          if (connection.requestURI === "/lines") void server.changeLineMode(e.connectionId, true)
        })
        .on("DataIn", async (e) => {
          if (e.text === "disconnect") await server.disconnect(e.connectionId)
          if (e.text === "throw") throw new Error("as asked")
          if (e.text === "slow") await new Promise((resolve) => setTimeout(resolve, 30))
          if (e.text === "pause") await server.pauseData(e.connectionId)
        })
    }
  })

const visit = async (it: Serving, [path, end]: (typeof endings)[number]): Promise<void> => {
  await using client = await rawRequest(it.port, { path })
  // one in twenty-five is not accepted
  const accepted = run(client.watch.until("an answer", () => client.status !== undefined || client.over))
  if (path !== "/gone-while-deciding") await accepted
  else accepted.catch(() => {})
  if (client.status === undefined && client.over) return
  await end(client)
}

const inTurns = async <A>(all: ReadonlyArray<A>, width: number, visit: (one: A) => Promise<void>): Promise<void> => {
  const rest = all.values()
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (const one of rest) await visit(one)
    })
  )
}

describe("what is left", () => {
  it("Disconnected, Disconnect, Shutdown: after 200 connections that ended in every way no socket, timer or object of them is left", async () => {
    const views: Array<WeakRef<WSConnection>> = []
    const it = await listening(views)
    // what a process makes once and keeps is made here
    await inTurns(endings, 6, (ending) => visit(it, ending))
    await it.left(0)
    await new Promise((resolve) => setTimeout(resolve, 200))
    // looked at in the same way as below, which takes timers of its own
    const [sockets, timers] = await eventually("a number", resources)
    const rounds = Array.from({ length: 12 }, () => endings).flat()
    assert.isAbove(rounds.length, 200)
    await inTurns(rounds, 12, (ending) => visit(it, ending))
    await it.left(0)
    await eventually("sockets and timers as before", () => {
      const [socketsNow, timersNow] = resources()
      return socketsNow <= sockets && timersNow <= timers
    })
    // nothing holds what a connection was
    await eventually("connections that nobody holds", () => {
      collectGarbage()
      return views.filter((view) => view.deref() !== undefined).length <= 2
    })
    const opened = [...it.byId.values()].filter((events) => events.includes("Connected"))
    assert.isAbove(opened.length, 100)
    for (const events of opened)
      assert.match(
        events.findLast((event) => !event.startsWith("Error 500"))!,
        /^Disconnected /
      )
    await it.server.dispose()
    await eventually("nothing at all", () => resources()[0] === 0)
  }, 60_000)
})

describe("1,000 connections", () => {
  it("MaxConnections, Connections, DataIn, Shutdown: all are open at once, each is answered as itself, and all are closed", async () => {
    await using it = await serving({
      record: ["Disconnected"],
      on: (server) => {
        server.connectionBacklog = 511
        server.on("DataIn", (e) =>
          server.sendText(e.connectionId, `${e.text} ${server.connections.item(e.connectionId).requestURI}`)
        )
      }
    })
    const clients: Array<Awaited<ReturnType<typeof connect>>> = []
    try {
      await inTurns(
        Array.from({ length: 1000 }, (_, i) => i),
        50,
        async (i) => void clients.push(await connect(`${it.url}/${i}`))
      )
      assert.strictEqual(it.server.connections.size, 1000)
      assert.strictEqual((await refused(it.url)).status, 503)
      for (const { socket } of clients) socket.send("I am")
      await eventually("all answers", () => clients.every(({ messages }) => messages.length === 1))
      for (const { messages, socket } of clients)
        assert.strictEqual(messages[0], `I am ${new URL(socket.url).pathname}`)
      await it.server.shutdown()
      for (const { closed } of clients) assert.strictEqual((await closed)[0], 1000)
      assert.strictEqual(it.of("Disconnected 1000").length, 1000)
      assert.strictEqual(it.server.connections.size, 0)
    } finally {
      for (const { socket } of clients) socket.terminate()
    }
  }, 60_000)
})
