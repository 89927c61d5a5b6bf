/**
 * A server that closes and does not wait for the answer: what it sent before is delivered all the same, and its Close frame.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, type Duration, Effect } from "effect"
import { connect } from "node:net"
import type { WebSocket } from "../../src/connection/WebSocket.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { bytesOf, close } from "../connection/connected.ts"
import { echo, type Options, serving } from "./serving.ts"
import { upgradeRequest } from "./wire.ts"

const frameOf = (size: number) => bytesOf("client", [{ opcode: Opcode.binary, payload: new Uint8Array(size) }])
const frame = frameOf(60_000)
const small = frameOf(1000)

const closeFrame = bytesOf("server", [close(1008)])

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
    client.write(upgradeRequest())
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

/** Its messages have to come here first. */
const come = Effect.sleep("100 millis")

const sends = (size: number) => (webSocket: WebSocket) =>
  come.pipe(
    Effect.andThen(Effect.forkChild(Effect.ignore(webSocket.send(new Uint8Array(size))))),
    Effect.andThen(Effect.yieldNow)
  )

/** How much a client gets of a server that does this, and then closes; it has the Close frame at the end of it. */
const left = Effect.fnUntraced(function* (
  before: (webSocket: WebSocket) => Effect.Effect<unknown>,
  {
    behind = Effect.never,
    readsAfter = 0,
    ...options
  }: Options & { readonly behind?: Effect.Effect<void>; readonly readsAfter?: Duration.Input } = {}
) {
  const closed = yield* Deferred.make<void>()
  const { port } = yield* serving(
    (webSocket) =>
      before(webSocket).pipe(
        Effect.andThen(webSocket.close(1008, "", { wait: false })),
        Effect.andThen(Deferred.succeed(closed, undefined)),
        Effect.andThen(behind)
      ),
    options
  )
  const { bytes, how } = yield* heard(port, Effect.andThen(Deferred.await(closed), Effect.sleep(readsAfter)))
  assert.strictEqual(how, "end")
  assert.isTrue(bytes.subarray(-4).equals(closeFrame))
  return bytes.length
})

describe("close without a wait", () => {
  it.live("delivers what was sent to a client whose own messages nobody read", () =>
    Effect.map(left(sends(700_000), { behind: Effect.void }), (got) => assert.isAbove(got, 700_000))
  )

  it.live("says so to a client that goes on sending to a handler that reads", () =>
    left((webSocket) => Effect.andThen(Effect.forkChild(Effect.ignore(echo(webSocket))), come))
  )

  // there is no room for the Close frame, which is waited for, too, before it lingers
  it.live("delivers all to a client that begins to read later than it lingers", () =>
    Effect.map(left(sends(24_000_000), { closeTimeout: "2500 millis", readsAfter: "2200 millis" }), (got) =>
      assert.isAbove(got, 24_000_000)
    )
  )
})
