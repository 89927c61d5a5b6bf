/**
 * Which clients may connect, by address: a list of addresses, networks and host names, and a policy of two such lists. Addresses
 * are compared as values, whatever their notation: an IPv4-mapped IPv6 address is its IPv4 address, and zones are ignored.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Host from "effect/net/Host"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { ClientNames } from "./ClientNames.ts"

/**
 * An entry of a list.
 *
 * - `Everyone`: `*`, also a client that has no address (unix sockets).
 * - `Network`: `10.0.0.0/8`, `2001:db8::/32`; an address is a network of one. `::/0` is all of IPv6 and nothing of IPv4.
 * - `AddressPattern`: four parts of an IPv4 address, of which `*` is any or the rest of one: `192.168.*` has `*` for what is
 *   missing, and `10.0.1*.5` takes 1, 10 to 19 and 100 to 199 in the third place.
 * - `Name`: `trusted.example`, whose addresses are looked up.
 * - `NamePattern`: the labels of a name, of which `*` is any or the rest of one; a first `*` is one label or more:
 *   `*.example.com` takes any subdomain, and not `example.com`.
 *
 * @category models
 * @since 0.1.0
 */
export type Entry =
  | { readonly _tag: "Everyone" }
  | { readonly _tag: "Network"; readonly network: IpNetwork.IpNetwork }
  | { readonly _tag: "AddressPattern"; readonly parts: ReadonlyArray<string> }
  | { readonly _tag: "Name"; readonly name: Host.DomainName }
  | { readonly _tag: "NamePattern"; readonly labels: ReadonlyArray<string> }

const only = <Tag extends Entry["_tag"]>(entries: ReadonlyArray<Entry>, tag: Tag) =>
  entries.filter((entry): entry is Extract<Entry, { readonly _tag: Tag }> => entry._tag === tag)

/** Whether a part is the pattern's, whose `*`, if it has one, stands for any text. */
const fits = (pattern: string, part: string): boolean => {
  const star = pattern.indexOf("*")
  if (star === -1) return part === pattern
  return (
    part.length >= pattern.length - 1 &&
    part.startsWith(pattern.slice(0, star)) &&
    part.endsWith(pattern.slice(star + 1))
  )
}

/**
 * A list of clients. The empty one has nobody in it.
 *
 * @category models
 * @since 0.1.0
 */
export class AccessList {
  readonly entries: ReadonlyArray<Entry>
  /** The exact names in it. */
  readonly names: ReadonlyArray<Host.DomainName>
  /** The labels of its names with `*`. */
  readonly namePatterns: ReadonlyArray<ReadonlyArray<string>>
  private readonly hasEveryone: boolean
  // networks by their text, so that a list of thousands costs one look for each length of prefix in it
  private readonly networks: ReadonlySet<string>
  private readonly prefixLengths: Readonly<Record<NetAddress.IpFamily, ReadonlySet<number>>>
  private readonly addressPatterns: ReadonlyArray<ReadonlyArray<string>>

  constructor(entries: ReadonlyArray<Entry>) {
    const networks = only(entries, "Network").map(({ network }) => network)
    const lengths = (family: NetAddress.IpFamily) =>
      new Set(networks.filter(({ address }) => NetAddress.isFamily(address, family)).map((_) => _.prefixLength))
    this.entries = entries
    this.names = only(entries, "Name").map(({ name }) => name)
    this.namePatterns = only(entries, "NamePattern").map(({ labels }) => labels)
    this.hasEveryone = only(entries, "Everyone").length > 0
    this.networks = new Set(networks.map(IpNetwork.format))
    this.prefixLengths = { IPv4: lengths("IPv4"), IPv6: lengths("IPv6") }
    this.addressPatterns = only(entries, "AddressPattern").map(({ parts }) => parts)
  }

  /** Whether the address, in its canonical form, is in the list; names are not looked up. */
  has(address: NetAddress.IpAddress | undefined): boolean {
    if (this.hasEveryone) return true
    if (address === undefined) return false
    for (const length of this.prefixLengths[NetAddress.familyOf(address)]) {
      if (this.networks.has(IpNetwork.format(IpNetwork.fromAddressUnsafe(address, length)))) return true
    }
    if (this.addressPatterns.length === 0 || !NetAddress.isIpv4Address(address)) return false
    const octets = NetAddress.ipv4ToOctets(address).map(String)
    return this.addressPatterns.some((parts) => parts.every((part, index) => fits(part, octets[index]!)))
  }

  /** The list as it is written, each entry in its canonical form. */
  toString(): string {
    return this.entries.map(format).join(", ")
  }
}

const format = (entry: Entry): string => {
  switch (entry._tag) {
    case "Everyone":
      return "*"
    case "Network": {
      const { address, prefixLength } = entry.network
      return prefixLength === NetAddress.width(address) ? NetAddress.formatIp(address) : IpNetwork.format(entry.network)
    }
    case "AddressPattern":
      return entry.parts.join(".")
    case "Name":
      return entry.name
    case "NamePattern":
      return entry.labels.join(".")
  }
}

/**
 * An entry that cannot be read.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidEntry extends Data.TaggedError("InvalidEntry")<{
  /** The entry as it came. */
  readonly entry: string
  /** What is wrong with it. */
  readonly reason: string
}> {
  override get message(): string {
    return `expected *, an address (192.0.2.1, 2001:db8::1), a network (10.0.0.0/8, 2001:db8::/32), a host name (trusted.example), or an IPv4 address or name with * (192.168.*, *.example.com), got ${JSON.stringify(this.entry)}: ${this.reason}`
  }
}

/** What is read of an entry, or what is wrong with it. */
type Read = Result.Result<Entry, string>

const everyone: Entry = { _tag: "Everyone" }

const reasonOf = ({ message }: NetAddress.NetAddressError): string => message

const ofAddress = (value: NetAddress.IpAddress): Entry => {
  const canonical = NetAddress.toCanonical(value)
  return { _tag: "Network", network: IpNetwork.makeUnsafe(canonical, NetAddress.width(canonical)) }
}

const readNetwork = (text: string): Read =>
  Result.map(Result.mapError(IpNetwork.fromString(text), reasonOf), (network) => {
    const canonical = NetAddress.toCanonical(network.address)
    // an address in ::ffff:0:0/96 has no bits of the host set only if the prefix is 96 bits long or more
    const prefixLength = network.prefixLength - NetAddress.width(network.address) + NetAddress.width(canonical)
    return { _tag: "Network", network: IpNetwork.makeUnsafe(canonical, prefixLength) }
  })

const octets = Array.from({ length: 256 }, (_, octet) => String(octet))

const readAddressPattern = (text: string): Read => {
  const parts = text.split(".")
  if (parts.length > 4 || (parts.length < 4 && !text.endsWith("*"))) {
    return Result.fail("an IPv4 address has four parts, and only a * at its end stands for more than one of them")
  }
  const wrong = parts.find((part) => !octets.some((octet) => fits(part, octet)))
  if (wrong !== undefined) {
    return Result.fail(`no number from 0 to 255 is ${JSON.stringify(wrong)}, which may have one * and no leading zeros`)
  }
  return Result.succeed({ _tag: "AddressPattern", parts: [...parts, "*", "*", "*"].slice(0, 4) })
}

const readNamePattern = (text: string): Read => {
  const pattern = text.toLowerCase().replace(/\.$/, "")
  const labels = pattern.split(".")
  const isPlain = (label: string) => !label.includes("*")
  if (!/^[\w.*-]+$/.test(pattern))
    return Result.fail("a name with * is of letters, digits, hyphens and underscores (xn--)")
  if (labels.some((label) => label.indexOf("*") !== label.lastIndexOf("*")))
    return Result.fail("a label may have one *")
  // anyone can have a name that ends as he likes
  if (!isPlain(labels.at(-1)!)) return Result.fail("the last label of a name cannot have a *")
  return Result.map(Result.mapError(Host.domainNameFromString(pattern.replaceAll("*", "x")), reasonOf), () => ({
    _tag: "NamePattern",
    labels
  }))
}

const numberAtEnd = /(?:^|\.)(?:\d+|0x[\da-f]*)\.?$/i

const readHost = (text: string): Read => {
  const bare = text.startsWith("[") && text.endsWith("]") && text.includes(":") ? text.slice(1, -1) : text
  if (!bare.includes(":") && numberAtEnd.test(bare)) {
    return Result.mapBoth(NetAddress.ipv4FromString(bare), { onFailure: reasonOf, onSuccess: ofAddress })
  }
  return Result.flatMap(Result.mapError(Host.hostFromString(bare), reasonOf), (host): Read => {
    if (NetAddress.isIpAddress(host)) return Result.succeed(ofAddress(host))
    if (host.includes("%")) return Result.succeed(ofAddress(NetAddress.ipFromStringUnsafe(withoutZone(host))))
    if (host === ".") return Result.fail("the root of all names is no host")
    return Result.succeed({ _tag: "Name", name: host as Host.DomainName })
  })
}

const withoutZone = (text: string): string => {
  const zone = text.indexOf("%")
  return zone === -1 ? text : text.slice(0, zone)
}

const readEntry = (text: string): Read => {
  if (text === "*") return Result.succeed(everyone)
  if (text.includes("/")) return readNetwork(text)
  if (!text.includes("*")) return readHost(text)
  if (text.includes(":")) return Result.fail("an IPv6 address takes no *; write a network, such as 2001:db8::/32")
  return /^[\d.*]+$/.test(text) ? readAddressPattern(text) : readNamePattern(text)
}

/**
 * Reads a list from text, with commas between the entries, or from several such texts: `192.168.*, 2001:db8::/32,
 * *.example.com`. Blanks around an entry, and entries of nothing else, are ignored.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (input: string | ReadonlyArray<string>): Result.Result<AccessList, InvalidEntry> => {
  const texts = (typeof input === "string" ? [input] : input).flatMap((text) => text.split(","))
  const entries: Array<Entry> = []
  for (const text of texts) {
    const entry = text.trim()
    if (entry === "") continue
    const read = readEntry(entry)
    if (Result.isFailure(read)) return Result.fail(new InvalidEntry({ entry, reason: read.failure }))
    entries.push(read.success)
  }
  return Result.succeed(new AccessList(entries))
}

/**
 * Schema between {@link AccessList} and its text.
 *
 * @category schemas
 * @since 0.1.0
 */
export const FromString = Schema.String.pipe(
  Schema.decodeTo(
    Schema.instanceOf(AccessList),
    SchemaTransformation.transformEffect<AccessList, string>({
      decode: (text, options) =>
        Result.match(parse(text), {
          onFailure: ({ message }) => Effect.fail(new SchemaIssue.InvalidValue({ message }, text, options)),
          onSuccess: (list) => Effect.succeed(list)
        }),
      encode: (list) => Effect.succeed(list.toString())
    })
  )
)

/**
 * The address of a client, as text it may be in any notation. `undefined`, and text that is no address, is the client without
 * an address.
 *
 * @category models
 * @since 0.1.0
 */
export type ClientAddress = NetAddress.IpAddress | string | undefined

const canonicalOf = (client: ClientAddress): NetAddress.IpAddress | undefined => {
  if (client === undefined) return undefined
  const address = typeof client === "string" ? NetAddress.ipFromString(withoutZone(client)) : Result.succeed(client)
  return Result.isSuccess(address) ? NetAddress.toCanonical(address.success) : undefined
}

/**
 * Whether a list has host names in it, which {@link matches} does not look up and {@link matchesEffect} does.
 *
 * @category predicates
 * @since 0.1.0
 */
export const needsNames = (list: AccessList): boolean => list.names.length > 0 || list.namePatterns.length > 0

/**
 * Whether a client is in a list by its address; host names match nobody.
 *
 * @category predicates
 * @since 0.1.0
 */
export const matches = (list: AccessList, client: ClientAddress): boolean => list.has(canonicalOf(client))

/** How many of the names that an address claims are looked up: its owner may claim as many as he likes. */
const maxClaims = 4

const isOfPattern = (name: string, labels: ReadonlyArray<string>): boolean => {
  const parts = name.split(".")
  const rest = parts.length - labels.length
  return (labels[0] === "*" ? rest >= 0 : rest === 0) && labels.every((label, i) => fits(label, parts[rest + i]!))
}

/**
 * Whether a name is in the list, as text: nothing is looked up, and `*` matches every name. For targets, which are asked for by
 * name; clients are known by address.
 *
 * @category predicates
 * @since 0.1.0
 */
export const matchesName = (list: AccessList, name: Host.DomainName): boolean => {
  const relative = Host.toRelative(name)
  return (
    list.has(undefined) ||
    list.names.some((one) => Host.toRelative(one) === relative) ||
    list.namePatterns.some((labels) => isOfPattern(relative, labels))
  )
}

/** Whether one of the values passes the test; the others are not waited for then. */
const any = <A, R>(values: ReadonlyArray<A>, test: (value: A) => Effect.Effect<boolean, never, R>) =>
  Effect.match(
    Effect.forEach(values, (value) => Effect.flatMap(test(value), (is) => (is ? Effect.fail("found") : Effect.void)), {
      concurrency: "unbounded",
      discard: true
    }),
    { onFailure: () => true, onSuccess: () => false }
  )

/**
 * Whether a client is in a list, by its address or by a name of it. The client is
 *
 * - an exact name, if its address is one of the name's;
 * - a name with `*`, if it claims a name that matches, and its address is one of that name's. The claim alone, which anyone
 *   makes for his own addresses, counts for nothing.
 *
 * A look-up that fails or takes too long is no match. The answer takes no longer than two look-ups may.
 *
 * @category predicates
 * @since 0.1.0
 */
export const matchesEffect = (list: AccessList, client: ClientAddress): Effect.Effect<boolean, never, ClientNames> =>
  Effect.flatMap(ClientNames, (names) => {
    const address = canonicalOf(client)
    if (list.has(address)) return Effect.succeed(true)
    if (address === undefined || !needsNames(list)) return Effect.succeed(false)
    const text = NetAddress.formatIp(address)
    const isAddressOf = (name: Host.DomainName) =>
      Effect.map(names.addressesOf(name), (addresses) =>
        addresses.some((one) => NetAddress.formatIp(NetAddress.toCanonical(one)) === text)
      )
    const byClaim = Effect.flatMap(names.namesOf(address), (claims) =>
      any(
        claims
          .filter((claim) => list.namePatterns.some((labels) => isOfPattern(Host.toRelative(claim), labels)))
          .slice(0, maxClaims),
        // a name as it stands: no search domain of ours is to complete it
        (claim) => isAddressOf(Host.toFullyQualified(claim))
      )
    )
    return any([any(list.names, isAddressOf), ...(list.namePatterns.length > 0 ? [byClaim] : [])], (matched) => matched)
  })

/**
 * Who may connect: those in `allowed`, everyone without it, but nobody in `blocked`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy {
  readonly allowed?: AccessList | undefined
  readonly blocked?: AccessList | undefined
}

/**
 * Why a client may not connect.
 *
 * @category models
 * @since 0.1.0
 */
export type Denial = "notAllowed" | "blocked"

/**
 * Why a client may not connect, by its address, or `undefined` if it may. Host names match nobody: a policy with names in it is
 * for {@link decideEffect}.
 *
 * @category decisions
 * @since 0.1.0
 */
export const decide = ({ allowed, blocked }: Policy, client: ClientAddress): Denial | undefined => {
  const address = canonicalOf(client)
  if (blocked?.has(address)) return "blocked"
  return allowed === undefined || allowed.has(address) ? undefined : "notAllowed"
}

/**
 * Why a client may not connect, by its address and names, or `undefined` if it may. Nothing is looked up where addresses
 * decide. A name in `blocked` keeps nobody out while it cannot be looked up: an address does.
 *
 * @category decisions
 * @since 0.1.0
 */
export const decideEffect = (
  policy: Policy,
  client: ClientAddress
): Effect.Effect<Denial | undefined, never, ClientNames> =>
  Effect.suspend(() => {
    const { allowed, blocked } = policy
    const byAddress = decide(policy, client)
    if (byAddress === "blocked") return Effect.succeed(byAddress)
    if (byAddress === "notAllowed" && !needsNames(allowed!)) return Effect.succeed(byAddress)
    const isIn = (list: AccessList | undefined, otherwise: boolean) =>
      list === undefined ? Effect.succeed(otherwise) : matchesEffect(list, client)
    return Effect.flatMap(isIn(blocked, false), (isBlocked) =>
      isBlocked
        ? Effect.succeed<Denial>("blocked")
        : Effect.map(isIn(allowed, true), (isAllowed): Denial | undefined => (isAllowed ? undefined : "notAllowed"))
    )
  })
