/**
 * Connections to test, over an in-memory pair: both roles talking to each other (`connected`), or one of them against a
 * peer whose every frame the test writes and reads by hand (`withPeer`). Each connection has a scope of its own, left by
 * `leave` with the exit that the test wants; the end of the test cuts the pair, so that nothing waits for a clock that
 * nobody turns.
 */
import { Effect, Exit, Scope } from "effect"
import * as Deflate from "../../src/connection/Deflate.ts"
import * as Limits from "../../src/connection/Limits.ts"
import * as WebSocket from "../../src/connection/WebSocket.ts"
import * as NodeZlib from "../../src/node/NodeZlib.ts"
import * as Frame from "../../src/protocol/Frame.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import type { Agreement, Policy } from "../../src/protocol/PerMessageDeflate.ts"
import { type End, makePair, type Pair } from "./pair.ts"

export type Role = "server" | "client"

export interface Options {
  readonly limits?: Limits.Options
  readonly highWaterMark?: number
  readonly subprotocol?: string
  /** The parameters of permessage-deflate, if it was agreed on. */
  readonly deflate?: Partial<Agreement>
  /** When to compress. Here everything is, unless told. */
  readonly policy?: Policy
  readonly zlib?: Deflate.Zlib["Service"]
}

const agreement = (given: Partial<Agreement> = {}): Agreement => ({
  serverNoContextTakeover: false,
  clientNoContextTakeover: false,
  serverMaxWindowBits: 15,
  clientMaxWindowBits: 15,
  ...given
})

const codec = (role: Role, options: Options): Deflate.Codec | undefined =>
  options.deflate === undefined
    ? undefined
    : Deflate.make({
        zlib: options.zlib ?? NodeZlib.make,
        role,
        agreement: agreement(options.deflate),
        policy: options.policy ?? { threshold: 0 }
      })

/** What compresses as Node does, once it may. */
export const compressingAfter = (wait: Effect.Effect<void>): Deflate.Zlib["Service"] => ({
  ...NodeZlib.make,
  deflate: (bytes, options) => Effect.andThen(wait, NodeZlib.make.deflate(bytes, options))
})

export interface Opened {
  readonly webSocket: WebSocket.WebSocket
  /** Leaves the scope of the connection; with success unless told. */
  readonly leave: (exit?: Exit.Exit<unknown, unknown>) => Effect.Effect<void>
}

const open = Effect.fnUntraced(function* (end: End, role: Role, options: Options) {
  const scope = yield* Scope.make()
  const webSocket = yield* Scope.provide(
    WebSocket.make(end.socket, {
      role,
      subprotocol: options.subprotocol,
      limits: Limits.make(options.limits),
      codec: codec(role, options)
    }),
    scope
  )
  yield* Effect.addFinalizer(() => Effect.andThen(end.reset, Scope.close(scope, Exit.void)))
  const leave = (exit: Exit.Exit<unknown, unknown> = Exit.void) => Scope.close(scope, exit)
  return { webSocket, leave }
})

/** A server and a client connection that are each other's peer. */
export const connected = Effect.fnUntraced(function* (
  options: Options & { readonly client?: Options; readonly server?: Options } = {}
) {
  const pair = makePair(options.highWaterMark)
  const server = yield* open(pair.server, "server", { ...options, ...options.server })
  const client = yield* open(pair.client, "client", { ...options, ...options.client })
  return {
    pair,
    client: client.webSocket,
    server: server.webSocket,
    leaveClient: client.leave,
    leaveServer: server.leave
  }
})

/** Gives every fiber its turns until all of them wait for something. */
export const settled: Effect.Effect<void> = Effect.asVoid(Effect.repeat(Effect.yieldNow, { times: 50 }))

export type FrameParts = Partial<Frame.Frame> & Pick<Frame.Frame, "opcode">

// the frames that tests write most

export const text = (payload: string): FrameParts => ({ opcode: Opcode.text, payload: Buffer.from(payload) })

export const close = (code: number, reason = ""): FrameParts => ({
  opcode: Opcode.close,
  payload: new Uint8Array([code >> 8, code & 0xff, ...Buffer.from(reason)])
})

/** A frame as tests compare it: its opcode, the code if it is a Close frame that has one, and its payload as text. */
export const shown = ({ opcode, payload }: Frame.Frame): ReadonlyArray<number | string> =>
  opcode === Opcode.close && payload.length > 1
    ? [opcode, (payload[0]! << 8) | payload[1]!, Buffer.from(payload.subarray(2)).toString()]
    : [opcode, Buffer.from(payload).toString()]

export interface Peer {
  /** Frames in one write, masked if the peer is the client. */
  readonly send: (...frames: ReadonlyArray<FrameParts>) => Effect.Effect<void>
  readonly sendBytes: (bytes: Uint8Array) => Effect.Effect<void>
  /** The next frame that the connection sent; fails with its end. */
  readonly next: Effect.Effect<Frame.Frame, unknown>
  /** Frames up to the end of the byte stream. */
  readonly rest: Effect.Effect<ReadonlyArray<Frame.Frame>>
  /** The peer's FIN. */
  readonly end: Effect.Effect<void>
  readonly reset: Effect.Effect<void>
}

const key = new Uint8Array([0x37, 0xfa, 0x21, 0x3d])

export const bytesOf = (role: Role, frames: ReadonlyArray<FrameParts>): Uint8Array =>
  Buffer.concat(
    frames.map((frame) => Frame.toBytes(Frame.make(role === "client" ? { maskingKey: key, ...frame } : frame)))
  )

export const makePeer = Effect.fnUntraced(function* (end: End, role: Role) {
  const scope = yield* Scope.make()
  const reader = yield* Scope.provide(end.socket.reader, scope)
  const writerScope = yield* Scope.make()
  const writer = yield* Scope.provide(end.socket.writer, writerScope)
  yield* Effect.addFinalizer(() => Effect.andThen(Scope.close(writerScope, Exit.void), Scope.close(scope, Exit.void)))
  const decoder = Frame.decoder({ masking: role === "client" ? "forbidden" : "required", maxFrameSize: 2 ** 30 })
  const frames: Array<Frame.Frame> = []
  const next: Peer["next"] = Effect.suspend(() => {
    const frame = frames.shift()
    if (frame !== undefined) return Effect.succeed(frame)
    return Effect.flatMap(reader.pull, (chunks) => {
      for (const chunk of chunks) frames.push(...decoder.push(chunk as Uint8Array))
      return next
    })
  })
  const sendBytes = (bytes: Uint8Array) => Effect.orDie(writer.write(bytes))
  const peer: Peer = {
    sendBytes,
    send: (...parts) => sendBytes(bytesOf(role, parts)),
    next,
    rest: Effect.gen(function* () {
      const out: Array<Frame.Frame> = []
      yield* Effect.ignore(Effect.forever(Effect.map(next, (frame) => out.push(frame))))
      return out
    }),
    end: Scope.close(writerScope, Exit.void),
    reset: end.reset
  }
  return peer
})

/** A connection of this role, and its peer by hand. */
export const withPeer = Effect.fnUntraced(function* (role: Role, options: Options = {}) {
  const pair: Pair = makePair(options.highWaterMark)
  const opened: Opened = yield* open(pair[role], role, options)
  const peer = yield* makePeer(pair[role === "server" ? "client" : "server"], role === "server" ? "client" : "server")
  return { ...opened, peer, end: pair[role] }
})
