/**
 * Connections that have come and gone are garbage of the young generation: what still points to one, such as the old table of a `Set`,
 * has each copied twice and become old, and full collections take it away. The clients are in a thread of their own, with a heap of
 * its own.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream, type Scope } from "effect"
import { GCProfiler, setFlagsFromString } from "node:v8"
import { once } from "node:events"
import { Worker } from "node:worker_threads"
import * as Hub from "../../src/connection/Hub.ts"
import { runForEachArray } from "../../src/connection/WebSocket.ts"
import { WSServer } from "../../src/component/WSServer.ts"
import { collectGarbage } from "../component/server.ts"
import { bytesOf, close } from "../connection/connected.ts"
import { drain, serving } from "./serving.ts"
import { upgradeRequest } from "./wire.ts"

// as the command line has it (`src/cli/engine.ts`)
setFlagsFromString("--no-allocation-site-pretenuring")

/** Opens so many connections, 8 at a time, says Close on each, and waits for its end. */
const clients = `
  const { workerData: { port, count, request, close } } = require("node:worker_threads")
  const Net = require("node:net")
  let left = count
  const visit = () => new Promise((resolve, reject) => {
    const socket = Net.connect({ host: "127.0.0.1", port })
    let isOpen = false
    const leave = () => {
      if (isOpen) return
      isOpen = true
      socket.write(close)
    }
    socket.on("connect", () => socket.write(request)).on("data", leave).on("end", () => socket.end())
    socket.on("error", reject).on("close", resolve)
  })
  const one = async () => { while (left-- > 0) await visit() }
  Promise.all(Array.from({ length: 8 }, one))
`

/** Opens one and stays. */
const staying = `
  const { workerData: { port, request }, parentPort } = require("node:worker_threads")
  const socket = require("node:net").connect({ host: "127.0.0.1", port }, () => socket.write(request))
  socket.once("data", () => parentPort.postMessage("open"))
`

const request = upgradeRequest()

const goodbye = bytesOf("client", [close(1000)])

const visits = (port: number): Effect.Effect<void> =>
  Effect.promise(async () => {
    const worker = new Worker(clients, { eval: true, workerData: { port, count: round, request, close: goodbye } })
    const [code] = await once(worker, "exit")
    assert.strictEqual(code, 0)
  })

const round = 3000
const rounds = 8

/** A connection would be some thousands; Node's own streams, until their code is compiled for good, are hundreds. */
const most = 200

/** The bytes of each of many connections that became old after they had gone. */
const promotedOf = (port: number): Effect.Effect<number> =>
  Effect.gen(function* () {
    const profiler = new GCProfiler()
    profiler.start()
    yield* visits(port)
    const { statistics } = profiler.stop()!
    const old = (heap: (typeof statistics)[number]["afterGC"]) =>
      heap.heapSpaceStatistics.find(({ spaceName }) => spaceName === "old_space")!.spaceUsedSize
    const young = statistics.filter(({ gcType }) => gcType === "Scavenge")
    assert.isAbove(young.length, 0)
    return young.reduce((sum, { afterGC, beforeGC }) => sum + old(afterGC) - old(beforeGC), 0) / round
  })

const servers: Readonly<Record<string, Effect.Effect<number, unknown, Scope.Scope>>> = {
  "a server whose handlers wait without a fiber": Effect.map(
    serving((webSocket) => runForEachArray(webSocket, () => Effect.void)),
    ({ port }) => port
  ),
  "a server whose handlers have fibers": Effect.map(serving(drain), ({ port }) => port),
  "a server whose connections are in a hub": Effect.gen(function* () {
    const hub = yield* Hub.make()
    const { port } = yield* serving((webSocket) =>
      Effect.andThen(
        hub.subscribe("room", webSocket),
        Stream.runForEach(webSocket.messages, (message) => hub.publish("room", message))
      )
    )
    // the topic is there from now on
    const worker = new Worker(staying, { eval: true, workerData: { port, request } })
    yield* Effect.addFinalizer(() => Effect.promise(() => worker.terminate()))
    yield* Effect.promise(() => once(worker, "message"))
    return port
  }),
  "the component": Effect.gen(function* () {
    const server = new WSServer()
    yield* Effect.addFinalizer(() => Effect.promise(() => server.dispose()))
    server.connectionBacklog = 511
    yield* Effect.promise(() => server.startListening())
    return server.localPort
  })
}

describe("what has come and gone is garbage at once", () => {
  for (const [name, server] of Object.entries(servers)) {
    it.live(name, () =>
      Effect.gen(function* () {
        const port = yield* server
        yield* visits(port)
        // who holds them is old from now on
        collectGarbage()
        const promoted: Array<number> = []
        while (promoted.length < rounds && !promoted.some((bytes) => bytes < most))
          promoted.push(yield* promotedOf(port))
        assert.isBelow(promoted.at(-1)!, most, promoted.join(" "))
      })
    )
  }
})
