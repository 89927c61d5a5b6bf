import { describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as WebSocket from "../../src/connection/WebSocket.ts"
import { Refusal } from "../../src/server/OpenRequest.ts"
import { close, text } from "../connection/connected.ts"
import { countingFibers, leavesNothing, obey } from "./resources.ts"
import { collectingLogs, deciding, eventually, noneOpen, serving } from "./serving.ts"
import { connect, upgraded, upgradeRequest, type Wire } from "./wire.ts"

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
        yield* Stream.runForEach(webSocket.messages, (message) => obey(webSocket, message))
      }),
    options
  ),
  "without a fiber while nothing comes": serving(
    (webSocket) =>
      WebSocket.runForEachArray(webSocket, (messages) =>
        Effect.forEach(messages, (message) => obey(webSocket, message), { discard: true })
      ),
    options
  )
}

for (const [how, serve] of Object.entries(servers)) {
  describe(`after 200 connections, handled ${how}, that ended in every way`, () => {
    it.live(
      "no socket, timer or fiber is left, and no connection counted",
      () =>
        countingFibers((fibers) =>
          collectingLogs(() =>
            Effect.gen(function* () {
              const { port, server } = yield* serve
              const visits = Object.values(endings).map((ending) => Effect.scoped(ending(port)))
              const settle = eventually("all connections are closed", noneOpen(server))
              yield* leavesNothing(fibers, visits, settle, "150 millis")
            })
          )
        ),
      20_000
    )
  })
}
