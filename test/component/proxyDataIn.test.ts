/**
 * DataIn on the proxy: what it tells of the client's data, who may listen when, and that listening changes nothing of what the
 * forward host gets.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { DataInEvent } from "../../src/component/Events.ts"
import type { WebSocketProxy } from "../../src/component/WebSocketProxy.ts"
import * as Frames from "../proxy/frames.ts"
import * as Pattern from "../proxy/pattern.ts"
import { heldBack } from "../proxy/tcp.ts"
import { Watch } from "../proxy/watch.ts"
import * as Forwarding from "./forwarding.ts"

const MiB = 1024 * 1024

/** What DataIn told, in short: `2 "one"` for a fragment, `2 "one" EOM` for the last of a message. */
const listening = (proxy: WebSocketProxy) => {
  const watch = new Watch(() => lines.join(", "))
  const events: Array<DataInEvent> = []
  const lines: Array<string> = []
  const listener = (e: DataInEvent) => {
    events.push(e)
    lines.push(`${e.dataFormat} ${JSON.stringify(e.text)}${e.eom ? " EOM" : ""}`)
    watch.changed()
  }
  proxy.on("DataIn", listener)
  return {
    events,
    lines,
    off: () => proxy.off("DataIn", listener),
    until: (count: number) => watch.until<true>(`${count} events`, () => events.length >= count)
  }
}

/** No read of the proxy ends where such a message does, but by chance. */
const messageSize = 10_007

/** A message that says which it is. */
const numbered = (index: number): Buffer => {
  const message = Buffer.from(Pattern.slice(1, index * messageSize, messageSize))
  message.writeUInt32BE(index, 0)
  return message
}

const { binary, continuation, frame, text } = Frames
const euro = Buffer.from("€")

describe("DataIn", { timeout: 30_000 }, () => {
  it.live(
    "DataIn.ConnectionId, DataIn.DataFormat, DataIn.Text, DataIn.TextB, DataIn.EOM, DataIn.EOL: of whole messages",
    () =>
      Effect.gen(function* () {
        const { client, id, proxy, target } = yield* Forwarding.connected()
        const told = listening(proxy)
        yield* client.write(
          Buffer.concat([frame(text, "ünö"), frame(binary, euro), frame(binary, ""), frame(text, "")])
        )
        yield* told.until(4)
        assert.deepStrictEqual(told.lines, ['1 "ünö" EOM', '2 "€" EOM', '2 "" EOM', '1 "" EOM'])
        for (const { connectionId, eol, text, textB } of told.events) {
          assert.strictEqual(connectionId, id)
          assert.isFalse(eol)
          assert.strictEqual(Buffer.from(textB).toString(), text)
        }
        yield* target.untilReceived(8)
        assert.strictEqual(target.text, "ünö€")
      })
  )

  it.live(
    "DataIn.DataFormat, DataIn.EOM, DataIn.Text, DataIn.TextB: of fragments, which may end within a code point",
    () =>
      Effect.gen(function* () {
        const { client, proxy, target } = yield* Forwarding.connected()
        const told = listening(proxy)
        const parts = [
          frame(text, Buffer.concat([Buffer.from("a"), euro.subarray(0, 1)]), { fin: false }),
          frame(Frames.ping, "between"),
          frame(continuation, euro.subarray(1), { fin: false }),
          frame(continuation, ""),
          frame(binary, Buffer.from([0xff]), { fin: false }),
          frame(continuation, "b")
        ]
        yield* client.write(Buffer.concat(parts))
        yield* told.until(5)
        assert.deepStrictEqual(told.lines, ['1 "a"', '0 "€"', '0 "" EOM', '2 "\ufffd"', '0 "b" EOM'])
        assert.deepStrictEqual(
          told.events.map(({ textB }) => Buffer.from(textB).toString("hex")),
          ["61e2", "82ac", "", "ff", "62"]
        )
        yield* target.untilReceived(6)
        assert.strictEqual(target.bytes.toString("hex"), "61e282acff62")
      })
  )

  it.live("DataIn: tells of the client's data alone, and before the forward host has it", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* Forwarding.connected()
      const release = Promise.withResolvers<void>()
      const told = listening(proxy)
      proxy.on("DataIn", () => release.promise)
      yield* target.write(Buffer.from("from the target"))
      yield* client.untilPayload(15)
      yield* client.send(binary, "one")
      yield* told.until(1)
      // what goes the other way is not held up
      yield* target.write(Buffer.from(" and more"))
      yield* client.untilPayload(24)
      assert.strictEqual(target.received, 0)
      release.resolve()
      yield* target.untilReceived(3)
      assert.deepStrictEqual(told.lines, ['2 "one" EOM'])
    })
  )

  it.live("DataIn.TextB: is the listener's own, to change and to keep", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* Forwarding.connected()
      const kept: Array<Uint8Array> = []
      proxy.on("DataIn", (e) => {
        kept.push(e.textB)
        e.textB[0] = 0x58
      })
      yield* client.write(Buffer.concat([frame(binary, "one"), frame(binary, "two")]))
      yield* target.untilReceived(6)
      assert.strictEqual(target.text, "onetwo")
      assert.deepStrictEqual(
        kept.map((bytes) => Buffer.from(bytes).toString()),
        ["Xne", "Xwo"]
      )
    })
  )

  it.live("DataIn, 500: a listener that throws or rejects is told by Error, and holds nothing up", () =>
    Effect.gen(function* () {
      const { client, proxy, target, told } = yield* Forwarding.connected()
      proxy.on("DataIn", (e) => {
        if (e.text === "one") throw new Error("thrown")
        return Promise.reject(new Error("rejected"))
      })
      yield* client.write(Buffer.concat([frame(binary, "one"), frame(binary, "two")]))
      yield* target.untilReceived(6)
      yield* told.untilCount("Error 1 500", 2)
      assert.match(told.errors[0]!.description, /DataIn.*thrown/)
      assert.match(told.errors[1]!.description, /DataIn.*rejected/)
      assert.strictEqual(target.text, "onetwo")
    })
  )

  it.live(
    "InBufferSize, DataIn.Text, DataIn.TextB: gives a larger frame in pieces of that size, its text between code points",
    () =>
      Effect.gen(function* () {
        const { client, proxy, target } = yield* Forwarding.connected({ config: ["InBufferSize=1000"] })
        const told = listening(proxy)
        const message = "€".repeat(1000)
        yield* client.send(text, message)
        yield* target.untilReceived(3000)
        assert.deepStrictEqual(
          told.events.map(({ dataFormat, eom, textB }) => [dataFormat, textB.length, eom]),
          [
            [1, 1000, false],
            [0, 1000, false],
            [0, 1000, true]
          ]
        )
        assert.strictEqual(told.events.map((e) => e.text).join(""), message)
        assert.strictEqual(target.text, message)
        // the listener's own, whatever else is read
        assert.strictEqual(Buffer.concat(told.events.map(({ textB }) => textB)).toString(), message)
      })
  )

  it.live("BufferMessage: has DataIn fire once for a message, with the format of its first frame", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* Forwarding.connected({ config: ["BufferMessage=True"] })
      const told = listening(proxy)
      const message = Buffer.concat([
        frame(text, Buffer.from("\ufeffa")),
        frame(text, "b", { fin: false }),
        frame(continuation, euro.subarray(0, 2), { fin: false }),
        frame(Frames.ping, ""),
        frame(continuation, euro.subarray(2), { fin: false }),
        frame(continuation, ""),
        frame(binary, "", { fin: false }),
        frame(continuation, "c", { fin: false }),
        frame(continuation, "d")
      ])
      for (const byte of message) yield* client.write(Uint8Array.of(byte))
      yield* told.until(3)
      assert.deepStrictEqual(told.lines, ['1 "\ufeffa" EOM', '1 "b€" EOM', '2 "cd" EOM'])
      yield* target.untilReceived(10)
      assert.strictEqual(target.text, "\ufeffab€cd")
    })
  )

  it.live("BufferMessage: a message beyond MaxMessageSize is answered with Close 1009, and Error tells 10040", () =>
    Effect.gen(function* () {
      const { client, proxy, told } = yield* Forwarding.connected({
        config: ["BufferMessage=True", "MaxMessageSize=1000"]
      })
      listening(proxy)
      yield* client.send(binary, "x".repeat(1001))
      yield* client.until("close 1009")
      yield* client.end()
      yield* told.until("Disconnected 1 1009")
      assert.deepStrictEqual(told.lines.slice(-2), ["Error 1 10040", "Disconnected 1 1009"])
    })
  )

  it.live("BufferMessage: buffers nothing where nobody listens to DataIn", () =>
    Effect.gen(function* () {
      const { client, target } = yield* Forwarding.connected({ config: ["BufferMessage=True", "MaxMessageSize=1000"] })
      const checker = new Pattern.Checker(1)
      target.sink = (chunk) => checker.push(chunk)
      yield* client.sendFrame(MiB, Pattern.pieces(1, MiB))
      yield* target.untilReceived(MiB)
      assert.isUndefined(checker.fault)
    })
  )
})

describe("listeners of DataIn that come and go", { timeout: 60_000 }, () => {
  it.live("DataIn: one that is added to an idle connection has the next message, and one that is removed no more", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* Forwarding.connected()
      yield* client.send(binary, "one,")
      yield* target.untilReceived(4)
      const told = listening(proxy)
      yield* client.send(binary, "two,")
      yield* target.untilReceived(8)
      assert.deepStrictEqual(told.lines, ['2 "two," EOM'])
      told.off()
      yield* client.send(binary, "three,")
      yield* target.untilReceived(14)
      proxy.once("DataIn", (e) => void told.lines.push(e.text))
      yield* client.send(binary, "four,")
      yield* target.untilReceived(19)
      yield* client.send(binary, "five")
      yield* target.untilReceived(23)
      assert.deepStrictEqual(told.lines, ['2 "two," EOM', "four,"])
      assert.strictEqual(target.text, "one,two,three,four,five")
    })
  )

  it.live(
    "DataIn: one that is added within a message has the next, and one that is removed within it no more of it",
    () =>
      Effect.gen(function* () {
        const { client, proxy, target } = yield* Forwarding.connected()
        yield* client.send(binary, "one-", { fin: false })
        yield* target.untilReceived(4)
        const told = listening(proxy)
        yield* client.write(Buffer.concat([frame(continuation, "two,"), frame(binary, "three-", { fin: false })]))
        yield* target.untilReceived(14)
        assert.deepStrictEqual(told.lines, ['2 "three-"'])
        told.off()
        yield* client.write(Buffer.concat([frame(continuation, "four,"), frame(binary, "five")]))
        yield* target.untilReceived(23)
        assert.deepStrictEqual(told.lines, ['2 "three-"'])
        assert.strictEqual(target.text, "one-two,three-four,five")
      })
  )

  for (const [name, wait] of [
    ["ones", () => undefined],
    ["slow ones", () => new Promise(setImmediate)]
  ] as const) {
    it.live(`DataIn: ${name} that come and go while messages flow have whole messages, and the target all bytes`, () =>
      Effect.gen(function* () {
        const { client, proxy, target } = yield* Forwarding.connected()
        const faults: Array<string> = []
        const seen: Array<number> = []
        let open: Array<Uint8Array> = []
        const listener = (e: DataInEvent): unknown => {
          if (e.dataFormat !== (open.length === 0 ? 2 : 0)) faults.push(`format ${e.dataFormat} there`)
          open.push(e.textB)
          if (!e.eom) return undefined
          const message = Buffer.concat(open)
          open = []
          const index = message.readUInt32BE(0)
          if (index <= (seen.at(-1) ?? -1) || !message.equals(numbered(index)))
            faults.push(`${index} after ${seen.at(-1)}`)
          seen.push(index)
          return wait()
        }
        const got = new Pattern.Hasher()
        let period = 0
        target.sink = (chunk) => {
          got.push(chunk)
          const now = Math.floor(target.received / 300_000)
          if (now === period) return
          period = now
          // what was begun is not gone on with
          open = []
          if (now % 2 === 0) proxy.off("DataIn", listener)
          else proxy.on("DataIn", listener)
        }
        const messages = Array.from({ length: 2000 }, (_, index) => numbered(index))
        const sending = yield* Effect.forkChild(client.sendAll(messages), { startImmediately: true })
        yield* target.untilReceived(messages.length * messageSize, 30_000)
        yield* Fiber.join(sending)
        const sent = new Pattern.Hasher()
        for (const message of messages) sent.push(message)
        assert.strictEqual(got.hash, sent.hash)
        assert.deepStrictEqual(faults, [])
        // it was on, and it was off
        assert.isAbove(seen.length, 10)
        assert.isBelow(seen.length, messages.length)
      })
    )
  }

  it.live("DataIn: one that waits holds the client up, so that no more than buffers is held, and then all comes", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* Forwarding.connected()
      const release = Promise.withResolvers<void>()
      let events = 0
      proxy.on("DataIn", () => {
        events++
        return release.promise
      })
      const source = new Pattern.Source(1)
      const checker = new Pattern.Checker(1)
      target.sink = (chunk) => checker.push(chunk)
      const sending = yield* Effect.forkChild(client.sendAll(source), { startImmediately: true })
      yield* heldBack(client)
      assert.strictEqual(events, 1)
      assert.strictEqual(target.received, 0)
      // the system's own buffers, which it sizes by itself, and what the client holds
      assert.isBelow(source.sent, 24 * MiB)
      source.stop()
      release.resolve()
      yield* Fiber.join(sending)
      yield* target.untilReceived(source.sent, 20_000)
      assert.isUndefined(checker.fault)
      assert.isAbove(events, 1)
    })
  )
})
