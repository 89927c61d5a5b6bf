/**
 * How what the forward host sends becomes messages: MaxFrameSize and MessageLength, with and without a Timeout.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Frames from "../proxy/frames.ts"
import * as Pattern from "../proxy/pattern.ts"
import type { Message } from "../proxy/rawClient.ts"
import * as Forwarding from "./forwarding.ts"

const { thrown } = Forwarding

/** Messages as their sizes and in how many frames they came. */
const shape = (messages: ReadonlyArray<Message>) =>
  messages.map(({ frames, payload }) => (frames === 1 ? `${payload.length}` : `${payload.length} in ${frames}`))

const assertBinary = (messages: ReadonlyArray<Message>) => {
  for (const { opcode } of messages) assert.strictEqual(opcode, Frames.binary)
}

describe("MaxFrameSize", { timeout: 30_000 }, () => {
  it.live(
    "MaxFrameSize: what the forward host sends comes in binary messages, as it came; by default up to 131072 bytes",
    () =>
      Effect.gen(function* () {
        const { client, proxy, target } = yield* Forwarding.connected()
        assert.strictEqual(proxy.config("MaxFrameSize"), "131072")
        yield* target.write(Buffer.from("text, for all the proxy knows"))
        yield* client.untilPayload(29)
        const total = 1_000_000
        yield* target.writeAll(Pattern.pieces(1, total))
        yield* client.untilPayload(29 + total)
        assertBinary(client.messages)
        assert.isTrue(client.messages.every(({ frames, payload }) => frames === 1 && payload.length <= 131_072))
        assert.isTrue(client.bytes.subarray(29).equals(Pattern.bytes(1, total)))
      })
  )

  it.live("MaxFrameSize, Timeout: with Timeout 0 larger ones are cut into messages of their own", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* Forwarding.connected({ config: ["MaxFrameSize=1000"] })
      yield* target.write(Pattern.bytes(1, 2500))
      yield* client.untilPayload(2500)
      assert.deepStrictEqual(shape(client.messages), ["1000", "1000", "500"])
      // it may be changed while connections are open
      proxy.config("MaxFrameSize=3000")
      yield* target.write(Pattern.bytes(2, 2500))
      yield* client.untilPayload(5000)
      assert.deepStrictEqual(shape(client.messages), ["1000", "1000", "500", "2500"])
      assertBinary(client.messages)
      assert.isTrue(client.bytes.equals(Buffer.concat([Pattern.bytes(1, 2500), Pattern.bytes(2, 2500)])))
    })
  )

  it.live("MaxFrameSize, DefaultTimeout, Timeout: with a Timeout larger ones are the fragments of one message", () =>
    Effect.gen(function* () {
      const { client, id, proxy, target } = yield* Forwarding.connected({
        config: ["MaxFrameSize=1000"],
        setUp: (proxy) => (proxy.defaultTimeout = 10)
      })
      yield* target.write(Pattern.bytes(1, 2500))
      yield* client.untilPayload(2500)
      assert.deepStrictEqual(shape(client.messages), ["2500 in 3"])
      yield* target.write(Pattern.bytes(1, 1000))
      yield* client.untilPayload(3500)
      assert.deepStrictEqual(shape(client.messages), ["2500 in 3", "1000"])
      proxy.connections.item(id).timeout = 0
      yield* target.write(Pattern.bytes(1, 1001))
      yield* client.untilPayload(4501)
      assert.deepStrictEqual(shape(client.messages), ["2500 in 3", "1000", "1000", "1"])
      assertBinary(client.messages)
    })
  )

  for (const timeout of [0, 10]) {
    it.live(`MaxFrameSize, Timeout: of 1 byte it still loses nothing; Timeout ${timeout}`, () =>
      Effect.gen(function* () {
        const { client, target } = yield* Forwarding.connected({
          config: ["MaxFrameSize=1"],
          setUp: (proxy) => (proxy.defaultTimeout = timeout)
        })
        const total = 100_000
        yield* target.writeAll(Pattern.pieces(1, total))
        yield* client.untilPayload(total, 20_000)
        assert.isTrue(client.bytes.equals(Pattern.bytes(1, total)))
      })
    )
  }
})

describe("MessageLength", { timeout: 30_000 }, () => {
  it.live("MessageLength: so many bytes of what the forward host sends next are one message, and then it is 0", () =>
    Effect.gen(function* () {
      const { client, id, proxy, target } = yield* Forwarding.connected({ config: ["MaxFrameSize=1000"] })
      const setting = `MessageLength[${id}]`
      assert.strictEqual(proxy.config(setting), "0")
      assert.strictEqual(proxy.config(`${setting}=2500`), "2500")
      yield* target.write(Pattern.bytes(1, 10))
      yield* client.untilPayload(10)
      assert.deepStrictEqual(client.messages, [])
      assert.strictEqual(proxy.config(setting), "2490")
      yield* target.write(Buffer.from(Pattern.slice(1, 10, 2490)))
      yield* client.untilPayload(2500)
      assert.deepStrictEqual(shape(client.messages), ["2500 in 4"])
      assert.isTrue(client.bytes.equals(Pattern.bytes(1, 2500)))
      assert.strictEqual(proxy.config(setting), "0")
      yield* target.write(Buffer.from("next"))
      yield* client.untilPayload(2504)
      assert.deepStrictEqual(shape(client.messages), ["2500 in 4", "4"])
      assertBinary(client.messages)
    })
  )

  it.live("MessageLength: what comes beyond it in the same read is the next message", () =>
    Effect.gen(function* () {
      const { client, id, proxy, target } = yield* Forwarding.connected()
      proxy.config(`MessageLength[${id}]=4`)
      yield* target.write(Buffer.from("fourbeyond"))
      yield* client.untilPayload(10)
      assert.deepStrictEqual(
        client.messages.map(({ payload }) => payload.toString()),
        ["four", "beyond"]
      )
    })
  )

  it.live("MessageLength, 10022: cannot be set while a message is open, and only with a connection", () =>
    Effect.gen(function* () {
      const { client, id, proxy, target } = yield* Forwarding.connected()
      proxy.config(`MessageLength[${id}]=100`)
      // none has begun
      proxy.config(`MessageLength[${id}]=10`)
      yield* target.write(Buffer.from("begun"))
      yield* client.untilPayload(5)
      assert.strictEqual(
        thrown(() => proxy.config(`MessageLength[${id}]=3`)),
        10022
      )
      assert.strictEqual(proxy.config(`MessageLength[${id}]`), "5")
      assert.strictEqual(
        thrown(() => proxy.config("MessageLength=3")),
        10022
      )
      assert.strictEqual(
        thrown(() => proxy.config("MessageLength")),
        10022
      )
      assert.strictEqual(
        thrown(() => proxy.config(`MessageLength[${id}]=-1`)),
        10022
      )
      yield* target.write(Buffer.from("ended"))
      yield* client.untilPayload(10)
      assert.deepStrictEqual(shape(client.messages), ["10 in 2"])
    })
  )

  it.live("126, MessageLength: no connection has the id", () =>
    Effect.gen(function* () {
      const { proxy } = yield* Forwarding.listen()
      assert.strictEqual(
        thrown(() => proxy.config("MessageLength[7]=3")),
        126
      )
      assert.strictEqual(
        thrown(() => proxy.config("MessageLength[7]")),
        126
      )
    })
  )

  it.live("MessageLength, Timeout: is of what is sent without a Timeout, but a message that has begun is ended", () =>
    Effect.gen(function* () {
      const { client, id, proxy, target } = yield* Forwarding.connected()
      const connection = proxy.connections.item(id)
      connection.timeout = 5
      proxy.config(`MessageLength[${id}]=8`)
      yield* target.write(Buffer.from("one"))
      yield* client.untilPayload(3)
      assert.deepStrictEqual(shape(client.messages), ["3"])
      connection.timeout = 0
      yield* target.write(Buffer.from("four"))
      yield* client.untilPayload(7)
      connection.timeout = 5
      yield* target.write(Buffer.from("five"))
      yield* client.untilPayload(11)
      yield* target.write(Buffer.from("six"))
      yield* client.untilPayload(14)
      assert.deepStrictEqual(shape(client.messages), ["3", "8 in 2", "3"])
    })
  )

  it.live("MessageLength: a forward host that ends within a message still ends in order", () =>
    Effect.gen(function* () {
      const { client, id, proxy, target, told } = yield* Forwarding.connected()
      proxy.config(`MessageLength[${id}]=100`)
      yield* target.write(Buffer.from("short"))
      yield* target.end()
      yield* client.until("close 1000")
      assert.strictEqual(client.payloadBytes, 5)
      yield* client.sendClose(1000)
      yield* told.until("Disconnected 1 1000")
    })
  )
})
