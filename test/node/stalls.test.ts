/**
 * A process that did something else for longer than a peer has time: what the peer sent meanwhile counts, and the time is up for those
 * alone who sent nothing.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Worker } from "node:worker_threads"
import { close } from "../connection/connected.ts"
import { countingLimit } from "../connection/metrics.ts"
import { serving } from "../server/serving.ts"
import { connect, upgradeRequest } from "../server/wire.ts"
import { echoing, isLetIn } from "../tls/listening.ts"
import * as WebSocketClient from "../../src/client/WebSocketClient.ts"
import { Timer } from "../../src/node/internal/timers.ts"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import * as NodeUpgradeDialer from "../../src/node/NodeUpgradeDialer.ts"
import * as NodeZlib from "../../src/node/NodeZlib.ts"
import { Target } from "../../src/proxy/Target.ts"
import * as DeafTarget from "../proxy/deafTarget.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { names } from "../proxy/resolving.ts"

/** Has this process do nothing for so many milliseconds. */
const stall = (millis: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis)
}

/** Stalls when the effect has begun and all that it does at once is done. */
const stalled = <A, E, R>(self: Effect.Effect<A, E, R>, millis: number) =>
  Effect.andThen(
    Effect.sync(() => void setImmediate(() => stall(millis))),
    self
  )

/** An HTTP server in a thread of its own, which says no when it is asked, and tells both. */
const declining = (onAsked: (sent: Int32Array) => void) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly worker: Worker; readonly port: number }>((resume) => {
      const answer = "HTTP/1.1 403 Forbidden\\r\\nContent-Length: 2\\r\\n\\r\\nno"
      const sent = new Int32Array(new SharedArrayBuffer(4))
      const worker = new Worker(
        `const { parentPort, workerData: sent } = require("node:worker_threads")
        const tell = () => {
          Atomics.store(sent, 0, 1)
          Atomics.notify(sent, 0)
        }
        const server = require("node:net").createServer((socket) => {
          socket.on("error", () => {}).once("data", () => {
            parentPort.postMessage("asked")
            setTimeout(() => socket.end("${answer}", tell), 50)
          })
        })
        server.listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port))`,
        { eval: true, workerData: sent }
      )
      worker.once("message", (port: number) => {
        worker.once("message", () => onAsked(sent))
        resume(Effect.succeed({ worker, port }))
      })
    }),
    ({ worker }) => Effect.promise(() => worker.terminate())
  )

describe("a process that stalls", () => {
  for (const [how, host] of [
    ["an address", "127.0.0.1"],
    ["a name", "db.example"]
  ] as const) {
    it.live(`has connected to ${how} that answered meanwhile`, () =>
      Effect.gen(function* () {
        const listener = yield* RawTarget.listen()
        const { dns } = names({ "db.example": ["127.0.0.1"] })
        const { dial } = NodeDialer.make({ dns, dialTimeout: 100 })
        const target = new Target({ host, port: listener.port })
        // the first one may take more turns
        yield* dial(target)
        yield* listener.accept
        yield* stalled(dial(target), 300)
        yield* listener.accept
      }).pipe(Effect.scoped)
    )
  }

  it.live("tries no other address beside one that answered meanwhile", () =>
    Effect.gen(function* () {
      const first = yield* RawTarget.listen()
      const second = yield* RawTarget.listen({ host: "127.0.0.2", port: first.port })
      const { dns } = names({ "db.example": ["127.0.0.1", "127.0.0.2"] })
      const { dial } = NodeDialer.make({ dns })
      const target = new Target({ host: "db.example", port: first.port })
      yield* dial(target)
      yield* first.accept
      yield* stalled(dial(target), 600)
      yield* first.accept
      assert.lengthOf(second.connections, 0)
    }).pipe(Effect.scoped)
  )

  it.live("has the answer to an opening handshake that came meanwhile", () =>
    Effect.gen(function* () {
      const { port } = yield* declining((sent) => {
        // it is answered, and then the time is over
        Atomics.wait(sent, 0, 0, 5000)
        stall(1200)
      })
      const client = yield* WebSocketClient.make().pipe(
        Effect.provide(Layer.merge(NodeUpgradeDialer.layer({ handshakeTimeout: "1 second" }), NodeZlib.layer))
      )
      const { reason } = yield* Effect.flip(client.connect(`ws://127.0.0.1:${port}`))
      assert.strictEqual(reason._tag, "Declined")
    }).pipe(Effect.scoped)
  )

  it.live("has the TLS handshake of a client that it has let wait", () =>
    Effect.gen(function* () {
      const { port } = yield* echoing({}, { handshakeTimeout: "1 second" })
      const wire = yield* connect(port)
      // it is accepted
      yield* Effect.sleep("20 millis")
      assert.isTrue(yield* stalled(isLetIn(port, { socket: wire.socket }), 1300))
    }).pipe(Effect.scoped)
  )

  it.live("has the Close frame that a client answered with meanwhile", () =>
    Effect.gen(function* () {
      const closed = yield* Deferred.make<unknown>()
      const bites = yield* countingLimit(
        "closeTimeout",
        Effect.gen(function* () {
          const { port } = yield* serving(
            (webSocket) =>
              Effect.ensuring(
                webSocket.close(),
                Effect.flatMap(webSocket.closed, (info) => Deferred.succeed(closed, info))
              ),
            { closeTimeout: "200 millis" }
          )
          const wire = yield* connect(port)
          wire.write(upgradeRequest())
          assert.strictEqual((yield* wire.response).status, 101)
          yield* wire.next
          wire.send(close(1000))
          stall(400)
          assert.strictEqual(yield* wire.ended, "FIN")
          yield* Deferred.await(closed)
        }).pipe(Effect.scoped)
      )
      assert.strictEqual(bites, 0)
    })
  )

  it.live("gives up who did not answer all the same", () =>
    Effect.gen(function* () {
      const deaf = yield* DeafTarget.make
      const { dial } = NodeDialer.make({ dialTimeout: 100 })
      const error = yield* Effect.flip(stalled(dial(deaf), 300))
      assert.strictEqual(error.kind, "TimedOut")
    }).pipe(Effect.scoped)
  )
})

describe("a timer", () => {
  it.live("that is stopped between its time and its turn does nothing", () =>
    Effect.callback<void>((resume) => {
      let calls = 0
      const timer = new Timer(1, () => calls++)
      // behind the other, in the same turn
      setTimeout(() => {
        timer.stop()
        setTimeout(() => resume(Effect.sync(() => assert.strictEqual(calls, 0))), 10)
      }, 1)
      stall(5)
    })
  )

  it("without an end is none", () => {
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length
    const before = timers()
    const timer = new Timer(Infinity, () => {})
    assert.strictEqual(timers(), before)
    timer.stop()
  })
})
