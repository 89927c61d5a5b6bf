/**
 * Tells a target which client it is dialled for: a PROXY protocol header, made of what is known of the client, sent before anything
 * else.
 */
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import { randomUUID } from "node:crypto"
import type * as Net from "node:net"
import * as ProxyProtocol from "../../protocol/ProxyProtocol.ts"
import { type Client, DialError } from "../../proxy/Dialer.ts"
import type { AnyTarget } from "../../proxy/Target.ts"
import type { Session } from "../../tls/TlsSession.ts"
import type { Sending, Tlv } from "../NodeProxyProtocol.ts"
import { quiet } from "./connecting.ts"

const addressOf = (text: string | undefined, port = 0): NetAddress.InetAddress | undefined =>
  // a zone means nothing to another machine
  Result.getOrUndefined(NetAddress.inetAddressFromIpString(text?.replace(/%.*/, "") ?? "", port))

/** OpenSSL's word for what is wrong with a certificate, or that there is none, when nothing more is to be said. */
const unspecified = 1

const sslOf = ({ cipherSuite, clientCertificate, clientCertificateStatus, isResumed, version }: Session) => {
  const name = clientCertificate?.x509?.toLegacyObject().subject["CN"]
  const commonName = typeof name === "string" ? name : name?.[0]
  const ssl: ProxyProtocol.Ssl = {
    isTls: true,
    hasCertificate: clientCertificate !== undefined && !isResumed,
    hasSessionCertificate: clientCertificate !== undefined,
    verify: clientCertificateStatus === "OK" ? 0 : unspecified,
    version,
    ...(commonName !== undefined && { commonName }),
    cipher: cipherSuite.opensslName,
    others: []
  }
  return ssl
}

const encoder = new TextEncoder()

/**
 * What is known of a client beyond its address. If the client came through a reverse proxy, that proxy's connection says nothing about
 * the client.
 */
const tlvsOf = ({ peer, remoteAddress }: Client, wanted: ReadonlyArray<Tlv>): ProxyProtocol.Tlvs => {
  const own = peer?.remoteAddress === remoteAddress ? peer : undefined
  const said: ProxyProtocol.Tlvs = own?.proxied?.tlvs ?? ProxyProtocol.noTlvs
  const known = {
    authority: own?.tls?.serverName ?? said.authority,
    alpn: own?.tls?.alpnProtocol ?? said.alpn,
    ssl: own?.tls === undefined ? said.ssl : sslOf(own.tls),
    uniqueId: wanted.includes("uniqueId") ? (said.uniqueId ?? encoder.encode(randomUUID())) : undefined
  }
  const given = wanted.map((name) => [name, known[name]]).filter(([, value]) => value !== undefined)
  return { ...Object.fromEntries(given), others: [] }
}

const headerOf = (client: Client | undefined, { tlvs = [], version }: Sending): ProxyProtocol.Header => {
  if (client === undefined) return version === 1 ? { _tag: "Unknown", version } : { _tag: "Local", version }
  const { peer, remoteAddress } = client
  const isOwn = peer?.remoteAddress === remoteAddress
  const source = addressOf(remoteAddress, isOwn ? peer?.remotePort : 0)
  const destination = addressOf(peer?.localAddress, peer?.localPort)
  if (source === undefined || destination === undefined) return { _tag: "Unknown", version }
  return {
    _tag: "Inet",
    version,
    transport: "stream",
    source,
    destination,
    tlvs: version === 1 || tlvs.length === 0 ? ProxyProtocol.noTlvs : tlvsOf(client, tlvs)
  }
}

/** Sends the header; whoever gives the socket sees to its end if this fails or is interrupted. */
export const announce = (
  socket: Net.Socket,
  target: AnyTarget,
  client: Client | undefined,
  sending: Sending
): Effect.Effect<void, DialError> => {
  const failed = (detail: string, cause: unknown) => new DialError({ target, kind: "Failed", detail, cause })
  return Effect.flatMap(
    Effect.mapError(Effect.fromResult(ProxyProtocol.toBytes(headerOf(client, sending), sending)), (cause) =>
      failed(`The PROXY protocol cannot say for whom it is: ${cause.message}.`, cause)
    ),
    (bytes) =>
      Effect.callback<void, DialError>((resume) => {
        // the write tells it; whoever reads adds a listener of its own, but not before this fiber runs on
        quiet(socket).write(bytes, (cause) =>
          resume(
            cause === null || cause === undefined
              ? Effect.void
              : Effect.fail(failed("It ended the connection before it was told for whom it is.", cause))
          )
        )
      })
  )
}
