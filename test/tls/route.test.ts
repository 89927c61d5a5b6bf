/** A proxy that chooses the target by the name that its clients ask TLS for. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Router from "../../src/proxy/Router.ts"
import * as Proxy from "../proxy/proxy.ts"
import * as RawClient from "../proxy/rawClient.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { upgradeRequest, Wire } from "../server/wire.ts"
import { dial, upgraded, withTls } from "./listening.ts"

describe("a route by the name of TLS", { timeout: 30_000 }, () => {
  it.live("leads each name to its own target, whatever the Host header says, and no name nowhere", () =>
    Effect.gen(function* () {
      const a = yield* RawTarget.listen()
      const b = yield* RawTarget.listen()
      const proxy = yield* Proxy.serve({
        target: Router.firstOf(Router.serverName("a.example", a.target), Router.serverName("*.b.example", b.target)),
        tls: { ...(yield* withTls()), plaintext: true }
      })
      for (const [servername, target] of [
        ["a.example", a],
        ["A.example", a],
        ["x.b.example", b]
      ] as const) {
        yield* upgraded(proxy.port, { servername })
        yield* target.accept
      }
      for (const servername of ["c.example", "b.example", ""]) {
        const wire = new Wire(yield* dial(proxy.port, { servername }))
        wire.write(upgradeRequest())
        assert.strictEqual((yield* wire.response).status, 404)
      }
      const plain = yield* RawClient.request(proxy.port, { headers: ["X-Host: a.example"] })
      yield* plain.until("404")
      assert.deepStrictEqual([a.connections.length, b.connections.length], [2, 1])
    })
  )
})
