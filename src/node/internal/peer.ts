/**
 * The {@link Peer} of a connection, found again on whatever stream carries it. It is made when it is first asked for; where
 * nothing decides about connections before their requests, most have none.
 */
import * as Net from "node:net"
import type { Duplex } from "node:stream"
import type { Peer } from "../../server/UpgradeListener.ts"
import type { Session } from "../../tls/TlsSession.ts"

const peerKey = Symbol("effect-websocket/Peer")

interface Marked extends Duplex {
  [peerKey]?: TcpPeer
}

export class TcpPeer implements Peer {
  readonly remoteAddress: string | undefined
  readonly remotePort: number | undefined
  readonly localAddress: string | undefined
  readonly localPort: number | undefined
  /** Known when somebody asks: hardly anybody does, and it costs as much as some handshakes' JavaScript. */
  negotiated: (() => Session) | undefined = undefined
  private session: Session | undefined = undefined

  /** A socket forgets the addresses when it closes. */
  constructor(socket: Net.Socket) {
    this.remoteAddress = socket.remoteAddress
    this.remotePort = socket.remotePort
    this.localAddress = socket.localAddress
    this.localPort = socket.localPort
  }

  get tls(): Session | undefined {
    return (this.session ??= this.negotiated?.())
  }
}

/** The peer of a stream, made now if there is none yet. */
export const peerOf = (stream: Duplex): TcpPeer | undefined =>
  stream instanceof Net.Socket ? ((stream as Marked)[peerKey] ??= new TcpPeer(stream)) : undefined

/** The remote address, without a peer being made for it. */
export const remoteAddressOf = (stream: Duplex): string | undefined =>
  (stream as Marked)[peerKey]?.remoteAddress ?? (stream instanceof Net.Socket ? stream.remoteAddress : undefined)

/** Says that a stream is over the connection of this peer. */
export const layOver = (stream: Duplex, peer: TcpPeer): void => {
  const marked: Marked = stream
  marked[peerKey] = peer
}
