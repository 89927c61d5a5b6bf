/**
 * An `UpgradeListener` without a network: the test opens connections itself, each over an in-memory pair, and is their
 * client frame by frame. So a whole server runs under the clock of the test.
 */
import { Deferred, Effect, FiberSet, Layer } from "effect"
import { NetAddress } from "effect/net"
import { makePeer } from "../connection/connected.ts"
import { makePair } from "../connection/pair.ts"
import * as OpeningHandshake from "../../src/protocol/OpeningHandshake.ts"
import { type Peer, type Upgrade, UpgradeListener } from "../../src/server/UpgradeListener.ts"
import * as WebSocketServer from "../../src/server/WebSocketServer.ts"
import * as NodeZlib from "../../src/node/NodeZlib.ts"

export interface OpenOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly remoteAddress?: string
  readonly highWaterMark?: number
  /** Default: `/`. */
  readonly target?: string
  readonly peer?: Peer
}

export const request = (headers: OpenOptions["headers"] = {}, target = "/") =>
  new OpeningHandshake.Request({
    method: "GET",
    target,
    httpVersion: "1.1",
    headers: {
      host: "server.test",
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      ...headers
    }
  })

const make = Effect.gen(function* () {
  let onUpgrade: ((upgrade: Upgrade) => void) | undefined
  const listener = UpgradeListener.of({
    address: NetAddress.unixPathAddress("memory"),
    stop: Effect.void,
    run: Effect.fnUntraced(function* <R>(handler: (upgrade: Upgrade) => Effect.Effect<unknown, unknown, R>) {
      const fibers = yield* FiberSet.make()
      const fork = Effect.runForkWith(yield* Effect.context<R>())
      onUpgrade = (upgrade) => void FiberSet.addUnsafe(fibers, fork(handler(upgrade)))
      return yield* Effect.ensuring(
        Effect.never,
        Effect.sync(() => void (onUpgrade = undefined))
      )
    }, Effect.scoped)
  })

  /** Sends a request, and gives what the server answers and the client's end of the byte stream. */
  const open = Effect.fnUntraced(function* (options: OpenOptions = {}) {
    const pair = makePair(options.highWaterMark)
    const answer = yield* Deferred.make<OpeningHandshake.Acceptance, OpeningHandshake.Refusal>()
    yield* Effect.addFinalizer(() => pair.client.reset)
    const peer = yield* makePeer(pair.client, "client")
    if (onUpgrade === undefined) return yield* Effect.die(new Error("nothing runs"))
    onUpgrade({
      request: request(options.headers, options.target),
      remoteAddress: options.remoteAddress,
      peer: options.peer,
      accept: (acceptance) => Effect.as(Deferred.succeed(answer, acceptance), pair.server.socket),
      refuse: (refusal) => Effect.asVoid(Deferred.fail(answer, refusal))
    })
    return { answer: Deferred.await(answer), peer, end: pair.server, client: pair.client }
  })
  return { listener, open }
})

/** A server with these options, and `open` to connect to it. */
export const memoryServer = Effect.fnUntraced(function* (options: WebSocketServer.Options = {}) {
  const { listener, open } = yield* make
  const server = yield* WebSocketServer.make(options).pipe(
    Effect.provideService(UpgradeListener, listener),
    Effect.provide(Layer.fresh(NodeZlib.layer))
  )
  return { server, open }
})
