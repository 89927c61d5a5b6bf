import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric, Stream } from "effect"
import * as Telemetry from "../../src/connection/Telemetry.ts"
import * as WebSocket from "../../src/connection/WebSocket.ts"
import { Refusal } from "../../src/server/OpenRequest.ts"
import { close, text } from "../connection/connected.ts"
import { collectingLogs, deciding, eventually, noneOpen, serving } from "./serving.ts"
import { connect, upgraded, upgradeRequest, type Wire } from "./wire.ts"

/** What keeps the process busy, by kind. */
const resources = (): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const name of process.getActiveResourcesInfo()) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

const request = (target: string, headers: Record<string, string> = {}) =>
  Effect.fnUntraced(function* (port: number) {
    const wire = yield* connect(port)
    wire.write(upgradeRequest(headers, target))
    yield* wire.response
    return wire
  })

const open = (then: (wire: Wire) => Effect.Effect<unknown> | void) =>
  Effect.fnUntraced(function* (port: number) {
    const wire = yield* upgraded(port, { "Sec-WebSocket-Extensions": "permessage-deflate" })
    yield* then(wire) ?? Effect.void
  })

/** Every way in which a connection, or what was to become one, can end. Leaving the scope destroys the client's socket. */
const endings = {
  "a closing handshake by the client": open((wire) => {
    wire.send(close(1000))
    return Effect.andThen(wire.next, wire.ended)
  }),
  "a closing handshake by the server": open((wire) => {
    wire.send(text("bye"))
    return Effect.andThen(
      wire.next,
      Effect.sync(() => wire.send(close(1000)))
    )
  }),
  "no answer to the server's Close": open((wire) => {
    wire.send(text("bye"))
    return wire.ended
  }),
  "a FIN without a Close": open((wire) => {
    wire.end()
    return wire.ended
  }),
  "a reset": open((wire) => wire.reset()),
  "a destroyed socket": open(() => {}),
  "a violation": open((wire) => {
    wire.write(new Uint8Array([0xff, 0xff]))
    return wire.ended
  }),
  "a message that is too big": open((wire) => {
    wire.write(new Uint8Array([0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]))
    return wire.ended
  }),
  "compressed nonsense": open((wire) => {
    wire.send({ opcode: 2, rsv1: true, payload: new Uint8Array([0xff, 0xff]) })
    return wire.ended
  }),
  "a reset in the middle of a message": open((wire) => {
    wire.send({ opcode: 2, fin: false, payload: new Uint8Array(100_000) })
    return Effect.andThen(
      Effect.sleep("5 millis"),
      Effect.sync(() => wire.reset())
    )
  }),
  "a failure of the handler": open((wire) => {
    wire.send(text("fail"))
    return wire.ended
  }),
  "a refusal": request("/refused"),
  "a refusal for its head": request("/", { "Sec-WebSocket-Version": "1" }),
  "no decision": request("/undecided"),
  "half a head": (port: number) => Effect.map(connect(port), (wire) => wire.write("GET / HT")),
  "a reset during the decision": (port: number) =>
    Effect.flatMap(connect(port), (wire) => {
      wire.write(upgradeRequest({}, "/slow"))
      return Effect.andThen(
        Effect.sleep("5 millis"),
        Effect.sync(() => wire.reset())
      )
    }),
  "a plain request": (port: number) =>
    Effect.flatMap(connect(port), (wire) => {
      wire.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
      return wire.response
    })
}

/** Does as it is told. */
const answer = (webSocket: WebSocket.WebSocket, message: unknown): Effect.Effect<void, unknown> => {
  if (message === "bye") return webSocket.close()
  return message === "fail" ? Effect.fail("as asked") : Effect.void
}

const options = { compression: {}, closeTimeout: "100 millis", handshakeTimeout: "1 second" } as const

const servers = {
  "in a fiber": deciding(
    (request) =>
      Effect.gen(function* () {
        const { path } = request.request
        if (path === "/refused") return yield* new Refusal({ status: 403, reason: "no" })
        if (path === "/undecided") return
        if (path === "/slow") yield* Effect.sleep("30 millis")
        const webSocket = yield* request.accept
        yield* Stream.runForEach(webSocket.messages, (message) => answer(webSocket, message))
      }),
    options
  ),
  "without a fiber while nothing comes": serving(
    (webSocket) =>
      WebSocket.runForEachArray(webSocket, (messages) =>
        Effect.forEach(messages, (message) => answer(webSocket, message), { discard: true })
      ),
    options
  )
}

for (const [how, serve] of Object.entries(servers)) {
  describe(`after 200 connections, handled ${how}, that ended in every way`, () => {
    it.live(
      "no socket, timer or fiber is left, and no connection counted",
      () => {
        const fibers = { active: 0 }
        const counting: Metric.FiberRuntimeMetricsService = {
          recordFiberStart: () => void fibers.active++,
          recordFiberEnd: () => void fibers.active--
        }
        return collectingLogs(() =>
          Effect.gen(function* () {
            const { port, server } = yield* serve
            const gauge = Effect.map(Metric.value(Telemetry.connections), (state) => state.value)
            const visit = (ending: (typeof endings)[keyof typeof endings]) => Effect.scoped(ending(port))
            // what a process makes once and keeps, such as the thread pool's, is made here
            yield* Effect.forEach(Object.values(endings), visit, { concurrency: 10 })
            const settle = eventually("all connections are closed", noneOpen(server))
            yield* Effect.andThen(settle, Effect.sleep("150 millis"))
            const before = { resources: resources(), fibers: fibers.active, gauge: yield* gauge }
            const rounds = Array.from({ length: 12 }, () => Object.values(endings)).flat()
            assert.isAbove(rounds.length, 200)
            yield* Effect.forEach(rounds, visit, { concurrency: 20 })
            yield* settle
            yield* eventually(
              "sockets, timers and fibers are as before",
              Effect.sync(() => {
                const { TCPSocketWrap = 0, Timeout = 0 } = resources()
                return (
                  TCPSocketWrap <= (before.resources["TCPSocketWrap"] ?? 0) &&
                  Timeout <= (before.resources["Timeout"] ?? 0) &&
                  fibers.active <= before.fibers
                )
              })
            )
            assert.strictEqual(yield* gauge, before.gauge)
          })
        ).pipe(Effect.provideService(Metric.FiberRuntimeMetrics, counting))
      },
      20_000
    )
  })
}
