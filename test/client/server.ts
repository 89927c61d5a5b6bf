/**
 * A server of WebSockets by hand, for what no such server would do: a TCP service that is asked, whose answer is what the test
 * writes, and whose frames the test writes and reads one by one. It sends nothing of its own accord, neither Close nor FIN.
 */
import { Effect, Exit, Fiber, Scope } from "effect"
import { createHash } from "node:crypto"
import type { Asking, WebSocketClient } from "../../src/client/WebSocketClient.ts"
import type { WebSocketClientError, WebSocketClientErrorReason } from "../../src/client/WebSocketClientError.ts"
import type { WebSocket } from "../../src/connection/WebSocket.ts"
import type * as NodeWebSocketClient from "../../src/node/NodeWebSocketClient.ts"
import * as Frame from "../../src/protocol/Frame.ts"
import { bytesOf, type FrameParts } from "../connection/connected.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { Watch } from "../proxy/watch.ts"
import { make } from "./client.ts"

/** The head of a request, to the letter. */
export class Request {
  readonly line: string
  /** In their order. */
  readonly lines: ReadonlyArray<string>

  constructor(head: string) {
    const [line = "", ...lines] = head.split("\r\n")
    this.line = line
    this.lines = lines
  }

  /** All values of a header, whose name is as it was written. */
  all(name: string): ReadonlyArray<string> {
    return this.lines.flatMap((line) => (line.startsWith(`${name}: `) ? [line.slice(name.length + 2)] : []))
  }
  get key(): string {
    return this.all("sec-websocket-key")[0] ?? ""
  }
  get accept(): string {
    return createHash("sha1").update(`${this.key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")
  }
}

const headEnd = "\r\n\r\n"

/** Waits for the head of a request, behind which nothing may come before there is an answer. Before it so many bytes came. */
export const requested = (connection: RawTarget.TargetConnection, from = 0): Effect.Effect<Request> =>
  connection.watch.until("the head of a request", () => {
    const head = connection.bytes.subarray(from).toString("latin1")
    return head.endsWith(headEnd) && new Request(head.slice(0, -headEnd.length))
  })

/** Headers in place of those of an acceptance, or beside them; `undefined` leaves one out. */
export type Changes = Readonly<Record<string, string | undefined>>

/** The answer that switches to WebSocket. */
export const switching = (request: Request, changes: Changes = {}): string => {
  const headers: Changes = {
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Accept": request.accept,
    ...changes
  }
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}\r\n`]
  )
  return `HTTP/1.1 101 Switching Protocols\r\n${lines.join("")}\r\n`
}

/** The server's end of a connection, by hand. */
export class Peer {
  readonly connection: RawTarget.TargetConnection
  private readonly decoder = Frame.decoder({ masking: "required", maxFrameSize: 2 ** 30 })
  private readonly frames: Array<Frame.Frame> = []
  private readonly watch: Watch

  constructor(connection: RawTarget.TargetConnection) {
    this.connection = connection
    this.watch = new Watch(() => `${this.frames.length} frames`)
    connection.forget()
    connection.sink = (chunk) => {
      this.frames.push(...this.decoder.push(chunk))
      this.watch.changed()
    }
  }

  /** Frames in one write. */
  send(...frames: ReadonlyArray<FrameParts>): Effect.Effect<void> {
    return Effect.asVoid(this.connection.write(bytesOf("server", frames)))
  }
  /** The next frame of the client. */
  get next(): Effect.Effect<Frame.Frame> {
    return Effect.flatMap(
      this.watch.until("a frame of the client", () => this.frames.length > 0),
      // there is one
      () => Effect.succeed(this.frames.shift()!)
    )
  }
  /** How many frames have come that nobody has taken. */
  get waiting(): number {
    return this.frames.length
  }
}

export interface Options extends NodeWebSocketClient.Options {
  readonly asking?: Asking | undefined
  readonly path?: string | undefined
  /** Whose the connection is. Default: the test's. */
  readonly scope?: Scope.Scope | undefined
}

export interface Dialled {
  readonly client: WebSocketClient["Service"]
  readonly listener: RawTarget.RawTarget
  readonly connection: RawTarget.TargetConnection
  readonly request: Request
  readonly connecting: Fiber.Fiber<WebSocket, WebSocketClientError>
}

/** A client that has connected and sent its request, to a server that has said nothing yet. */
export const dialled = Effect.fnUntraced(function* ({
  asking,
  path = "/",
  scope,
  ...options
}: Options = {}): Effect.fn.Return<Dialled, never, Scope.Scope> {
  const listener = yield* RawTarget.listen()
  const client = yield* make(options)
  const connect = client.connect(`ws://127.0.0.1:${listener.port}${path}`, asking)
  const connecting = yield* Effect.forkChild(scope === undefined ? connect : Scope.provide(connect, scope), {
    startImmediately: true
  })
  const connection = yield* listener.accept
  // so that whoever leaves waits for nobody
  yield* Effect.addFinalizer(() => connection.release)
  return { client, listener, connection, request: yield* requested(connection), connecting }
})

/** An open connection, and the server's end of it. */
export const opened = Effect.fnUntraced(function* (options: Options = {}, changes: Changes = {}) {
  const scope = yield* Scope.make()
  const { client, connecting, connection, request } = yield* dialled({ scope, ...options })
  const peer = new Peer(connection)
  yield* connection.write(Buffer.from(switching(request, changes)))
  const webSocket = yield* Fiber.join(connecting)
  /** Leaves the scope of the connection; with success unless told. */
  const leave = (exit: Exit.Exit<unknown, unknown> = Exit.void) => Scope.close(scope, exit)
  // in this order, so that whoever leaves waits for nobody
  yield* Effect.addFinalizer(() => Effect.andThen(connection.release, leave()))
  return { client, connection, peer, request, webSocket, leave }
})

/** Why the client has no connection, after the server has written this, and ended if it is to. */
export const answered = Effect.fnUntraced(function* (
  answer: string | ((request: Request) => string),
  { ending, ...options }: Options & { readonly ending?: "FIN" | "reset" | undefined } = {}
): Effect.fn.Return<WebSocketClientErrorReason, void, Scope.Scope> {
  const { connecting, connection, request } = yield* dialled(options)
  yield* connection.write(Buffer.from(typeof answer === "string" ? answer : answer(request), "latin1"))
  if (ending === "FIN") yield* connection.end()
  if (ending === "reset") yield* connection.reset()
  return (yield* Effect.flip(Effect.asVoid(Fiber.join(connecting)))).reason
})

/** Lets this process read what it has been sent: after a reset, which comes ahead of all that is unread, it would not. */
export const turns: Effect.Effect<void> = Effect.callback<void>((resume) => {
  const turn = (left: number) => {
    if (left === 0) resume(Effect.void)
    else setImmediate(turn, left - 1)
  }
  turn(5)
})

/** The sockets of a TCP service that nobody has ended yet. */
export const openAt = (listener: RawTarget.RawTarget): number => listener.connections.filter(({ over }) => !over).length
