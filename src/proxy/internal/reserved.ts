/**
 * The addresses that are no host's on the open internet, by IANA's registries of special-purpose addresses (RFC 6890), and those
 * where clouds tell a machine its own secrets. An address of IPv6 that has one of IPv4 in it is looked at as both: whoever is
 * connected to may be either.
 */
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"

/** What a range is, as the rest of a sentence that begins with an address and "is". */
const ranges = {
  unspecified: ["0.0.0.0/8", "::/128"],
  loopback: ["127.0.0.0/8", "::1/128"],
  // RFC 1918
  private: ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"],
  // RFC 6598
  "carrier-grade NAT": ["100.64.0.0/10"],
  // RFC 3927, RFC 4291 section 2.5.6
  "link-local": ["169.254.0.0/16", "fe80::/10"],
  // RFC 4193
  "unique local": ["fc00::/7"],
  // what RFC 3879 took back is still routed inside of some networks
  "site-local": ["fec0::/10"],
  "cloud metadata": [
    // Amazon, Google, Microsoft, Oracle and most others
    "169.254.169.254/32",
    // Amazon's containers, and Scaleway
    "169.254.170.2/32",
    "169.254.170.23/32",
    "169.254.42.42/32",
    // Alibaba, Microsoft, Oracle
    "100.100.100.200/32",
    "168.63.129.16/32",
    "192.0.0.192/32",
    // Amazon, its containers, Google, Oracle, Scaleway
    "fd00:ec2::254/128",
    "fd00:ec2::23/128",
    "fd20:ce::254/128",
    "fd00:c1::a9fe:a9fe/128",
    "fd00:42::42/128"
  ],
  multicast: ["224.0.0.0/4", "ff00::/8"],
  broadcast: ["255.255.255.255/32"],
  // RFC 5737, RFC 3849, RFC 9637
  "for documentation": ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"],
  // RFC 2544, RFC 5180
  "for benchmarks": ["198.18.0.0/15", "2001:2::/48"],
  // RFC 8215: where in it an address of IPv4 is, each network says for itself
  "a network's own NAT64": ["64:ff9b:1::/48"],
  // what is left of these registries, and all of IPv6 that is not 2000::/3
  reserved: [
    "192.0.0.0/24",
    "192.88.99.0/24",
    "240.0.0.0/4",
    "2001:10::/28",
    "2001:20::/28",
    "::/3",
    "4000::/2",
    "8000::/1"
  ],
  // judged by the address of IPv4 in them, and by nothing else
  translated: ["::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "2002::/16", "2001::/32"]
} as const

type Kind = keyof typeof ranges

/** A range of addresses that is not for everybody. */
export interface Reserved {
  readonly kind: Exclude<Kind, "translated">
  readonly network: IpNetwork.IpNetwork
}

const table: ReadonlyArray<{ readonly kind: Kind; readonly network: IpNetwork.IpNetwork }> = Object.entries(ranges)
  .flatMap(([kind, networks]) =>
    networks.map((text) => ({ kind: kind as Kind, network: IpNetwork.fromStringUnsafe(text) }))
  )
  // the smallest that an address is in says what it is
  .toSorted((one, other) => other.network.prefixLength - one.network.prefixLength)

/** The smallest reserved range that an address is in, if it is in one. */
export const reservedRange = (address: NetAddress.IpAddress): Reserved | undefined => {
  const found = table.find(({ network }) => IpNetwork.contains(network, address))
  return found === undefined || found.kind === "translated" ? undefined : { kind: found.kind, network: found.network }
}

const within = (text: string): ((address: NetAddress.IpAddress) => boolean) => {
  const network = IpNetwork.fromStringUnsafe(text)
  return (address) => IpNetwork.contains(network, address)
}

/** Where in an IPv6 address its IPv4 addresses begin, in octets; Teredo's second is of the client, with each bit turned over. */
const embeddings: ReadonlyArray<readonly [(address: NetAddress.IpAddress) => boolean, ...ReadonlyArray<number>]> = [
  // RFC 4291 section 2.5.5.1, RFC 2765 section 2.1, RFC 6052 section 2.1
  [within("::/96"), 12],
  [within("::ffff:0:0:0/96"), 12],
  [within("64:ff9b::/96"), 12],
  // RFC 3056 section 2
  [within("2002::/16"), 2],
  // RFC 4380 section 4
  [within("2001::/32"), 4, -12]
]

const ipv4At = (octets: ReadonlyArray<number>, offset: number): NetAddress.IpAddress => {
  const start = Math.abs(offset)
  const bytes = Uint8Array.from(octets.slice(start, start + 4), (octet) => (offset < 0 ? octet ^ 255 : octet))
  return NetAddress.ipv4FromBytesUnsafe(bytes)
}

const ipv6Host = within("::/127")

/**
 * What an address is to whoever connects to it: itself, an IPv4-mapped one as IPv4, and the addresses of IPv4 in one of IPv6,
 * to which a translator or a tunnel on the way may lead.
 */
export const forms = (address: NetAddress.IpAddress): ReadonlyArray<NetAddress.IpAddress> => {
  const canonical = NetAddress.toCanonical(address)
  // ::, ::1
  if (NetAddress.isIpv4Address(canonical) || ipv6Host(canonical)) return [canonical]
  const offsets = embeddings.find(([isIn]) => isIn(canonical))?.slice(1) as ReadonlyArray<number> | undefined
  if (offsets === undefined) return [canonical]
  const octets = NetAddress.ipv6ToOctets(canonical)
  return [canonical, ...offsets.map((offset) => ipv4At(octets, offset))]
}
