/**
 * One TCP connection, written to with control of what goes out together, and waited on with a bound.
 */
import * as net from "node:net"
import { setImmediate, setTimeout as delay } from "node:timers/promises"
import { parseResponse, type Response } from "./http.ts"

/** How the peer's side of the connection ended. */
export type Ending = "end" | "reset"

/** Between two writes: `"turn"` gives the event loop one turn, `"moment"` gives another process time to read. */
export type Pause = "turn" | "moment"

export class Tcp {
  readonly patience: number
  readonly #socket: net.Socket
  readonly #watchers = new Set<() => void>()
  #received: Array<Buffer> = []
  #ending: Ending | undefined

  constructor(socket: net.Socket, patience: number) {
    this.patience = patience
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on("data", (chunk: Buffer) => {
      this.#received.push(chunk)
      this.#changed()
    })
    socket.on("end", () => this.#ended("end"))
    socket.on("error", () => this.#ended("reset"))
    socket.on("close", () => this.#ended("reset"))
  }

  static connect(host: string, port: number, patience: number): Promise<Tcp> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ host, port, allowHalfOpen: true })
      socket.once("error", reject)
      socket.once("connect", () => {
        socket.off("error", reject)
        resolve(new Tcp(socket, patience))
      })
    })
  }

  /** How the server ended the connection, once it has. */
  get ending(): Ending | undefined {
    return this.#ending
  }

  /** All of it in one write. */
  write(parts: ReadonlyArray<Uint8Array>): void {
    const [only] = parts
    this.#socket.write(parts.length === 1 && only !== undefined ? only : Buffer.concat(parts))
  }

  /** Each part in a write of its own, until `enough`. */
  async writeApart(parts: Iterable<Uint8Array>, pause: Pause = "turn", enough = () => false): Promise<void> {
    let first = true
    for (const part of parts) {
      if (!first) await (pause === "turn" ? setImmediate() : delay(1))
      if (this.#ending !== undefined || enough()) return
      if (part.length > 0) this.#socket.write(part)
      first = false
    }
  }

  /** Our FIN; what the server still sends is read on. */
  end(): void {
    this.#socket.end()
  }

  /** Takes what has come and was not taken. */
  take(): Buffer {
    const all = Buffer.concat(this.#received)
    this.#received = []
    return all
  }

  /** From now on each chunk goes to `sink` at once. */
  drainTo(sink: (chunk: Buffer) => void): void {
    const drain = (): void => {
      const chunks = this.#received
      this.#received = []
      for (const chunk of chunks) sink(chunk)
    }
    drain()
    this.#watchers.add(drain)
  }

  /** What `poll` gives as soon as it is not `undefined`; an error when nothing new has come for `patience`. */
  until<A>(what: string, poll: () => A | undefined): Promise<A> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer)
        this.#watchers.delete(attempt)
      }
      const attempt = (): void => {
        try {
          const value = poll()
          if (value === undefined) return void timer.refresh()
          settle()
          resolve(value)
        } catch (error) {
          settle()
          reject(error)
        }
      }
      const timer = setTimeout(() => {
        settle()
        reject(new Error(`waited ${this.patience} ms for ${what}: nothing (more) came`))
      }, this.patience)
      this.#watchers.add(attempt)
      attempt()
    })
  }

  /** The whole HTTP response; what came behind it stays for the next taker. */
  async response(bodyless = false): Promise<Response> {
    let data: Buffer = Buffer.alloc(0)
    const response = await this.until("an HTTP response", () => {
      data = Buffer.concat([data, this.take()])
      const parsed = parseResponse(data, bodyless)
      if (parsed === undefined && this.#ending !== undefined) {
        throw new Error(`the server ended the connection (${this.#ending}) after ${data.length} octets of a response`)
      }
      return parsed
    })
    if (response.rest.length > 0) this.#received.unshift(response.rest)
    return response
  }

  /** The end of the server's half. */
  ended(what = "the server to end the connection"): Promise<Ending> {
    return this.until(what, () => this.#ending)
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #ended(how: Ending): void {
    if (this.#ending !== undefined) return
    this.#ending = how
    this.#changed()
  }

  #changed(): void {
    for (const watcher of this.#watchers) watcher()
  }
}
