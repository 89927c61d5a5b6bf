/** An HTTP application and an echo on one port, for clients that do not wait for an answer before they send their next request. */
import { Context, Deferred, Effect, Layer, Queue, Stream } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import { WebSocketServer } from "../../src/server/WebSocketServer.ts"
import * as WebSocketServers from "../../src/server/WebSocketServer.ts"
import { echo, type Options, portOf } from "./serving.ts"
import type { Wire } from "./wire.ts"

export const get = (path: string, headers = ""): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`

/** So much that a socket has whoever writes it wait several times. */
export const large = 512 * 1024
const pieces = Array.from({ length: large / 65536 }, () => new Uint8Array(65536).fill(0x61))

const halves = [new TextEncoder().encode("first"), new TextEncoder().encode(" half")] as const

/** What becomes of the requests that are held: `begun`, and then `answered` or `gone`. */
export type Fate = "begun" | "answered" | "gone"

export const pages = Effect.fnUntraced(function* (options: Options = {}) {
  const fates = yield* Queue.unbounded<Fate>()
  const released = yield* Deferred.make<void>()
  const held = Effect.gen(function* () {
    yield* Queue.offer(fates, "begun")
    yield* Deferred.await(released)
    yield* Queue.offer(fates, "answered")
    return HttpServerResponse.text("at last\n")
  }).pipe(Effect.onInterrupt(() => Queue.offer(fates, "gone")))
  const body = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => Effect.orDie(request.text))
  const Routes = Layer.mergeAll(
    HttpRouter.add("GET", "/small", Effect.succeed(HttpServerResponse.text("ok\n"))),
    HttpRouter.add("GET", "/held", held),
    HttpRouter.add(
      "GET",
      "/large",
      Effect.succeed(
        HttpServerResponse.stream(Stream.rechunk(Stream.fromIterable(pieces), 1), { contentLength: large })
      )
    ),
    HttpRouter.add(
      "GET",
      "/halves",
      Effect.as(
        Queue.offer(fates, "begun"),
        HttpServerResponse.stream(
          Stream.concat(Stream.succeed(halves[0]), Stream.fromEffect(Effect.as(Deferred.await(released), halves[1]))),
          { contentLength: 10 }
        )
      )
    ),
    HttpRouter.add("POST", "/echo", Effect.map(body, HttpServerResponse.text)),
    HttpRouter.add(
      "GET",
      "/asked",
      Effect.map(HttpServerRequest.HttpServerRequest, ({ headers, url }) =>
        HttpServerResponse.text(`${headers["host"]} ${url}`)
      )
    )
  )
  const App = Layer.mergeAll(
    WebSocketServers.layerHandler(echo),
    HttpRouter.serve(Routes, { disableLogger: true, disableListenLog: true })
  )
  const Server = NodeWebSocketServer.layerHttp({ port: 0, ...options })
  const context = yield* Layer.build(Layer.provideMerge(App, Server))
  const server = Context.get(context, WebSocketServer)
  return {
    port: portOf(server),
    /** Has the server listen no longer. */
    stop: server.stop,
    /** What happens next to a request that is held. */
    fate: Queue.take(fates),
    /** Has those that are held answered, and the second halves of answers sent. */
    release: Deferred.succeed(released, undefined)
  }
})

/** How many answers with the large body are in it. */
export const largeIn = (said: string): number => said.split("a".repeat(large)).length - 1

/** All that the server says until it ends the connection. */
export const allOf = (wire: Wire): Effect.Effect<string> =>
  Effect.promise(async () => {
    const chunks: Array<Buffer> = []
    for await (const chunk of wire.socket) chunks.push(chunk)
    return Buffer.concat(chunks).toString("latin1")
  })

/** Listens until the server has said this. */
export const hears = ({ socket }: Wire, part: string): Effect.Effect<string> =>
  Effect.callback<string>((resume) => {
    let said = ""
    const onData = (chunk: Buffer) => {
      said += chunk.toString("latin1")
      if (said.includes(part)) resume(Effect.succeed(said))
    }
    socket.on("data", onData)
    return Effect.sync(() => void socket.off("data", onData))
  })

/** The statuses of the answers in it. */
export const statusesIn = (said: string): ReadonlyArray<string> =>
  Array.from(said.matchAll(/HTTP\/1\.1 (\d+)/g), ([, status = ""]) => status)
