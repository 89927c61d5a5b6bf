/**
 * Behind a closing handshake that is done, the end of the byte stream is the server's to begin, so that it is the one who remembers the
 * connection (RFC 6455 section 7.1.1); a client ends first only where there was none, or when the server takes too long.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Stream } from "effect"
import { createHash } from "node:crypto"
import * as WebSocketClient from "../../src/client/WebSocketClient.ts"
import * as NodeWebSocketClient from "../../src/node/NodeWebSocketClient.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { pass } from "../proxy/watch.ts"

/** RFC 6455 section 4.2.2, step 5.4. */
const answerTo = (head: string) => {
  const key = /sec-websocket-key: *(\S+)/i.exec(head)?.[1] ?? ""
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`
}

/** Close 1000, as a server sends it. */
const close = Buffer.from([0x88, 0x02, 0x03, 0xe8])

/** A masked Close frame with a code. */
const closeLength = 8

/** A client that reads to the end and leaves, or closes by itself, and the server's end of its connection, the handshake done. */
const opened = Effect.fnUntraced(function* (manner: "reads" | "closes") {
  const listener = yield* RawTarget.listen()
  const client = Context.get(
    yield* Layer.build(NodeWebSocketClient.layer({ closeTimeout: "1 second" })),
    WebSocketClient.WebSocketClient
  )
  const fiber = yield* client.connect(`ws://127.0.0.1:${listener.port}`).pipe(
    Effect.flatMap((socket) => (manner === "closes" ? socket.close() : Stream.runDrain(socket.messages))),
    Effect.scoped,
    Effect.forkScoped
  )
  const server = yield* listener.accept
  yield* server.watch.until<true>("the head", () => server.text.endsWith("\r\n\r\n"))
  const head = server.text
  server.forget()
  server.socket.write(answerTo(head))
  return { server, fiber }
})

describe("the end of the byte stream", () => {
  for (const manner of ["reads", "closes"] as const) {
    it.live(`comes from the server first, also if the client ${manner}`, () =>
      Effect.gen(function* () {
        const { fiber, server } = yield* opened(manner)
        if (manner === "closes") yield* server.untilReceived(closeLength)
        server.socket.write(close)
        yield* server.untilReceived(closeLength)
        yield* pass(200)
        assert.deepStrictEqual(server.log, [])
        assert.isUndefined(fiber.pollUnsafe())
        server.socket.end()
        yield* server.until("end")
        yield* Fiber.join(fiber)
      })
    )
  }

  it.live("comes behind the server's, also if the scope of the connection goes on", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const client = Context.get(yield* Layer.build(NodeWebSocketClient.layer()), WebSocketClient.WebSocketClient)
      const connecting = yield* Effect.forkScoped(client.connect(`ws://127.0.0.1:${listener.port}`))
      const server = yield* listener.accept
      yield* server.watch.until<true>("the head", () => server.text.endsWith("\r\n\r\n"))
      server.socket.write(Buffer.concat([Buffer.from(answerTo(server.text)), close]))
      const socket = yield* Fiber.join(connecting)
      yield* Stream.runDrain(socket.messages)
      server.socket.end()
      yield* server.until("closed")
    })
  )

  it.live("comes from the client if the server takes longer than the close timeout", () =>
    Effect.gen(function* () {
      const { fiber, server } = yield* opened("reads")
      server.socket.write(close)
      yield* server.until("end")
      yield* Fiber.join(fiber)
      server.socket.end()
      yield* server.until("closed")
    })
  )
})
