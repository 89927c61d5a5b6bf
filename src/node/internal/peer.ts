/**
 * The {@link Peer} of a connection, found again on whatever stream carries it. It is made when it is first asked for; where
 * nothing decides about connections before their requests, most have none.
 */
import * as NetAddress from "effect/net/NetAddress"
import * as Net from "node:net"
import type { Duplex } from "node:stream"
import type * as ProxyProtocol from "../../protocol/ProxyProtocol.ts"
import type { Peer, Proxied } from "../../server/UpgradeListener.ts"
import type { Session } from "../../tls/TlsSession.ts"

const peerKey = Symbol("effect-websocket/Peer")

interface Marked extends Duplex {
  [peerKey]?: TcpPeer
}

export class TcpPeer implements Peer {
  remoteAddress: string | undefined
  remotePort: number | undefined
  localAddress: string | undefined
  localPort: number | undefined
  proxied: Proxied | undefined = undefined
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

  /**
   * Takes the addresses of the client that a load balancer names. If the header names no client, or is not about a stream,
   * everything stays as it is.
   */
  become(header: ProxyProtocol.Header): void {
    if (header._tag === "Local" || header._tag === "Unknown" || header.transport !== "stream") return
    const { localAddress, localPort, remoteAddress, remotePort } = this
    this.proxied = {
      version: header.version,
      by: { remoteAddress, remotePort, localAddress, localPort },
      tlvs: header.tlvs
    }
    const [source, destination] = header._tag === "Inet" ? [header.source, header.destination] : []
    this.remoteAddress = textOf(source)
    this.remotePort = source?.port
    this.localAddress = textOf(destination)
    this.localPort = destination?.port
  }
}

const textOf = (end: NetAddress.InetAddress | undefined): string | undefined =>
  end === undefined ? undefined : NetAddress.formatIp(NetAddress.toCanonical(end.address))

/** The peer of a stream, made now if there is none yet. */
export const peerOf = (stream: Duplex): TcpPeer | undefined => {
  const marked: Marked = stream
  return stream instanceof Net.Socket ? (marked[peerKey] ??= new TcpPeer(stream)) : marked[peerKey]
}

/** The remote address, without a peer being made for it. */
export const remoteAddressOf = (stream: Duplex): string | undefined => {
  const peer = (stream as Marked)[peerKey]
  // a peer may have none where the socket has one
  if (peer !== undefined) return peer.remoteAddress
  return stream instanceof Net.Socket ? stream.remoteAddress : undefined
}

/** Says that a stream is over the connection of this peer. */
export const layOver = (stream: Duplex, peer: TcpPeer): void => {
  const marked: Marked = stream
  marked[peerKey] = peer
}
