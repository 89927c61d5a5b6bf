/** TLS behind a load balancer that passes it on: the header of the PROXY protocol comes before the ClientHello. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue } from "effect"
import * as tls from "node:tls"
import type { OpenRequest } from "../../src/server/OpenRequest.ts"
import type { Peer } from "../../src/server/UpgradeListener.ts"
import { text } from "../connection/connected.ts"
import { balancer, connectFrom, header, line, seen, stranger, trusted } from "../server/balancer.ts"
import { deciding, echo } from "../server/serving.ts"
import { upgradeRequest, Wire } from "../server/wire.ts"
import { rest, type TlsOptions, withTls } from "./listening.ts"

const behind = Effect.fnUntraced(function* (options: TlsOptions = {}) {
  const requests = yield* Queue.unbounded<OpenRequest>()
  const running = yield* deciding(
    (open) => Effect.andThen(Queue.offer(requests, open), Effect.flatMap(open.accept, echo)),
    { proxyProtocol: { trusted }, tls: yield* withTls(options) }
  )
  return { ...running, requests, next: Queue.take(requests) }
})

/** TLS over a socket from an address, behind these bytes. */
const secured = Effect.fnUntraced(function* (port: number, from: string, first: string | Uint8Array) {
  const socket = yield* connectFrom(from, port)
  // the same segment has the ClientHello, most likely
  socket.cork()
  socket.write(first)
  const stream = tls.connect({ socket, servername: "localhost", rejectUnauthorized: false })
  stream.on("error", () => {})
  socket.uncork()
  const wire = new Wire(stream)
  wire.write(upgradeRequest())
  return wire
})

describe("TLS behind a header", () => {
  it.live("is the client's: its peer has the address of the header from the choice of a certificate on", () =>
    Effect.gen(function* () {
      const told: Array<Peer> = []
      const { next, port } = yield* behind({ onStatus: (peer) => void told.push(peer) })
      for (const first of [line("198.51.100.7", 4711), header("198.51.100.7:4711", { authority: "a", others: [] })]) {
        const wire = yield* secured(port, balancer, first)
        assert.strictEqual((yield* wire.response).status, 101)
        wire.send(text("hello"))
        assert.strictEqual(Buffer.from((yield* wire.next).payload).toString(), "hello")
        const open = yield* next
        assert.strictEqual(seen(open).remoteAddress, "198.51.100.7")
        assert.strictEqual(open.peer?.remotePort, 4711)
        assert.strictEqual(open.peer?.tls?.serverName, "localhost")
        assert.strictEqual(open.proxied?.by.remoteAddress, balancer)
      }
      assert.isAbove(told.length, 0)
      assert.isTrue(told.every(({ remoteAddress }) => remoteAddress === "198.51.100.7"))
    })
  )

  it.live("takes the header of an address that is not trusted for TLS, which it is not", () =>
    Effect.gen(function* () {
      // OpenSSL itself has no alert for it
      const { port, requests } = yield* behind({ onStatus: () => {} })
      const socket = yield* connectFrom(stranger, port)
      socket.write(line("198.51.100.7", 1))
      // an alert, if anything: TLS has no word for all that is no TLS
      assert.match((yield* rest(socket)).toString("hex"), /^(15|$)/)
      assert.strictEqual(yield* Queue.size(requests), 0)
      const wire = yield* secured(port, stranger, "")
      assert.strictEqual((yield* wire.response).status, 101)
    })
  )

  it.live("believes no header within it", () =>
    Effect.gen(function* () {
      const { port, requests } = yield* behind()
      const socket = yield* connectFrom(balancer, port)
      socket.write(line("198.51.100.7", 1))
      const stream = tls.connect({ socket, servername: "localhost", rejectUnauthorized: false })
      const wire = new Wire(stream)
      wire.write(line("198.51.100.8", 1))
      wire.write(upgradeRequest())
      assert.strictEqual((yield* wire.response).status, 400)
      assert.strictEqual(yield* Queue.size(requests), 0)
    })
  )

  it.live("may be missing, too, where the port speaks both", () =>
    Effect.gen(function* () {
      const { next, port } = yield* behind({ plaintext: true })
      const plain = new Wire(yield* connectFrom(balancer, port))
      plain.write(`${line("198.51.100.7", 1)}${upgradeRequest()}`)
      assert.strictEqual((yield* plain.response).status, 101)
      assert.strictEqual((yield* next).remoteAddress, "198.51.100.7")
      const wire = yield* secured(port, balancer, line("198.51.100.8", 1))
      assert.strictEqual((yield* wire.response).status, 101)
      assert.strictEqual((yield* next).remoteAddress, "198.51.100.8")
    })
  )
})
