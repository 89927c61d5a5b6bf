/**
 * Whatever way connections of the proxy end, and whatever they are in the midst of when it is disposed, nothing is left: no
 * socket on either side, no timer, no connection that it still knows.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { WebSocketProxy } from "../../src/component/WebSocketProxy.ts"
import * as Frames from "../proxy/frames.ts"
import { resources, untilNoMore } from "../proxy/held.ts"
import * as Pattern from "../proxy/pattern.ts"
import * as RawClient from "../proxy/rawClient.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { eventually } from "../proxy/watch.ts"
import * as Forwarding from "./forwarding.ts"

const { call, codeOf } = Forwarding
const { binary, frame } = Frames

const forever = new Promise<never>(() => {})

interface Ends {
  readonly client: RawClient.RawClient
  readonly target: RawTarget.TargetConnection
  readonly proxy: WebSocketProxy
  readonly id: string
}

/** A Close frame is answered. */
const answered = (client: RawClient.RawClient) =>
  Effect.gen(function* () {
    yield* client.watch.until("a Close frame", () => client.closeCode !== undefined)
    yield* client.sendClose(client.closeCode)
  })

/** What the ends do, and then nothing more: whatever is not over by itself is over in the close timeout. */
const endings: Record<string, (ends: Ends) => Effect.Effect<unknown>> = {
  "a polite client": ({ client, target }) =>
    Effect.gen(function* () {
      yield* client.sendClose(1000)
      yield* target.until("end")
      yield* target.end()
    }),
  "a client that closes, before a forward host that does not": ({ client }) => client.sendClose(1000),
  "a client that resets": ({ client }) => client.reset(),
  "a client that only ends": ({ client }) => client.end(),
  "a client that breaks the protocol": ({ client }) => client.send(3, ""),
  "a client that resets in the middle of a frame": ({ client }) =>
    Effect.andThen(client.write(Buffer.concat([Frames.header(binary, 1000), Buffer.alloc(5)])), client.reset()),
  "a polite forward host": ({ client, target }) => Effect.andThen(target.end(), answered(client)),
  "a forward host that ends before a client that does not answer": ({ target }) => target.end(),
  "a forward host that resets": ({ client, target }) => Effect.andThen(target.reset(), answered(client)),
  "a client that resets while the forward host sends": ({ client, target }) =>
    Effect.gen(function* () {
      client.sink = () => {}
      yield* Effect.forkChild(target.writeAll(Pattern.pieces(1, 20_000_000)), { startImmediately: true })
      yield* client.untilPayload(500_000)
      yield* client.reset()
    }),
  "a forward host that resets while the client sends": ({ client, target }) =>
    Effect.gen(function* () {
      target.sink = () => {}
      yield* Effect.forkChild(client.sendAll(Pattern.pieces(1, 20_000_000)), { startImmediately: true })
      yield* target.untilReceived(500_000)
      yield* target.reset()
    }),
  Disconnect: ({ client, id, proxy, target }) =>
    Effect.gen(function* () {
      const disconnecting = proxy.disconnect(id)
      yield* answered(client)
      yield* target.until("end")
      yield* target.end()
      yield* call(() => disconnecting)
    }),
  "Disconnect of a client that does not answer": ({ id, proxy }) => call(() => proxy.disconnect(id)),
  "Disconnect without waiting": ({ id, proxy }) =>
    call(() => {
      // read at once
      proxy.config("WaitForCloseResponse=False")
      const disconnecting = proxy.disconnect(id)
      proxy.config("WaitForCloseResponse=True")
      return disconnecting
    }),
  "Disconnect that is not waited for": ({ client, id, proxy }) => {
    proxy.connections.item(id).connected = false
    return answered(client)
  },
  "Disconnect in DataIn": ({ client }) => Effect.andThen(client.send(binary, "disconnect"), answered(client))
}

const all = Object.values(endings)
const many = 200

describe("after 200 connections of all endings", { timeout: 60_000 }, () => {
  it.live("Connected, Disconnected, Connections: each of the former has one of the latter, and nothing is left", () =>
    Effect.gen(function* () {
      const { listener, proxy, told } = yield* Forwarding.listen({ config: ["CloseTimeout=1"] })
      const ids = new Map<string, string>()
      proxy.on("WebSocketOpenRequest", (e) => void ids.set(e.requestURI, e.connectionId))
      proxy.on("DataIn", (e) => (e.text === "disconnect" ? proxy.disconnect(e.connectionId) : undefined))
      const before = yield* resources
      const one = (index: number) =>
        Effect.scoped(
          Effect.gen(function* () {
            const path = `/${index}`
            const client = yield* RawClient.open(proxy.localPort, { path })
            const target = yield* listener.meet(client)
            const id = ids.get(path)!
            yield* all[index % all.length]!({ client, target, proxy, id })
            yield* Forwarding.gone(proxy, id)
            yield* client.watch.until("the end for the client", () => client.over || client.socket.destroyed)
            yield* target.release
          })
        )
      yield* Effect.forEach(
        Array.from({ length: many }, (_, i) => i),
        one,
        { concurrency: 20, discard: true }
      )
      assert.strictEqual(proxy.connections.size, 0)
      assert.deepStrictEqual([told.count("Connected"), told.count("Disconnected")], [many, many])
      for (const id of ids.values()) assert.strictEqual(told.count(`Disconnected ${id} `), 1)
      yield* eventually("the forward host's sockets to be closed", () =>
        listener.connections.every(({ socket }) => socket.closed)
      )
      yield* untilNoMore(before)
      assert.deepStrictEqual(
        process.getActiveResourcesInfo().filter((type) => type.startsWith("TCPSocketWrap")),
        []
      )
    })
  )

  it.live("WebSocketOpenRequest, Error: and as much after 200 that were never open", () =>
    Effect.gen(function* () {
      const { port } = yield* RawTarget.nobody
      const { listener, proxy, told } = yield* Forwarding.listen()
      proxy.on("WebSocketOpenRequest", async (e) => {
        await new Promise(setImmediate)
        if (e.requestURI === "/401") e.statusCode = 401
        else if (e.requestURI === "/502") e.forwardPort = port
        else if (e.requestURI === "/500") throw new Error("no decision")
        else if (e.requestURI === "/503") await proxy.disconnect(e.connectionId)
        else e.forwardHost = ""
      })
      const before = yield* resources
      const paths = ["/401", "/502", "/500", "/503", "/", "/gone"]
      const one = (index: number) =>
        Effect.scoped(
          Effect.gen(function* () {
            const client = yield* RawClient.request(proxy.localPort, { path: paths[index % paths.length] })
            if (index % paths.length === 5) return yield* client.reset()
            yield* client.until("end")
          })
        )
      yield* Effect.forEach(
        Array.from({ length: many }, (_, i) => i),
        one,
        { concurrency: 20, discard: true }
      )
      yield* Forwarding.idle(proxy)
      assert.deepStrictEqual([told.count("Connected"), told.count("Disconnected")], [0, 0])
      assert.lengthOf(listener.connections, 0)
      yield* untilNoMore(before)
    })
  )
})

describe("dispose", { timeout: 60_000 }, () => {
  it.live(
    "Disconnected.StatusCode, Dispose: in the midst of everything it ends all at once, and leaves nothing on either side",
    () =>
      Effect.gen(function* () {
        const listener = yield* RawTarget.listen()
        const firewall = yield* RawTarget.listen()
        const before = yield* resources
        const proxy = new WebSocketProxy()
        const told = new Forwarding.Told(proxy)
        proxy.localHost = "127.0.0.1"
        proxy.defaultForwardHost = "127.0.0.1"
        proxy.defaultForwardPort = listener.port
        proxy.config("CloseTimeout=1")
        proxy.on("WebSocketOpenRequest", (e) => (e.requestURI === "/undecided" ? forever : undefined))
        proxy.on("Connected", (e) =>
          proxy.connections.item(e.connectionId).requestURI === "/greeted" ? forever : undefined
        )
        proxy.on("DataIn", (e) => (e.text === "wait for ever" ? forever : undefined))
        yield* call(() => proxy.setListening(true))
        const open = (path: string, options?: RawClient.Options) =>
          RawClient.open(proxy.localPort, { path, ...options })
        yield* Effect.gen(function* () {
          const clients: Array<RawClient.RawClient> = []
          const pair = Effect.fnUntraced(function* (path: string) {
            const client = yield* open(path)
            clients.push(client)
            return { client, target: yield* listener.meet(client) }
          })
          yield* pair("/idle")
          const waiting = yield* pair("/waiting")
          yield* waiting.client.send(binary, "wait for ever")
          const down = yield* pair("/down")
          down.client.pause()
          yield* Effect.forkChild(down.target.writeAll(new Pattern.Source(1)), { startImmediately: true })
          const up = yield* pair("/up")
          up.target.pause()
          yield* Effect.forkChild(up.client.sendAll(new Pattern.Source(1)), { startImmediately: true })
          const half = yield* pair("/half")
          yield* half.target.end()
          yield* half.client.until("close 1000")
          const other = yield* pair("/other-half")
          yield* other.client.sendClose(1000)
          yield* other.target.until("end")
          clients.push(yield* open("/greeted"))
          const undecided = yield* RawClient.request(proxy.localPort, { path: "/undecided" })
          yield* told.untilCount("WebSocketOpenRequest", 8)
          proxy.firewall.firewallType = 3
          proxy.firewall.host = "127.0.0.1"
          proxy.firewall.port = firewall.port
          const dialling = yield* RawClient.request(proxy.localPort)
          yield* firewall.accept
          const found = () => ["1", "2", "3", "4", "5", "6", "7", "8", "9"].filter((id) => proxy.connections.has(id))
          // two of them are still decided about
          assert.deepStrictEqual([proxy.connections.size, found().length], [7, 9])

          yield* call(() => proxy.dispose())
          assert.deepStrictEqual([found(), proxy.listening], [[], false])
          // but for those two whose listeners have not come back
          assert.strictEqual(told.count("Disconnected"), told.count("Connected") - 2)
          down.client.resume()
          up.target.resume()
          yield* undecided.until("503")
          yield* dialling.until("503")
          for (const client of clients) yield* client.watch.until("the end for a client", () => client.over)
          for (const target of [...listener.connections, ...firewall.connections]) {
            yield* target.watch.until("the end for a target", () => target.over)
          }
          assert.strictEqual(clients[0]!.closeCode, 1001)
          yield* Effect.forEach([...listener.connections, ...firewall.connections], ({ release }) => release)
        }).pipe(Effect.scoped)
        yield* untilNoMore(before)
      })
  )

  it.live("Dispose: what a client sent before is the forward host's, whoever it waited for", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* Forwarding.connected()
      let events = 0
      proxy.on("DataIn", () => (++events === 3 ? forever : undefined))
      const messages = Array.from({ length: 50 }, (_, i) => `${i},`)
      yield* client.write(Buffer.concat(messages.map((message) => frame(binary, message))))
      yield* eventually("the listener to wait", () => events === 3)
      const disposing = proxy.dispose()
      yield* client.until("close 1001")
      yield* client.write(Buffer.concat([frame(binary, "last"), frame(Frames.close, Frames.closePayload(1001))]))
      yield* target.until("end")
      assert.strictEqual(target.text, `${messages.join("")}last`)
      yield* target.end()
      yield* client.end()
      yield* call(() => disposing)
      // who waits is not called again
      assert.strictEqual(events, 3)
    })
  )

  it.live("10038, 126, Dispose: nothing works after it, and to do it again is nothing", () =>
    Effect.gen(function* () {
      const { client, id, proxy } = yield* Forwarding.connected({ config: ["CloseTimeout=1"] })
      yield* call(() => Promise.all([proxy.dispose(), proxy.dispose()]))
      yield* client.until("close 1001")
      assert.strictEqual(yield* codeOf(() => proxy.setListening(true)), 10038)
      assert.strictEqual(yield* codeOf(() => proxy.disconnect(id)), 126)
      yield* call(() => proxy.setListening(false))
      yield* call(() => proxy.shutdown())
      yield* call(() => proxy.dispose())
    })
  )

  it.live("Dispose: ends those of before who listened no more too", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* Forwarding.connected()
      yield* call(() => proxy.setListening(false))
      yield* client.send(binary, "still open")
      yield* target.untilReceived(10)
      const disposing = proxy.dispose()
      yield* answered(client)
      assert.strictEqual(client.closeCode, 1001)
      yield* target.until("end")
      yield* target.end()
      yield* client.end()
      yield* call(() => disposing)
      assert.strictEqual(proxy.connections.size, 0)
    })
  )

  it.live("10038, Dispose: while it begins to listen it listens to nothing in the end", () =>
    Effect.gen(function* () {
      const before = yield* resources
      const proxy = new WebSocketProxy()
      const told = new Forwarding.Told(proxy)
      proxy.localHost = "127.0.0.1"
      const listening = proxy.setListening(true)
      const code = codeOf(() => listening)
      const disposing = proxy.dispose()
      assert.strictEqual(yield* code, 10038)
      yield* call(() => disposing)
      assert.isFalse(proxy.listening)
      assert.deepStrictEqual(told.logged, [])
      yield* untilNoMore(before)
    })
  )

  it.live("Dispose: using and await using do it", () =>
    Effect.gen(function* () {
      const before = yield* resources
      yield* call(async () => {
        await using one = new WebSocketProxy()
        one.localHost = "127.0.0.1"
        await one.setListening(true)
        using two = new WebSocketProxy()
        two.localHost = "127.0.0.1"
        await two.setListening(true)
        assert.isTrue(one.listening && two.listening)
      })
      yield* untilNoMore(before)
    })
  )
})
