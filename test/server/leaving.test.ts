/**
 * A server that closes and does not wait for the answer: what it sent before is delivered all the same, and its Close frame.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { connect } from "node:net"
import { echo, serving } from "./serving.ts"

const head = (port: number) =>
  `GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

/** A masked frame of zeros under a mask of zeros. */
const frameOf = (size: number) => {
  const bytes = Buffer.alloc(8 + size)
  bytes.writeUInt16BE(0x82fe)
  bytes.writeUInt16BE(size, 2)
  return bytes
}
const frame = frameOf(60_000)
const small = frameOf(1000)

/** Closing 1008, without a reason. */
const closeFrame = Buffer.from([0x88, 2, 0x03, 0xf0])

const size = 700_000

/** What a client gets that sends a lot, and reads when `mayRead` is done. */
const heard = (port: number, mayRead: Effect.Effect<void>) =>
  Effect.gen(function* () {
    const chunks: Array<Buffer> = []
    const client = connect(port, "127.0.0.1")
    const ended = new Promise<string>((resolve) => {
      client.on("data", (chunk: Buffer) => chunks.push(chunk))
      client.on("end", () => resolve("end"))
      client.on("error", ({ message }) => resolve(message))
    })
    client.pause()
    client.write(head(port))
    for (let i = 0; i < 20; i++) client.write(frame)
    // it goes on
    const sending = setInterval(() => client.writableLength < 1e6 && client.write(small), 5)
    yield* mayRead
    client.resume()
    const how = yield* Effect.promise(() => ended)
    clearInterval(sending)
    client.destroy()
    return { how, bytes: Buffer.concat(chunks) }
  })

describe("close without a wait", () => {
  it.live("delivers what was sent to a client whose own messages nobody read", () =>
    Effect.gen(function* () {
      const closed = yield* Deferred.make<void>()
      const { port } = yield* serving((webSocket) =>
        Effect.gen(function* () {
          // its messages have to come here first
          yield* Effect.sleep("100 millis")
          yield* Effect.forkChild(Effect.ignore(webSocket.send(new Uint8Array(size))))
          yield* Effect.yieldNow
          yield* webSocket.close(1008, "", { wait: false })
          yield* Deferred.succeed(closed, undefined)
        })
      )
      const { bytes, how } = yield* heard(port, Deferred.await(closed))
      assert.strictEqual(how, "end")
      assert.isAbove(bytes.length, size)
      assert.isTrue(bytes.subarray(-4).equals(closeFrame))
    })
  )

  it.live("says so to a client that goes on sending to a handler that reads", () =>
    Effect.gen(function* () {
      const closed = yield* Deferred.make<void>()
      const { port } = yield* serving((webSocket) =>
        Effect.gen(function* () {
          yield* Effect.forkChild(Effect.ignore(echo(webSocket)))
          yield* Effect.sleep("100 millis")
          yield* webSocket.close(1008, "", { wait: false })
          yield* Deferred.succeed(closed, undefined)
          return yield* Effect.never
        })
      )
      const { bytes, how } = yield* heard(port, Deferred.await(closed))
      assert.strictEqual(how, "end")
      assert.isTrue(bytes.subarray(-4).equals(closeFrame))
    })
  )

  it.live("delivers all to a client that begins to read later than it lingers", () =>
    Effect.gen(function* () {
      const most = 24_000_000
      const closed = yield* Deferred.make<void>()
      const { port } = yield* serving(
        (webSocket) =>
          Effect.gen(function* () {
            yield* Effect.sleep("100 millis")
            yield* Effect.forkChild(Effect.ignore(webSocket.send(new Uint8Array(most))))
            yield* Effect.yieldNow
            yield* webSocket.close(1008, "", { wait: false })
            yield* Deferred.succeed(closed, undefined)
            return yield* Effect.never
          }),
        { closeTimeout: "2500 millis" }
      )
      // there is no room for the Close frame, which is waited for, too, before it lingers
      const { bytes, how } = yield* heard(port, Effect.andThen(Deferred.await(closed), Effect.sleep("2200 millis")))
      assert.strictEqual(how, "end")
      assert.isAbove(bytes.length, most)
      assert.isTrue(bytes.subarray(-4).equals(closeFrame))
    })
  )
})
