/**
 * Headers of the PROXY protocol as bytes: the line of version 1 and the block of version 2.
 */
import * as NetAddress from "effect/net/NetAddress"
import { fixedSize, type Header, pathSize, refuse, signature } from "./proxyHeader.ts"
import * as ProxyTlvs from "./proxyTlvs.ts"

const encoder = new TextEncoder()

/** Of the same family: where the two are not, IPv4 in its IPv6 form. */
const aligned = (...addresses: readonly [NetAddress.InetAddress, NetAddress.InetAddress]) => {
  const ips = addresses.map(({ address }) => NetAddress.toCanonical(address))
  const isV4 = ips.every(NetAddress.isIpv4Address)
  return {
    isV4,
    ips: ips.map((ip) => (isV4 || NetAddress.isIpv6Address(ip) ? ip : mapped(ip))),
    octets: ips.map((ip): ReadonlyArray<number> => {
      if (!NetAddress.isIpv4Address(ip)) return NetAddress.ipv6ToOctets(ip)
      return isV4 ? NetAddress.ipv4ToOctets(ip) : [...mappedPrefix, ...NetAddress.ipv4ToOctets(ip)]
    }),
    ports: addresses.map(({ port }) => port)
  }
}

const mappedPrefix = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]

const mapped = (ip: NetAddress.Ipv4Address) =>
  NetAddress.ipv6FromBytesUnsafe(Uint8Array.from([...mappedPrefix, ...NetAddress.ipv4ToOctets(ip)]))

export const writeLine = (header: Header): Uint8Array => {
  if (header._tag === "Unknown") return encoder.encode("PROXY UNKNOWN\r\n")
  if (header._tag !== "Inet" || header.transport !== "stream") {
    return refuse("Address", "version 1 has TCP over IPv4 and IPv6, and nothing else")
  }
  const { tlvs } = header
  if (tlvs.others.length > 0 || Object.keys(tlvs).length > 1) refuse("Tlv", "version 1 has no TLVs")
  const { ips, isV4, ports } = aligned(header.source, header.destination)
  const line = [isV4 ? "TCP4" : "TCP6", ...ips.map((ip) => NetAddress.formatIp(ip)), ...ports]
  return encoder.encode(`PROXY ${line.join(" ")}\r\n`)
}

const path = (text: string): ReadonlyArray<number> => {
  const bytes = encoder.encode(text)
  if (bytes.length > pathSize) refuse("Address", `a path has at most ${pathSize} bytes, got ${bytes.length}`)
  return [...bytes, ...new Uint8Array(pathSize - bytes.length)]
}

export const writeBinary = (header: Header, hasChecksum: boolean): Uint8Array => {
  const write = (command: number, family: number, addresses: ReadonlyArray<number>, tlvs: Uint8Array) => {
    const length = addresses.length + tlvs.length
    if (length > 0xffff)
      refuse("TooLong", `a header has at most 65535 bytes behind its first ${fixedSize}, got ${length}`)
    return Uint8Array.from([...signature, 0x20 | command, family, length >> 8, length & 0xff, ...addresses, ...tlvs])
  }
  const nothing = new Uint8Array(0)
  if (header._tag === "Local") return write(0, 0, [], nothing)
  if (header._tag === "Unknown") return write(1, 0, [], nothing)
  const transport = header.transport === "stream" ? 1 : 2
  const tlvs = ProxyTlvs.write(header.tlvs, hasChecksum)
  const seal = (bytes: Uint8Array) => {
    if (hasChecksum) ProxyTlvs.seal(bytes)
    return bytes
  }
  if (header._tag === "Unix") {
    return seal(write(1, 0x30 | transport, [...path(header.source), ...path(header.destination)], tlvs))
  }
  const { isV4, octets, ports } = aligned(header.source, header.destination)
  const addresses = [...octets.flat(), ...ports.flatMap((port) => [port >> 8, port & 0xff])]
  return seal(write(1, (isV4 ? 0x10 : 0x20) | transport, addresses, tlvs))
}
