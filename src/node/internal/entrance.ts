/**
 * What a connection goes through between its acceptance and HTTP: what a load balancer says of it, the door, the decision of the
 * application, then TLS. What has to be waited for has a fiber, but for TLS, which most connections go through in its events alone.
 * What is on its way through here is cut off when the listener stops.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { constFalse, constVoid } from "effect/Function"
import * as Option from "effect/Option"
import type * as Net from "node:net"
import * as Now from "../../connection/internal/now.ts"
import { type Member, Roster } from "../../connection/internal/roster.ts"
import type { Peer } from "../../server/UpgradeListener.ts"
import type { TlsHandshakeError } from "../NodeTls.ts"
import type { Accepting } from "../NodeProxyProtocol.ts"
import type { Door } from "./door.ts"
import { peerOf, type TcpPeer } from "./peer.ts"
import * as ProxyHeader from "./proxyHeader.ts"
import type { Gate } from "./secure.ts"
import { Timer } from "./timers.ts"
import { endWith, notPlain, refuse } from "./upgrade.ts"

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

/** A connection on its way through. */
interface Visitor extends Member {
  readonly socket: Net.Socket
  readonly peer: TcpPeer
}

/** `answered`: the door tells the client that it is kept out. */
type Decision = "admitted" | "answered" | "refused"

/** The record of an alert, for a socket without TLS. */
const alertRecord = (alert: number): Uint8Array => Uint8Array.of(21, 3, 1, 0, 2, 2, alert)

/** What a client is sent whose handshake failed, if TLS itself has not told it. */
const lastWord = (socket: Net.Socket, { alert, isHttp }: TlsHandshakeError): Effect.Effect<void> => {
  if (isHttp === true) return refuse(socket, notPlain)
  return alert === undefined ? Effect.void : endWith(socket, alertRecord(alert))
}

export class Entrance {
  private readonly options: Options
  private readonly runFork: ReturnType<typeof Effect.runForkWith<never>>
  private readonly inside = new Roster<Visitor>()

  constructor(options: Options, runFork: ReturnType<typeof Effect.runForkWith<never>>) {
    this.options = options
    this.runFork = runFork
  }

  /** How many are here. */
  get size(): number {
    return this.inside.size
  }

  enter(socket: Net.Socket): void {
    const { admit, door, gate, proxyProtocol, serve } = this.options
    const peer = peerOf(socket)!
    // who it is about is known later, if a load balancer says it
    if (proxyProtocol === undefined && door !== undefined && !door.opens(socket, peer)) return
    const isAsked = admit !== undefined || proxyProtocol !== undefined || door?.opensByName !== undefined
    if (!isAsked && gate === undefined) return serve(socket)
    const visitor: Visitor = { socket, peer, place: -1 }
    this.inside.add(visitor)
    socket.on("error", constVoid)
    // who is asked may have the listener stop
    const decision = this.decision(socket, peer)
    if (decision === undefined) return this.secure(visitor)
    const fiber = this.runFork(decision)
    const forget = () => fiber.interruptUnsafe()
    socket.once("close", forget)
    fiber.addObserver((exit) => {
      socket.off("close", forget)
      if (Exit.isFailure(exit)) return this.turnAway(visitor, exit.cause)
      if (exit.value === "admitted" && !socket.destroyed) return this.secure(visitor)
      this.inside.delete(visitor)
      if (exit.value === "refused") socket.destroy()
    })
  }

  /** Ends all that is here. */
  cut(): void {
    for (const { socket } of this.inside) socket.destroy()
  }

  /** The decision to wait for before TLS, if there is one. */
  private decision(socket: Net.Socket, peer: TcpPeer): Effect.Effect<Decision> | undefined {
    const { door, proxyProtocol, timeout } = this.options
    if (proxyProtocol === undefined) return this.decisionAbout(socket, peer)
    return Effect.flatMap(
      ProxyHeader.believe(socket, peer, proxyProtocol, timeout),
      (isWell): Effect.Effect<Decision> => {
        if (!isWell) return Effect.succeed("refused")
        if (door !== undefined && !door.opens(socket, peer)) return Effect.succeed("answered")
        return this.decisionAbout(socket, peer) ?? Effect.succeed("admitted")
      }
    )
  }

  /** The same when the client's address is known. */
  private decisionAbout(socket: Net.Socket, peer: TcpPeer): Effect.Effect<Decision> | undefined {
    const byName = this.options.door?.opensByName
    if (byName === undefined) return this.asked(peer)
    return Effect.flatMap(
      Effect.suspend(() => byName(socket, peer)),
      (opens): Effect.Effect<Decision> =>
        opens ? (this.asked(peer) ?? Effect.succeed("admitted")) : Effect.succeed("answered")
    )
  }

  /** The decision of the application, unless it is yes at once. */
  private asked(peer: TcpPeer): Effect.Effect<Decision> | undefined {
    const { admit, timeout } = this.options
    if (admit === undefined) return undefined
    const answer = Now.attempt(() => admit(peer))
    if (Exit.isExit(answer) && Exit.isSuccess(answer) && answer.value) return undefined
    return Effect.map(Effect.timeoutOption(answer, timeout), (isWell) =>
      Option.getOrElse(isWell, constFalse) ? "admitted" : "refused"
    )
  }

  /** Has TLS spoken, if it is to be, before the time for it is over. */
  private secure(visitor: Visitor): void {
    const { gate, timeout } = this.options
    const { peer, socket } = visitor
    if (gate === undefined) return this.serve(visitor, socket)
    let isLate = false
    const late = () => {
      isLate = true
      end()
      gate.late(peer)
      this.cutOff(visitor)
    }
    const timer = new Timer(timeout, late)
    const end = gate.secure(socket, peer, (passed) => {
      if (isLate) return
      timer.stop()
      if (Exit.isSuccess(passed)) return this.serve(visitor, passed.value)
      this.turnAway(visitor, passed.cause)
    })
  }

  /** Gives a connection to HTTP, over TLS or as it is. */
  private serve(visitor: Visitor, stream: Net.Socket): void {
    const { socket } = visitor
    this.inside.delete(visitor)
    // TLS learns a little later that the connection beneath it was cut off
    if (stream.destroyed || socket.destroyed) return void socket.destroy()
    if (stream !== socket) return this.options.serve(stream)
    socket.off("error", constVoid)
    // it was, if something was read of it
    const isPaused = socket.isPaused()
    this.options.serve(socket)
    if (isPaused) socket.resume()
  }

  private cutOff(visitor: Visitor): void {
    this.inside.delete(visitor)
    visitor.socket.destroy()
  }

  private turnAway(visitor: Visitor, cause: Cause.Cause<TlsHandshakeError>): void {
    const error = Option.getOrUndefined(Cause.findErrorOption(cause))
    const last =
      error !== undefined
        ? lastWord(visitor.socket, error)
        : Cause.hasInterruptsOnly(cause)
          ? Effect.void
          : Effect.logError("A connection could not be decided about", cause)
    this.runFork(last).addObserver(() => this.cutOff(visitor))
  }
}
