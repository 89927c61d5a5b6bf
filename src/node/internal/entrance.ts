/**
 * What a connection goes through between its acceptance and HTTP: what a load balancer says of it, the door, the decision of the
 * application, then TLS. What is on its way through here has a fiber, and is cut off when the listener stops.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { constFalse } from "effect/Function"
import * as Option from "effect/Option"
import type * as Net from "node:net"
import type { Peer } from "../../server/UpgradeListener.ts"
import type { TlsHandshakeError } from "../NodeTls.ts"
import type { Accepting } from "../NodeProxyProtocol.ts"
import type { Door } from "./door.ts"
import { peerOf, type TcpPeer } from "./peer.ts"
import * as ProxyHeader from "./proxyHeader.ts"
import type { Gate } from "./secure.ts"
import { maxTimer } from "./timers.ts"
import { endWith, ignoreError, notPlain, refuse } from "./upgrade.ts"

export interface Options {
  readonly proxyProtocol: Accepting | undefined
  readonly door: Door | undefined
  readonly admit: ((peer: Peer) => Effect.Effect<boolean>) | undefined
  /** How long a header may take, and `admit`, and the gate, in milliseconds. */
  readonly timeout: number
  readonly gate: Gate | undefined
  /** Gives a connection that came through to HTTP. */
  readonly serve: (stream: Net.Socket) => void
}

type Outcome = Net.Socket | "answered" | undefined

/** The record of an alert, for a socket without TLS. */
const alertRecord = (alert: number): Uint8Array => Uint8Array.of(21, 3, 1, 0, 2, 2, alert)

/** What is said to who does not come through TLS, where TLS itself did not say it. */
const lastWord = (socket: Net.Socket, { alert, isHttp }: TlsHandshakeError): Effect.Effect<void> => {
  if (isHttp === true) return refuse(socket, notPlain)
  return alert === undefined ? Effect.void : endWith(socket, alertRecord(alert))
}

export class Entrance {
  private readonly options: Options
  private readonly runFork: ReturnType<typeof Effect.runForkWith<never>>
  private readonly inside = new Set<Net.Socket>()

  constructor(options: Options, runFork: ReturnType<typeof Effect.runForkWith<never>>) {
    this.options = options
    this.runFork = runFork
  }

  enter(socket: Net.Socket): void {
    const { admit, door, gate, proxyProtocol, serve } = this.options
    const peer = peerOf(socket)!
    // who it is about is known later, if a load balancer says it
    if (proxyProtocol === undefined) {
      if (door !== undefined && !door.opens(socket, peer)) return
      // nothing to wait for
      if (admit === undefined && gate === undefined && door?.opensByName === undefined) return serve(socket)
    }
    const fiber = this.runFork(
      Effect.catchCause(this.way(socket, peer), (cause) =>
        Effect.as(Effect.logError("A connection could not be decided about", cause), undefined)
      )
    )
    const forget = () => fiber.interruptUnsafe()
    this.inside.add(socket)
    socket.on("error", ignoreError).once("close", forget)
    fiber.addObserver((exit) => {
      this.inside.delete(socket)
      socket.off("close", forget)
      const stream = Exit.isSuccess(exit) ? exit.value : undefined
      if (stream === "answered") return
      // TLS learns a little later that the connection beneath it was cut off
      if (stream === undefined || stream.destroyed || socket.destroyed) return void socket.destroy()
      if (stream === socket) socket.off("error", ignoreError)
      // it was, if something was read of it
      const isPaused = socket.isPaused()
      serve(stream)
      if (stream === socket && isPaused) socket.resume()
    })
  }

  /** Ends all that is here. */
  cut(): void {
    for (const socket of this.inside) socket.destroy()
  }

  /** The stream that HTTP is spoken on; `answered`, if the door tells the client that it is kept out. */
  private way(socket: Net.Socket, peer: TcpPeer): Effect.Effect<Outcome> {
    const { door, proxyProtocol, timeout } = this.options
    if (proxyProtocol === undefined) return this.known(socket, peer)
    return Effect.flatMap(
      ProxyHeader.believe(socket, peer, proxyProtocol, timeout),
      (isWell): Effect.Effect<Outcome> => {
        if (!isWell) return Effect.succeed(undefined)
        const isKeptOut = door !== undefined && !door.opens(socket, peer)
        return isKeptOut ? Effect.succeed("answered") : this.known(socket, peer)
      }
    )
  }

  private known(socket: Net.Socket, peer: TcpPeer): Effect.Effect<Outcome> {
    const byName = this.options.door?.opensByName
    if (byName === undefined) return this.admitted(socket, peer)
    return Effect.flatMap(byName(socket, peer), (opens): Effect.Effect<Outcome> =>
      opens ? this.admitted(socket, peer) : Effect.succeed("answered")
    )
  }

  private admitted(socket: Net.Socket, peer: TcpPeer): Effect.Effect<Net.Socket | undefined> {
    const { admit, gate, timeout } = this.options
    const secured = gate === undefined ? Effect.succeed(socket) : this.secured(gate, socket, peer)
    if (admit === undefined) return secured
    const admitted = Effect.map(Effect.timeoutOption(admit(peer), timeout), Option.getOrElse(constFalse))
    return Effect.flatMap(admitted, (isWell) => (isWell ? secured : Effect.succeed(undefined)))
  }

  /** Through the gate before the time for it is over: a timer, and not a race of two fibers for each connection. */
  private secured(gate: Gate, socket: Net.Socket, peer: TcpPeer): Effect.Effect<Net.Socket | undefined> {
    const { timeout } = this.options
    const inTime = Effect.withFiber<Net.Socket, TlsHandshakeError>((fiber) => {
      const secure = gate.secure(socket, peer)
      if (timeout === Infinity) return secure
      const late = () => {
        fiber.interruptUnsafe()
        this.runFork(gate.late(peer))
      }
      const timer = setTimeout(late, Math.min(timeout, maxTimer))
      return Effect.onExit(secure, () => Effect.sync(() => clearTimeout(timer)))
    })
    return Effect.catch(inTime, (error) => Effect.as(lastWord(socket, error), undefined))
  }
}
