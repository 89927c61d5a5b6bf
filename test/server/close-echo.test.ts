import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope, Stream } from "effect"
import { WebSocket as WsClient } from "ws"
import * as WebSocket from "../../src/connection/WebSocket.ts"
import { serving } from "./serving.ts"

const reading = (webSocket: WebSocket.WebSocket) => Effect.ignore(Stream.runDrain(webSocket.messages))

/** What a client is told of the end when it closes a connection with this handler. */
const endFor = Effect.fnUntraced(function* (
  handler: (webSocket: WebSocket.WebSocket) => Effect.Effect<unknown, unknown, Scope.Scope>
) {
  const { url } = yield* serving(handler)
  return yield* Effect.callback<readonly [number, string]>((resume) => {
    const client = new WsClient(url)
    client.on("open", () => client.close(3001, "bye"))
    client.on("close", (code, reason) => resume(Effect.succeed([code, String(reason)])))
    client.on("error", (error) => resume(Effect.die(error)))
  })
})

describe("the client's Close is answered before the connection ends, whoever waits for its end", () => {
  const handlers: Record<string, (webSocket: WebSocket.WebSocket) => Effect.Effect<unknown, unknown, Scope.Scope>> = {
    "the reader": reading,
    "beside a reader": (webSocket) => Effect.andThen(Effect.forkChild(reading(webSocket)), webSocket.closed),
    "beside a reader of the scope": (webSocket) =>
      Effect.andThen(Effect.forkScoped(reading(webSocket)), webSocket.closed),
    "beside a reader of its own": (webSocket) =>
      Effect.andThen(
        Effect.forkDetach(Effect.ignore(WebSocket.runForEachArray(webSocket, () => Effect.void))),
        webSocket.closed
      ),
    "against a reader": (webSocket) => Effect.raceFirst(reading(webSocket), webSocket.closed),
    "who waits for a pong": (webSocket) =>
      Effect.andThen(Effect.forkDetach(reading(webSocket)), Effect.ignore(Effect.forever(webSocket.ping())))
  }
  for (const [who, handler] of Object.entries(handlers)) {
    it.live(who, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* endFor(handler), [3001, ""])
      })
    )
  }
})
