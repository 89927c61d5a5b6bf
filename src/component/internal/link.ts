/** A connection as both components know it: the client, its request, and how it ends. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Connection } from "../../connection/internal/connection.ts"
import type { WebSocket } from "../../connection/WebSocket.ts"
import type { CloseInfo } from "../../protocol/ConnectionState.ts"
import { Refusal, type Request } from "../../protocol/OpeningHandshake.ts"
import type { OpenRequest } from "../../server/OpenRequest.ts"
import { ComponentError } from "../ComponentError.ts"
import type { CommonEvents } from "../Events.ts"
import type { ConnectionSettings } from "../Settings.ts"
import type { Session } from "../../tls/TlsSession.ts"
import type { Arrival } from "./arrivals.ts"
import type { Host } from "./host.ts"
import type { Turns } from "./turns.ts"
import { Waiting } from "./waiting.ts"

/** Without the prefix of an IPv4 address in its IPv6 form. */
export const plainAddress = (address = ""): string => address.replace(/^::ffff:(?=\d+\.)/i, "")

/** The headers of a request, each ended by CR LF. */
export const headerText = ({ headers, rawHeaders }: Request): string => {
  let text = ""
  if (rawHeaders === undefined) {
    for (const name in headers) text += `${name}: ${headers[name]}\r\n`
  } else {
    for (let i = 0; i < rawHeaders.length; i += 2) text += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`
  }
  return text
}

/** What the standard codes are described by if nothing else is said. */
const descriptions: Readonly<Record<number, string>> = {
  1000: "Normal closure",
  1001: "Going away",
  1002: "Protocol error",
  1003: "Unsupported data",
  1007: "Invalid payload data",
  1008: "Policy violation",
  1009: "Message too big",
  1010: "Missing extension",
  1011: "Internal error"
}

/** Disconnect was called before there was an answer. */
export const disconnected = new Refusal({ status: 503, reason: "The server ended the connection." })

export abstract class Link<Events extends CommonEvents = CommonEvents> implements ConnectionSettings {
  readonly connectionId: string
  readonly turns: Turns
  /** What TLS agreed on, if it is spoken. */
  readonly session: Session | undefined
  readonly remoteHost: string
  readonly remotePort: number
  readonly localAddress: string
  readonly request: Request
  readonly host: Host<Events>
  readonly waiting: Waiting
  timeout: number
  webSocket: WebSocket | undefined
  /** Disconnect was called: no more data is given out. */
  isClosing = false
  /** Disconnected is told, or about to be: nothing comes behind it. */
  isDisconnected = false
  private isOver = false
  private whenOver: Array<() => void> | undefined

  constructor(host: Host<Events>, { connectionId, turns }: Arrival, open: OpenRequest, timeout: number) {
    this.host = host
    this.connectionId = connectionId
    this.turns = turns
    this.session = open.peer?.tls
    this.request = open.request
    // a socket forgets them when it closes
    this.remoteHost = plainAddress(open.peer?.remoteAddress)
    this.remotePort = open.peer?.remotePort ?? 0
    this.localAddress = plainAddress(open.peer?.localAddress)
    this.timeout = timeout
    this.waiting = new Waiting(host.fork)
  }

  /** The client was answered. */
  get isOpened(): boolean {
    return this.webSocket !== undefined
  }

  /** As far as it is known: while a listener holds the reading up, that the client has ended its side is not. */
  get isConnected(): boolean {
    const { isDisconnected, webSocket } = this
    // every WebSocket that this package makes is a Connection
    return webSocket instanceof Connection && !isDisconnected && !webSocket.isOver
  }

  /** The connection, which must be open. */
  get open(): WebSocket {
    if (this.webSocket === undefined) throw new ComponentError(10057)
    return this.webSocket
  }

  abstract readSetting(name: string): unknown
  abstract writeSetting(name: string, value: unknown): void
  /** Until what was sent is on its way, before what is sent next. */
  abstract get landed(): Effect.Effect<void>

  /**
   * Disconnects. It is done when the connection has ended and its events have fired, except when it is called from one of them. A
   * listener that does not end is waited for no longer than the client would be.
   */
  async disconnect(signal: AbortSignal | undefined): Promise<void> {
    // nothing is begun then: what comes is still given out
    if (signal?.aborted === true) throw new ComponentError(301, { cause: signal.reason })
    this.isClosing = true
    const { webSocket } = this
    // a listener that waits for what waits for it would wait for ever
    const isWithinEvent = this.turns.busy
    if (webSocket === undefined) {
      this.wake()
      if (!isWithinEvent) await this.overInTime(signal)
      return
    }
    const { store } = this.host
    const code = store.get("DisconnectStatusCode")
    const description = store.get("DisconnectStatusDescription") || (descriptions[code] ?? "")
    const close = webSocket.close(code, description, { wait: store.get("WaitForCloseResponse") })
    // on its own: whoever gives up to wait for it must not leave a connection behind that nobody ends
    const closing = this.host.fork(Effect.andThen(this.landed, close))
    this.wake()
    await this.waiting.run(Fiber.join(closing), {
      timeout: 0,
      progress: () => 0,
      signal,
      otherwise: 4202
    })
    if (!isWithinEvent) await this.overInTime(signal)
  }

  private overInTime(signal: AbortSignal | undefined): Promise<void> {
    const tooLong = Effect.sleep(this.host.store.get("CloseTimeout") * 1000)
    return this.waiting.run(
      Effect.raceFirst(
        Effect.promise(() => this.over),
        tooLong
      ),
      {
        timeout: 0,
        progress: () => 0,
        signal,
        otherwise: 4202
      }
    )
  }

  /** Ends what is waited for, since the connection ends. */
  protected release: (() => void) | undefined

  /** Lets go of whatever holds the connection up. */
  wake(): void {
    this.release?.()
  }

  /** Waits until the connection is given up before it is open. */
  get abandonment(): Effect.Effect<never, Refusal> {
    return Effect.callback((resume) => {
      const release = () => resume(Effect.fail(disconnected))
      this.release = release
      if (this.isClosing) release()
      // it holds all that waits, for as long as the connection lives
      return Effect.sync(() => {
        if (this.release === release) this.release = undefined
      })
    })
  }

  /** Until the last event is done. */
  get over(): Promise<void> {
    return this.isOver
      ? Promise.resolve()
      : new Promise((resolve) => {
          ;(this.whenOver ??= []).push(resolve)
        })
  }

  /** All is done. */
  ended(): void {
    this.isOver = true
    for (const resolve of this.whenOver?.splice(0) ?? []) resolve()
  }

  /** Fires an event when its turn comes; gives whether its listeners did well. */
  emit<N extends keyof Events>(name: N, event: () => Events[N]): boolean | Promise<boolean> {
    const { emitter } = this.host
    if (!emitter.has(name) || (this.isDisconnected && name !== "Disconnected")) return true
    return this.turns.take(() => emitter.emit(name, event()))
  }

  /** The same as an effect. */
  fire<N extends keyof Events>(name: N, event: () => Events[N]): Effect.Effect<boolean> {
    return Effect.suspend(() => {
      const result = this.emit(name, event)
      return typeof result === "boolean" ? Effect.succeed(result) : Effect.promise(() => result)
    })
  }
}

/** How a connection ended, in words. */
export const endOf = (info: CloseInfo): { readonly statusCode: number; readonly description: string } => ({
  statusCode: info.code,
  description: info.reason === "" && info.code === 1006 ? "The connection ended without a Close frame." : info.reason
})
