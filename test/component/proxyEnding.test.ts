/**
 * How connections of the proxy end that nobody here ends: by the client, by the forward host, or by a fault of either; what
 * the other side sees of it, and what Disconnected and Error tell.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Frames from "../proxy/frames.ts"
import * as Pattern from "../proxy/pattern.ts"
import * as RawClient from "../proxy/rawClient.ts"
import * as Forwarding from "./forwarding.ts"

const { binary, frame } = Frames

describe("the client ends it", { timeout: 30_000 }, () => {
  it.live("Disconnected.ConnectionId, Disconnected.StatusCode, Disconnected.Description: are the client's", () =>
    Effect.gen(function* () {
      const { client, id, proxy, target, told } = yield* Forwarding.connected()
      yield* client.sendClose(3001, "enough")
      yield* client.until("close 3001")
      yield* target.until("end")
      yield* target.end()
      yield* told.until("Disconnected 1 3001")
      assert.deepStrictEqual({ ...told.ends[0] }, { connectionId: id, statusCode: 3001, description: "enough" })
      yield* Forwarding.idle(proxy)
      assert.deepStrictEqual(told.lines, ["WebSocketOpenRequest 1", "Connected 1", "Disconnected 1 3001"])
      assert.deepStrictEqual(target.log, ["end", "closed"])
    })
  )

  it.live("Disconnected.StatusCode: 1005 if the client gives none", () =>
    Effect.gen(function* () {
      const { client, target, told } = yield* Forwarding.connected()
      yield* client.sendClose()
      yield* target.until("end")
      yield* target.end()
      yield* told.until("Disconnected 1 1005")
    })
  )

  it.live("Disconnected: is told when both sides have ended; what the forward host still says is for nobody", () =>
    Effect.gen(function* () {
      const { client, target, told } = yield* Forwarding.connected()
      yield* client.sendClose(1000)
      yield* target.until("end")
      yield* target.write(Buffer.from("too late"))
      assert.strictEqual(told.count("Disconnected"), 0)
      yield* target.end()
      yield* told.until("Disconnected 1 1000")
      assert.strictEqual(client.payloadBytes, 0)
      assert.deepStrictEqual(told.errors, [])
    })
  )

  it.live("Disconnected.StatusCode: a forward host that does not end has CloseTimeout to do it", () =>
    Effect.gen(function* () {
      const { client, target, told } = yield* Forwarding.connected({ config: ["CloseTimeout=1"] })
      yield* client.sendClose(1000)
      yield* target.until("end")
      yield* told.until("Disconnected 1 1000")
      // who writes to what is gone learns of it
      assert.isFalse(yield* target.writeAll(new Pattern.Source(1)))
    })
  )

  it.live(
    "Disconnected.StatusCode, Disconnected.Description: 1006 when it ends without a word; the forward host is reset",
    () =>
      Effect.gen(function* () {
        const { client, target, told } = yield* Forwarding.connected()
        yield* client.send(binary, "last words")
        yield* target.untilReceived(10)
        yield* client.end()
        yield* target.until("reset")
        yield* told.until("Disconnected 1 1006")
        assert.strictEqual(told.ends[0]!.description, "The connection ended without a Close frame.")
        // that is no error of the transport
        assert.deepStrictEqual(told.errors, [])
      })
  )

  it.live("10054, Disconnected.StatusCode: a client that resets: Error, then 1006; the forward host is reset", () =>
    Effect.gen(function* () {
      const { client, target, told } = yield* Forwarding.connected()
      yield* client.reset()
      yield* target.until("reset")
      yield* told.until("Disconnected 1 1006")
      assert.deepStrictEqual(told.lines.slice(2), ["Error 1 10054", "Disconnected 1 1006"])
    })
  )

  it.live(
    "10053, Disconnected.StatusCode: one that breaks the protocol: Error, Close 1002; the forward host is reset",
    () =>
      Effect.gen(function* () {
        const { client, target, told } = yield* Forwarding.connected()
        yield* client.write(Buffer.concat([frame(binary, "before"), frame(3, ""), frame(binary, "after")]))
        yield* client.until("close 1002")
        yield* target.until("reset")
        yield* client.end()
        yield* told.until("Disconnected 1 1002")
        assert.strictEqual(target.text, "before")
        assert.deepStrictEqual(told.lines.slice(2), ["Error 1 10053", "Disconnected 1 1002"])
        assert.include(told.errors[0]!.description, "opcode 0x3 is reserved")
      })
  )

  for (const [who, listens] of [
    ["who listens", true],
    ["nobody listens", false]
  ] as const) {
    it.live(
      `Disconnected.StatusCode: 1007 for text that is not UTF-8, of which the good part was forwarded; ${who}`,
      () =>
        Effect.gen(function* () {
          const { client, target, told } = yield* Forwarding.connected({
            setUp: (proxy) => (listens ? void proxy.on("DataIn", () => {}) : undefined)
          })
          yield* client.send(Frames.text, "good")
          yield* target.untilReceived(4)
          yield* client.send(Frames.text, Buffer.from([0x61, 0xff]))
          yield* client.until("close 1007")
          yield* client.end()
          yield* told.until("Disconnected 1 1007")
          assert.strictEqual(target.text, "good")
        })
    )
  }
})

describe("the forward host ends it", { timeout: 30_000 }, () => {
  it.live("Disconnected.StatusCode: its end is Close 1000 to the client, whose answer ends the rest", () =>
    Effect.gen(function* () {
      const { client, target, told } = yield* Forwarding.connected()
      yield* target.write(Buffer.from("bye"))
      yield* target.end()
      yield* client.until("close 1000")
      assert.strictEqual(client.bytes.toString(), "bye")
      assert.strictEqual(told.count("Disconnected"), 0)
      // the other way is still open
      yield* client.send(binary, "bye yourself")
      yield* target.untilReceived(12)
      yield* client.sendClose(1000)
      yield* target.until("end")
      yield* told.until("Disconnected 1 1000")
      assert.deepStrictEqual(told.lines.slice(1), ["Connected 1", "Disconnected 1 1000"])
    })
  )

  it.live("Disconnected.StatusCode: a client that does not answer its end is given up after CloseTimeout: 1006", () =>
    Effect.gen(function* () {
      const { client, target, told } = yield* Forwarding.connected({ config: ["CloseTimeout=1"] })
      yield* target.end()
      yield* client.until("close 1000")
      yield* told.until("Disconnected 1 1006")
      yield* client.watch.until("the end", () => client.over)
    })
  )

  it.live("10054, Disconnected.StatusCode: its reset is told by Error, and is Close 1011 to the client", () =>
    Effect.gen(function* () {
      const { client, proxy, target, told } = yield* Forwarding.connected()
      yield* target.reset()
      yield* client.until("close 1011")
      assert.notInclude(client.closeReason, "127.0.0.1")
      yield* client.sendClose(1011)
      yield* told.until("Disconnected 1 1011")
      assert.deepStrictEqual(told.lines.slice(2), ["Error 1 10054", "Disconnected 1 1011"])
      assert.include(told.errors[0]!.description, `127.0.0.1:${proxy.defaultForwardPort}`)
    })
  )

  it.live("10054: its reset while the client sends is told once", () =>
    Effect.gen(function* () {
      const { client, target, told } = yield* Forwarding.connected()
      target.sink = () => {}
      yield* Effect.forkChild(client.sendAll(Array.from({ length: 400 }, () => Buffer.alloc(50_000))), {
        startImmediately: true
      })
      yield* target.untilReceived(500_000)
      yield* target.reset()
      yield* client.until("close 1011")
      yield* client.release
      yield* told.watch.until("the end", () => told.count("Disconnected") === 1)
      assert.strictEqual(told.count("Error"), 1)
      assert.match(told.lines[2]!, /^Error 1 100(54|58)$/)
    })
  )

  it.live("Error: its reset after the client's Close is nobody's", () =>
    Effect.gen(function* () {
      const { client, target, told } = yield* Forwarding.connected()
      yield* client.sendClose(1000)
      yield* target.until("end")
      yield* target.reset()
      yield* told.until("Disconnected 1 1000")
      assert.deepStrictEqual(told.errors, [])
    })
  )
})

describe("Disconnected", { timeout: 30_000 }, () => {
  it.live("Connections, Disconnected: the connection is there until the last listener is done, and then no more", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const release = Promise.withResolvers<void>()
      const { client, listener, proxy, target, told } = yield* Forwarding.connected()
      proxy.on("Disconnected", async (e) => {
        await release.promise
        const { connected, forwardPort, remoteHost, remotePort } = proxy.connections.item(e.connectionId)
        seen.push([connected, forwardPort, remoteHost, remotePort])
      })
      const { localPort } = client.socket
      yield* client.sendClose(1000)
      yield* target.until("end")
      yield* target.end()
      yield* told.until("Disconnected 1 1000")
      assert.isTrue(proxy.connections.has("1"))
      // the others go on meanwhile
      yield* RawClient.open(proxy.localPort)
      release.resolve()
      yield* told.until("Connected 2")
      yield* Forwarding.gone(proxy, "1")
      assert.deepStrictEqual(seen, [[false, listener.port, "127.0.0.1", localPort]])
      assert.strictEqual(
        Forwarding.thrown(() => proxy.connections.item("1")),
        126
      )
    })
  )

  it.live("Connected, Disconnected, 500: listeners that fail keep nobody from anything", () =>
    Effect.gen(function* () {
      const fail = () => {
        throw new Error("a fault")
      }
      const { client, proxy, target, told } = yield* Forwarding.connected({
        setUp: (proxy) => proxy.on("Connected", fail).on("Disconnected", fail)
      })
      yield* client.send(binary, "one")
      yield* target.untilReceived(3)
      yield* client.sendClose(1000)
      yield* target.until("end")
      yield* target.end()
      yield* Forwarding.idle(proxy)
      assert.deepStrictEqual(told.lines, [
        "WebSocketOpenRequest 1",
        "Connected 1",
        "Error 1 500",
        "Disconnected 1 1000",
        "Error 1 500"
      ])
    })
  )
})
