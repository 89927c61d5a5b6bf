/**
 * The answers of each connection that are under way. A client may send its next request before it has the answer to the one in front
 * of it, and answers go out in the order of the requests (RFC 9112 section 9.3.2): what `node:http` hands out in place of a request,
 * such as an upgrade, waits here for its turn. A connection that ends meanwhile is noticed, and one on which nothing moves is ended.
 */
import type * as NodeHttp from "node:http"
import type * as Net from "node:net"
import type { Duplex } from "node:stream"
import { type Member, Roster } from "../../connection/internal/roster.ts"
import { type Attendant, attend } from "./attended.ts"
import { maxTimer } from "./timers.ts"

export interface Options {
  /** How long a connection on which somebody waits may make no progress, in milliseconds. */
  readonly timeout: number
  /** Told when that time was over. */
  readonly onLate: () => void
}

export class Answering {
  private readonly options: Options
  private readonly lines = new WeakMap<Duplex, Line>()
  private readonly waiting = new Roster<Line>()

  constructor(options: Options) {
    this.options = options
  }

  /** A request has come, and this is its answer. */
  begin(response: NodeHttp.ServerResponse): void {
    const { socket } = response.req
    let line = this.lines.get(socket)
    if (line === undefined) {
      line = new Line(socket)
      this.lines.set(socket, line)
    }
    line.add(response)
  }

  /** The last answer that is under way. */
  last(socket: Duplex): NodeHttp.ServerResponse | undefined {
    const line = this.lines.get(socket)
    return line === undefined ? undefined : Array.from(line.answers).at(-1)
  }

  /** Whether somebody waits for their end already. */
  isFollowed(socket: Duplex): boolean {
    const line = this.lines.get(socket)
    return line !== undefined && this.waiting.has(line)
  }

  /**
   * Calls `next` when all answers have been sent, except `but`, which never will be; at once, if there are none. It does not call
   * if the connection ends before. To be called once for each connection.
   */
  follow(socket: Duplex, next: () => void, but?: NodeHttp.ServerResponse): void {
    const line = this.lines.get(socket)
    if (line === undefined) return next()
    const done = () => {
      // the connection may live on for long, as a WebSocket
      this.lines.delete(socket)
      next()
    }
    if (but !== undefined) line.answers.delete(but)
    if (line.answers.size === 0) return done()
    this.waiting.add(line)
    line.wait(this.options, (isTurn) => {
      this.waiting.delete(line)
      if (isTurn) done()
    })
  }

  /** Ends all connections where somebody waits: `node:http` has forgotten those of upgrades. */
  cut(): void {
    for (const { socket } of this.waiting) socket.destroy()
  }
}

/** The answers of one connection, and who waits behind them. */
class Line implements Attendant, Member {
  place = -1
  readonly socket: Net.Socket
  /** In the order of their requests. */
  readonly answers = new Set<NodeHttp.ServerResponse>()
  /** Lets an answer go on that waited for room. */
  private readonly onRoom: ReadonlyArray<() => void>
  /** Whoever waits behind them; `false`: their turn will not come. */
  private next: ((isTurn: boolean) => void) | undefined
  private release: (() => void) | undefined

  constructor(socket: Net.Socket) {
    this.socket = socket
    // their type is any function's; those of `drain` are given nothing
    this.onRoom = socket.listeners("drain") as Array<() => void>
    socket.once("close", () => this.abandon())
  }

  add(response: NodeHttp.ServerResponse): void {
    this.answers.add(response)
    response.once("close", () => {
      this.answers.delete(response)
      if (this.next !== undefined) this.move(response)
    })
  }

  wait({ onLate, timeout }: Options, next: (isTurn: boolean) => void): void {
    const { socket } = this
    const present = socket.listeners("drain")
    // with an upgrade `node:http` has taken its own from the socket, and without it no answer goes on that has to wait for room
    const missing = this.onRoom.filter((listener) => !present.includes(listener))
    for (const listener of missing) socket.on("drain", listener)
    const late = () => {
      onLate()
      // in the middle of an answer there is nothing to be said
      socket.destroy()
    }
    // bytes that come or go begin this time anew, of a large write also those that the system takes of it
    socket.setTimeout(timeout === Infinity ? 0 : Math.min(timeout, maxTimer)).on("timeout", late)
    this.next = next
    const release = () => {
      for (const listener of missing) socket.off("drain", listener)
      // also the time that `node:http` gives to the next request
      socket.setTimeout(0).off("timeout", late)
    }
    this.release = release
    attend(socket, this)
    // `node:http` may have had it stopped for want of room, so that the stream waits for bytes that nobody reads: this ends that read,
    // and begins another
    socket.push("")
  }

  /** One of them has ended. */
  private move(response: NodeHttp.ServerResponse): void {
    const { next, socket } = this
    // nothing can be put in the place of one that was given up
    if (!response.writableFinished) socket.destroy()
    // when the last of them has ended the connection, only the time is left to be kept
    if (this.answers.size > 0 || !socket.writable) return
    this.next = undefined
    this.release?.()
    next?.(true)
  }

  onData(chunk: Buffer): void {
    // it is for who takes the connection then
    this.socket.pause()
    this.socket.unshift(chunk)
  }

  onEnd(): void {
    // `node:http` takes no more for an answer either; when it is an upgrade's turn, the client may have ended its side
    if (this.next !== undefined) this.socket.end()
  }

  onError(): void {}

  onClose(): void {
    this.next?.(false)
  }

  /** The connection is gone, and nobody gets them. */
  private abandon(): void {
    // whoever makes one that has not begun is told by nobody else
    for (const answer of this.answers) answer.destroy()
    // nor in Node 22, where a destroyed one that had not come to its socket yet says nothing
    const silent = [...this.answers].filter(({ socket }) => socket === null)
    process.nextTick(() => {
      for (const answer of silent) if (!answer.closed) answer.emit("close")
    })
  }
}
