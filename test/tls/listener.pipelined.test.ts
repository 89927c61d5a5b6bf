import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { close } from "../connection/connected.ts"
import { allOf, get, largeIn, pages, statusesIn } from "../server/pages.ts"
import { upgradeRequest, Wire } from "../server/wire.ts"
import { dial, withTls } from "./listening.ts"

describe("an upgrade behind an answer, over TLS", () => {
  it.live("comes when the whole of it has gone out", () =>
    Effect.gen(function* () {
      const { port } = yield* pages({ tls: yield* withTls() })
      const wire = new Wire(yield* dial(port))
      wire.write(get("/large") + upgradeRequest())
      wire.send(close(1000))
      const said = yield* allOf(wire)
      assert.deepStrictEqual(statusesIn(said), ["200", "101"])
      assert.strictEqual(largeIn(said), 1)
    })
  )

  it.live("comes behind several records of requests, more than may wait", () =>
    Effect.gen(function* () {
      const { fate, port, release } = yield* pages({ tls: yield* withTls() })
      const wire = new Wire(yield* dial(port))
      const long = get("/small", `X-Long: ${"x".repeat(8000)}\r\n`)
      wire.write(get("/halves") + get("/large") + long.repeat(5) + upgradeRequest())
      wire.send(close(1000))
      assert.strictEqual(yield* fate, "begun")
      yield* release
      const said = yield* allOf(wire)
      assert.deepStrictEqual(statusesIn(said), [...Array.from({ length: 7 }, () => "200"), "101"])
      assert.strictEqual(largeIn(said), 1)
    })
  )

  it.live("ends with the client's connection, and whoever makes the answer is interrupted", () =>
    Effect.gen(function* () {
      const { fate, port } = yield* pages({ tls: yield* withTls(), handshakeTimeout: "Infinity" })
      for (const leave of [(wire: Wire) => wire.end(), (wire: Wire) => wire.socket.destroy()]) {
        const wire = new Wire(yield* dial(port))
        wire.write(get("/held") + upgradeRequest())
        assert.strictEqual(yield* fate, "begun")
        leave(wire)
        assert.strictEqual(yield* fate, "gone")
      }
    })
  )
})
