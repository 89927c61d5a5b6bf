/** Who is believed to speak for clients, and what targets are told of them, by flags. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ProxyProtocol from "../../src/protocol/ProxyProtocol.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { eventually } from "../proxy/watch.ts"
import { balancer, header, line, stranger, wireFrom } from "../server/balancer.ts"
import { upgradeRequest } from "../server/wire.ts"
import { listening } from "./command.ts"

/** What the next connection to the target says of its client. */
const told = (listener: RawTarget.RawTarget) =>
  Effect.flatMap(listener.accept, (target) =>
    eventually("the header", () => {
      const outcome = new ProxyProtocol.Decoder().push(target.bytes)
      return outcome._tag === "Header" ? outcome.header : undefined
    })
  )

const sourceOf = (header: ProxyProtocol.Header) => (header._tag === "Inet" ? String(header.source) : header._tag)

describe("the proxy", { timeout: 60_000 }, () => {
  it.live("hands on what a load balancer says, and believes nobody else", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const flags = ["--proxy-protocol-from", `${balancer},10.0.0.0/8`, "--send-proxy", "v2"]
      const { port } = yield* listening("proxy", "0", `127.0.0.1:${listener.port}`, ...flags)
      const said = header("[2001:db8::7]:4711", { authority: "app.example", others: [] })
      yield* wireFrom(balancer, port, said, upgradeRequest())
      const one = yield* told(listener)
      assert.strictEqual(sourceOf(one), "[2001:db8::7]:4711")
      assert.strictEqual(one._tag === "Inet" && one.tlvs.authority, "app.example")
      const spoof = yield* wireFrom(stranger, port, said, upgradeRequest())
      assert.strictEqual((yield* spoof.response).status, 400)
      yield* wireFrom(stranger, port, upgradeRequest())
      assert.match(sourceOf(yield* told(listener)), /^127\.0\.0\.2:/)
    })
  )

  it.live("names the client of a reverse proxy, by either header, in a line", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const headers = { "X-Forwarded-For": "192.0.2.1, 198.51.100.7", Forwarded: "for=192.0.2.1, for=198.51.100.8" }
      for (const [flags, expected] of [
        [[], "198.51.100.7:0"],
        [["--forwarded-header", "forwarded"], "198.51.100.8:0"]
      ] as const) {
        const from = ["--forwarded-from", balancer, "--send-proxy", "v1"]
        const { port } = yield* listening("proxy", "0", `127.0.0.1:${listener.port}`, ...from, ...flags)
        yield* wireFrom(balancer, port, upgradeRequest(headers))
        const said = yield* told(listener)
        assert.deepStrictEqual([said._tag === "Inet" && said.version, sourceOf(said)], [1, expected])
        yield* wireFrom(stranger, port, upgradeRequest(headers))
        assert.match(sourceOf(yield* told(listener)), /^127\.0\.0\.2:/)
      }
    })
  )
})

describe("the echo", { timeout: 60_000 }, () => {
  it.live("counts clients behind a load balancer, and says in one line what is wrong with a header", () =>
    Effect.gen(function* () {
      const { port, stderr } = yield* listening(
        "echo",
        "0",
        "--proxy-protocol-from",
        balancer,
        "--max-connections-per-address",
        "1"
      )
      const status = (source: string) =>
        Effect.flatMap(wireFrom(balancer, port, line(source, 1), upgradeRequest()), (wire) =>
          Effect.map(wire.response, ({ status }) => status)
        )
      assert.strictEqual(yield* status("198.51.100.7"), 101)
      assert.strictEqual(yield* status("198.51.100.8"), 101)
      assert.strictEqual(yield* status("198.51.100.7"), 429)
      const wire = yield* wireFrom(balancer, port, upgradeRequest())
      yield* wire.ended
      yield* eventually("the line", () =>
        /WARN.*A connection from 127\.0\.0\.1 was closed: expected a PROXY protocol header/.test(stderr())
      )
    })
  )
})
