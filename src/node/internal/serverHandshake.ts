/**
 * The server's side of one TLS handshake, in the events of its stream: there is one for each connection, and most wait for
 * nothing but their client, so that a fiber would be a good part of what this adds to `node:tls`. The caller bounds its time.
 */
import * as Exit from "effect/Exit"
import type * as Net from "node:net"
import * as tls from "node:tls"
import type { ClientHello } from "../../tls/ClientHello.ts"
import type { TlsHandshakeError } from "../NodeTls.ts"
import { describeAlert, gone, unused } from "./firstBytes.ts"
import { alertOf, faultOf, isHttp } from "./handshakeFault.ts"
import { layOver, type TcpPeer } from "./peer.ts"
import { formatRecord, RecordTap } from "./recordTap.ts"
import { layOn } from "./reset.ts"
import { notPlain, response } from "./upgrade.ts"

/** What holds for all connections of a listener. */
export interface Settings {
  /** Whether the client may still be refused when the handshake is done. */
  readonly mayRefuse: boolean
  readonly keyLog: ((line: Buffer) => void) | undefined
  /** Is told the steps of the handshake; `records` is whether it is told of each record. */
  readonly tell: ((peer: TcpPeer, message: string) => void) | undefined
  readonly records: boolean
}

/** On one connection. */
interface Beginning {
  readonly socket: Net.Socket
  readonly peer: TcpPeer
  /** They hold for all that are shown the same certificate, and Node copies them. */
  readonly options: tls.TLSSocketOptions
  /** If it was read before, and put back. */
  readonly hello: ClientHello | undefined
}

/** Where the shared listeners find the handshake that goes on over their stream. */
const ongoing = Symbol("effect-websocket/Handshake")

interface Attached extends tls.TLSSocket {
  [ongoing]?: Handshake | undefined
}

// for all streams, and for as long as these live: to take them off again would cost more
function onSecure(this: Attached): void {
  this[ongoing]?.secured()
}
function onError(this: Attached, error: Error): void {
  this[ongoing]?.failed(error)
}
function onGone(this: Attached): void {
  this[ongoing]?.gone()
}
/** TLS that failed in a way of its own after the handshake tells it by this event alone. */
function onTlsError(this: Attached, error: NodeJS.ErrnoException): void {
  this[ongoing]?.refused(error)
  this.destroy(error)
}

const plainAnswer = response(notPlain)

export class Handshake {
  private readonly settings: Settings
  private readonly beginning: Beginning
  private readonly done: (exit: Exit.Exit<tls.TLSSocket, TlsHandshakeError>) => void
  private readonly stream: Attached

  /**
   * Begins. `done` is called once and later, unless the handshake is ended before; if nobody can refuse the client any more, in the
   * event itself.
   */
  constructor(
    settings: Settings,
    beginning: Beginning,
    done: (exit: Exit.Exit<tls.TLSSocket, TlsHandshakeError>) => void
  ) {
    const { options, peer, socket } = beginning
    const { keyLog, records, tell } = settings
    this.settings = settings
    this.beginning = beginning
    this.done = done
    const carrier =
      records && tell !== undefined ? new RecordTap(socket, (head) => tell(peer, formatRecord(head))) : socket
    const stream: Attached = new tls.TLSSocket(carrier, options)
    this.stream = stream
    stream[ongoing] = this
    layOver(stream, peer)
    layOn(stream, socket)
    if (keyLog !== undefined) stream.on("keylog", keyLog)
    stream.on("_tlsError", onTlsError).on("secure", onSecure).on("error", onError).on("end", onGone).on("close", onGone)
  }

  /** Ends it before it is done. */
  end(): void {
    this.stream[ongoing] = undefined
    this.stream.destroy()
  }

  secured(): void {
    const { beginning, settings, stream } = this
    const { mayRefuse, tell } = settings
    stream.disableRenegotiation()
    if (tell !== undefined) {
      stream.on("error", (error) => {
        const alert = alertOf(error)
        tell(beginning.peer, alert === undefined ? `TLS failed: ${error.message}` : describeAlert("received", alert))
      })
    }
    if (mayRefuse) return this.settle(() => (stream.destroyed ? Exit.fail(gone) : Exit.succeed(stream)))
    stream[ongoing] = undefined
    this.done(Exit.succeed(stream))
  }

  /** What TLS answers to HTTP is nothing; it is about to destroy the socket beneath. */
  refused(error: NodeJS.ErrnoException): void {
    if (isHttp(error)) this.beginning.socket.end(plainAnswer)
  }

  failed(cause: Error): void {
    const { hello, peer } = this.beginning
    const { alert, error } = faultOf(cause, hello)
    if (alert !== undefined) this.settings.tell?.(peer, describeAlert(alert.direction, alert.number))
    this.settle(() => Exit.fail(error))
  }

  gone(): void {
    const { hello, socket } = this.beginning
    const isUnused = hello === undefined && socket.bytesRead === 0
    this.stream.destroy()
    this.settle(() => Exit.fail(isUnused ? unused : gone))
  }

  /** Out of the event: what is done to the socket beneath in an event of TLS can crash Node. */
  private settle(exit: () => Exit.Exit<tls.TLSSocket, TlsHandshakeError>): void {
    this.stream[ongoing] = undefined
    setImmediate(() => this.done(exit()))
  }
}
