/**
 * Servers of another make: `ws`, on a port of the system's choice, with all that a connection of it told. Gone with the scope.
 */
import { Effect, type Scope } from "effect"
import { once } from "node:events"
import type * as Net from "node:net"
import { type ServerOptions, type WebSocket, WebSocketServer } from "ws"
import { Watch } from "../proxy/watch.ts"

/** What came, as `ws` gives it. */
export type Event =
  | { readonly _tag: "message"; readonly data: string | Uint8Array }
  | { readonly _tag: "ping"; readonly data: string }
  | { readonly _tag: "pong"; readonly data: string }
  | { readonly _tag: "close"; readonly code: number; readonly reason: string }
  | { readonly _tag: "error"; readonly message: string }

/** One connection, from its server's side. */
export class Visitor {
  readonly socket: WebSocket
  readonly events: Array<Event> = []
  private readonly watch = new Watch(() => JSON.stringify(this.events.slice(-5)))

  constructor(socket: WebSocket) {
    this.socket = socket
    socket
      // of the default kind of binary message, a Buffer comes
      .on("message", (data: Buffer, isBinary) =>
        this.add({ _tag: "message", data: isBinary ? new Uint8Array(data) : data.toString() })
      )
      .on("ping", (data) => this.add({ _tag: "ping", data: data.toString() }))
      .on("pong", (data) => this.add({ _tag: "pong", data: data.toString() }))
      .on("close", (code, reason) => this.add({ _tag: "close", code, reason: reason.toString() }))
      .on("error", ({ message }) => this.add({ _tag: "error", message }))
  }

  private add(event: Event): void {
    this.events.push(event)
    this.watch.changed()
  }

  /** Waits for the first event of a kind. */
  until<T extends Event["_tag"]>(tag: T): Effect.Effect<Extract<Event, { readonly _tag: T }>> {
    return this.watch.until(tag, () =>
      this.events.find((event): event is Extract<Event, { readonly _tag: T }> => event._tag === tag)
    )
  }

  get messages(): ReadonlyArray<string | Uint8Array> {
    return this.events.flatMap((event) => (event._tag === "message" ? [event.data] : []))
  }

  /** Waits until so many messages have come, and gives them. */
  untilMessages(count: number): Effect.Effect<ReadonlyArray<string | Uint8Array>> {
    return this.watch.until(`${count} messages`, () => this.messages.length >= count && this.messages, 20_000)
  }
}

export class WsServer {
  readonly server: WebSocketServer
  readonly visitors: Array<Visitor> = []
  private readonly watch = new Watch(() => `${this.visitors.length} connections`)
  private taken = 0

  constructor(options: ServerOptions, onVisitor: (visitor: Visitor) => void) {
    this.server = new WebSocketServer({ host: "127.0.0.1", port: 0, maxPayload: 2 ** 28, ...options })
    this.server.on("connection", (socket) => {
      const visitor = new Visitor(socket)
      this.visitors.push(visitor)
      onVisitor(visitor)
      this.watch.changed()
    })
  }

  get url(): string {
    // a server on a port has an address of IP
    return `ws://127.0.0.1:${(this.server.address() as Net.AddressInfo).port}`
  }

  /** The next connection that nobody has taken. */
  get accept(): Effect.Effect<Visitor> {
    return Effect.suspend(() => {
      const index = this.taken++
      return this.watch.until(`connection ${index}`, () => this.visitors[index])
    })
  }
}

/** Sends back whatever comes. */
export const echoing = ({ socket }: Visitor): void =>
  void socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }))

export const listen = (
  options: ServerOptions = {},
  onVisitor: (visitor: Visitor) => void = () => {}
): Effect.Effect<WsServer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = new WsServer(options, onVisitor)
      if (options.noServer !== true) await once(server.server, "listening")
      return server
    }),
    ({ server }) =>
      Effect.callback<void>((resume) => {
        for (const socket of server.clients) socket.terminate()
        server.close(() => resume(Effect.void))
      })
  )
