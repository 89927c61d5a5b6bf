/**
 * What is decided before a byte of a connection is read: the client of these tests sends nothing, and is answered all the same.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Result } from "effect"
import { Host, NetAddress } from "effect/net"
import * as Telemetry from "../../src/connection/Telemetry.ts"
import * as NodeUpgradeListener from "../../src/node/NodeUpgradeListener.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import * as AccessList from "../../src/server/AccessList.ts"
import * as Admission from "../../src/server/Admission.ts"
import { ClientNames } from "../../src/server/ClientNames.ts"
import { WebSocketServer } from "../../src/server/WebSocketServer.ts"
import * as Identities from "../../src/tls/Identities.ts"
import { Certificate } from "../../src/tls/Certificate.ts"
import { counting, countingLimit } from "../connection/metrics.ts"
import { certificate, text } from "../tls/openssl.ts"
import { collectingLogs, drain, echo, eventually, noneOpen, portOf, serving } from "./serving.ts"
import { ask, connect, upgraded, upgradeRequest } from "./wire.ts"

const list = (text: string) => Result.getOrThrow(AccessList.parse(text))

/** The answer to a client that says nothing. */
const silent = (port: number) => Effect.flatMap(connect(port), ({ response }) => response)

describe("clients", () => {
  it.live("that are kept out are told 403 before they say a word, and why is in the log and the metric", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        for (const clients of [
          { blocked: list("127.0.0.0/8") },
          { allowed: list("192.0.2.*, 2001:db8::/32") },
          { allowed: list("*"), blocked: list("127.0.0.1") }
        ]) {
          const { port } = yield* serving(echo, { clients })
          const denied = yield* counting(
            Telemetry.denials,
            "address",
            Effect.gen(function* () {
              const { body, status } = yield* silent(port)
              assert.deepStrictEqual([status, body], [403, "The request was refused.\n"])
            })
          )
          assert.strictEqual(denied, 1)
        }
        assert.include(logs[0]?.text, "127.0.0.1")
        assert.include(logs[0]?.text, "kept out")
      }).pipe(Effect.scoped)
    )
  )

  it.live("that may come in do", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo, { clients: { allowed: list("127.0.0.1") } })
      yield* upgraded(port)
    })
  )

  it.live("come in by a name of their address, if one is in the list", () =>
    Effect.gen(function* () {
      const here = [NetAddress.ipFromStringUnsafe("127.0.0.1")]
      const names = Layer.succeed(ClientNames)({
        addressesOf: (name) => Effect.succeed(name === Host.domainNameFromStringUnsafe("in.example") ? here : []),
        namesOf: () => Effect.succeed([])
      })
      for (const [allowed, status] of [
        ["in.example", 101],
        ["out.example", 403]
      ] as const) {
        const { port } = yield* Effect.provide(serving(echo, { clients: { allowed: list(allowed) } }), names)
        assert.strictEqual((yield* ask(port, upgradeRequest())).status, status)
      }
    })
  )

  it.live("are cut off without an answer where TLS is spoken", () =>
    Effect.gen(function* () {
      certificate("door")
      const identities = Identities.one(
        new Certificate({ der: Buffer.from(text("door.crt").replace(/-----[^-]+-----|\s/g, ""), "base64") })
      )
      const { port } = yield* serving(echo, { clients: { blocked: list("127.0.0.1") }, tls: { identities } })
      assert.strictEqual(yield* Effect.flatMap(connect(port), ({ ended }) => ended), "FIN")
    })
  )

  it.live("are decided about where an HTTP application shares the port, too", () =>
    Effect.gen(function* () {
      const { listener } = yield* NodeUpgradeListener.make({ port: 0, clients: { blocked: list("127.0.0.1") } })
      if (!NetAddress.isInetAddress(listener.address)) return assert.fail()
      assert.strictEqual((yield* silent(listener.address.port)).status, 403)
    })
  )
})

describe("limits of a server that speaks WebSocket alone", () => {
  it.live("count connections that have said nothing yet, for the total and for their address", () =>
    Effect.gen(function* () {
      for (const [options, status, limit] of [
        [{ maxConnections: 2 }, 503, "maxConnections"],
        [{ maxConnectionsPerAddress: 2 }, 429, "maxConnectionsPerAddress"]
      ] as const) {
        const { port, server } = yield* serving(drain, options)
        const one = yield* upgraded(port)
        const two = yield* connect(port)
        const bites = yield* countingLimit(
          limit,
          Effect.gen(function* () {
            const refused = yield* silent(port)
            assert.deepStrictEqual([refused.status, refused.body], [status, "The request was refused.\n"])
          })
        )
        assert.strictEqual(bites, 1)
        assert.strictEqual(yield* server.connections, 1)
        // one that goes makes room
        two.reset()
        yield* eventually(
          "there is room again",
          Effect.map(ask(port, upgradeRequest()), (response) => response.status === 101).pipe(Effect.scoped)
        )
        one.reset()
        yield* eventually("all are gone", noneOpen(server))
      }
    })
  )

  it.live("hold back who tries too often, with the time to come back", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(drain, { maxHandshakeRatePerAddress: 0.05 })
      yield* upgraded(port)
      const { headers, status } = yield* silent(port)
      assert.strictEqual(status, 429)
      assert.isAtLeast(Number(headers["retry-after"]), 10)
      assert.isAtMost(Number(headers["retry-after"]), 20)
    })
  )

  it.live("tell so many at a time that they are refused, and cut off the others", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(drain, { clients: { blocked: list("127.0.0.1") } })
      const wires = yield* Effect.replicateEffect(connect(port), 300)
      const answers = yield* Effect.forEach(wires, ({ response }) => Effect.exit(response), {
        concurrency: "unbounded"
      })
      const told = answers.filter(({ _tag }) => _tag === "Success").length
      // each that is told is told for two seconds, and a slow machine may take longer to connect
      assert.isAtLeast(told, 256)
      assert.isBelow(told, 300)
    })
  )

  it.live("are of requests where an HTTP application shares the port", () =>
    Effect.gen(function* () {
      const context = yield* Layer.build(NodeWebSocketServer.layerHttp({ port: 0, maxConnections: 1 }))
      const server = yield* Effect.provide(WebSocketServer, context)
      yield* Effect.forkScoped(server.run(drain))
      yield* Effect.yieldNow
      const port = portOf(server)
      yield* connect(port)
      yield* connect(port)
      yield* upgraded(port)
      assert.strictEqual((yield* ask(port, upgradeRequest())).status, 503)
    })
  )
})

describe("connections that have said nothing", () => {
  for (const [what, options] of [
    ["as they are", {}],
    ["that are decided about", { admit: () => Effect.never }]
  ] as const) {
    it.live(`are no more than maxPending: ${what}`, () =>
      Effect.gen(function* () {
        const { port } = yield* serving(echo, { ...options, maxPending: 2 })
        const cut = yield* countingLimit(
          "maxPending",
          Effect.gen(function* () {
            const first = yield* connect(port)
            yield* connect(port)
            const more = Effect.scoped(Effect.flatMap(connect(port), ({ ended }) => ended))
            yield* more
            first.reset()
            // one that is not cut off stays
            yield* eventually("there is room", Effect.map(Effect.timeoutOption(more, "200 millis"), Option.isNone))
          })
        )
        assert.isAtLeast(cut, 1)
      })
    )
  }

  it.live("are counted by an admission that the application brings", () =>
    Effect.gen(function* () {
      const admission = yield* Admission.make({ maxConnections: 1 })
      const { port } = yield* serving(echo, { admission })
      yield* connect(port)
      assert.strictEqual((yield* silent(port)).status, 503)
    })
  )
})
