/**
 * Which targets may be connected to, by the name that was asked for, the address that it has, and the port: a list of what is
 * allowed, a list of what is denied, and what is reserved. Nothing is looked up here. A dialler asks for each address that it is
 * about to connect to, and connects to that very address.
 *
 * A rule is `HOST`, `HOST:PORTS` or `unix:PATH`. HOST is an address, a network, a name, one of these with `*`, or `*` alone, as
 * in an access list; an IPv6 one stands in brackets before ports. PORTS are ports and ranges with commas: `443,8000-8100`.
 *
 * 1. Whatever a rule denies is denied, even if another allows it.
 * 2. If there are rules that allow, nothing else is allowed; without any, everything is.
 * 3. What is reserved (private, loopback, link-local, carrier-grade NAT, unique local, multicast, unspecified, broadcast,
 *    documentation, cloud metadata and the rest of IANA's registries, RFC 6890) is refused unless it is allowed in particular:
 *    by an address, or a network that lies in the reserved range. `*` and `0.0.0.0/0` are not particular. A name that is allowed
 *    may have private, unique local and carrier-grade NAT addresses; `localhost` may have loopback ones; the others need a rule
 *    with the address, whoever has it.
 *
 * An address is judged as what it is, whatever its notation: an IPv4-mapped one as IPv4, and one of NAT64, 6to4 and Teredo as
 * itself and as the IPv4 addresses in it. It is denied, or reserved, if any of these is; allowed, if it is itself or all that are in it are.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Host from "effect/net/Host"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import * as AccessList from "../server/AccessList.ts"
import { forms, type Reserved, reservedRange } from "./internal/reserved.ts"

/**
 * Ports from the first to the last, both included.
 *
 * @category models
 * @since 0.1.0
 */
export interface PortRange {
  readonly first: number
  readonly last: number
}

/**
 * - `Hosts`: a host of the list, on one of the ports; without any, on every port.
 * - `Unix`: the unix socket of the path, as a {@link UnixTarget} has it.
 *
 * @category models
 * @since 0.1.0
 */
export type Rule =
  | {
      readonly _tag: "Hosts"
      readonly hosts: AccessList.AccessList
      readonly ports: ReadonlyArray<PortRange>
      /** As it was written. */
      readonly text: string
    }
  | { readonly _tag: "Unix"; readonly path: string; readonly text: string }

/**
 * A rule that cannot be read.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidRule extends Data.TaggedError("InvalidRule")<{
  /** The rule as it came. */
  readonly rule: string
  /** What is wrong with it. */
  readonly reason: string
}> {
  override get message(): string {
    return `expected HOST or HOST:PORTS, such as 10.0.0.0/8:5432, *.db.internal:5432-5440, [fd00::/8]:443,8443 or *, or unix:PATH, got ${JSON.stringify(this.rule)}: ${this.reason}`
  }
}

const oneHost = "a rule has one host"

const readPorts = (text: string): Result.Result<ReadonlyArray<PortRange>, string> => {
  const ranges: Array<PortRange> = []
  for (const part of text.split(",")) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part)
    const first = Number(match?.[1])
    const last = Number(match?.[2] ?? match?.[1])
    if (match === null || first < 1 || last > 65535 || first > last) {
      return Result.fail(`ports are numbers from 1 to 65535 and ranges of them, not ${JSON.stringify(part)}`)
    }
    ranges.push({ first, last })
  }
  return Result.succeed(ranges)
}

/** The host of a rule and its ports. Of two colons or more, and no bracket, all are the host's. */
const split = (text: string): readonly [host: string, ports: string | undefined] => {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text)
  if (bracketed !== null) return [bracketed[1]!, bracketed[2]]
  const colon = text.indexOf(":")
  return colon === -1 || colon !== text.lastIndexOf(":")
    ? [text, undefined]
    : [text.slice(0, colon), text.slice(colon + 1)]
}

/**
 * Reads a rule: see the head of this module.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parseRule = (input: string): Result.Result<Rule, InvalidRule> => {
  const text = input.trim()
  const invalid = (reason: string) => new InvalidRule({ rule: input, reason })
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length).replace(/^@/, "\0")
    return path === "" || path === "\0"
      ? Result.fail(invalid("the path is missing"))
      : Result.succeed({ _tag: "Unix", path, text })
  }
  const [host, given] = split(text)
  if (host === "" || host.includes(",")) return Result.fail(invalid(oneHost))
  const ports = given === undefined || given === "*" ? Result.succeed([]) : readPorts(given)
  if (Result.isFailure(ports)) return Result.fail(invalid(ports.failure))
  return Result.mapBoth(AccessList.parse(host), {
    onFailure: ({ reason }) => invalid(reason),
    onSuccess: (hosts) => ({ _tag: "Hosts", hosts, ports: ports.success, text })
  })
}

/**
 * What may be connected to.
 *
 * @category models
 * @since 0.1.0
 */
export class TargetPolicy {
  /** Nothing in here: everything is allowed. */
  readonly allow: ReadonlyArray<Rule>
  readonly deny: ReadonlyArray<Rule>
  readonly reserved: "refused" | "allowed"

  constructor(allow: ReadonlyArray<Rule>, deny: ReadonlyArray<Rule>, reserved: "refused" | "allowed") {
    this.allow = allow
    this.deny = deny
    this.reserved = reserved
  }
}

/**
 * What may be connected to. Without options it is everything that is not reserved.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Rules of what is allowed. Default: everything that is not reserved. */
  readonly allow?: ReadonlyArray<string | Rule> | undefined
  /** Rules of what is denied, also where it is allowed. Default: nothing. */
  readonly deny?: ReadonlyArray<string | Rule> | undefined
  /**
   * Whether reserved addresses, `localhost` and unix sockets are refused where no rule is about them in particular. Default:
   * `"refused"`.
   */
  readonly reserved?: "refused" | "allowed" | undefined
}

const readRules = (rules: ReadonlyArray<string | Rule>): Result.Result<ReadonlyArray<Rule>, InvalidRule> =>
  Result.all(
    rules.map((rule) => {
      if (typeof rule === "string") return parseRule(rule)
      return rule._tag === "Hosts" && rule.hosts.entries.length !== 1
        ? Result.fail(new InvalidRule({ rule: rule.text, reason: oneHost }))
        : Result.succeed(rule)
    })
  )

/**
 * A policy of these rules. Fails with the first rule that cannot be read.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ allow = [], deny = [], reserved = "refused" }: Options = {}): Result.Result<
  TargetPolicy,
  InvalidRule
> =>
  Result.flatMap(readRules(allow), (allowed) =>
    Result.map(readRules(deny), (denied) => new TargetPolicy(allowed, denied, reserved))
  )

/**
 * Everything: the default for targets that an operator configured.
 *
 * @category constants
 * @since 0.1.0
 */
export const everything = new TargetPolicy([], [], "allowed")

/**
 * Everything that is not reserved: the default for targets that clients choose.
 *
 * @category constants
 * @since 0.1.0
 */
export const unreserved = new TargetPolicy([], [], "refused")

/**
 * Why something may not be connected to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Denial {
  readonly kind: "Denied" | "Reserved" | "NotAllowed"
  /** A sentence for the log, and not for who asked: it may tell what a name leads to. */
  readonly message: string
}

/**
 * Where a target is: the name that was asked for, if it was a name, and one of its addresses.
 *
 * @category models
 * @since 0.1.0
 */
export interface Endpoint {
  readonly name?: Host.DomainName | undefined
  readonly address: NetAddress.IpAddress
  readonly port: number
}

type HostsRule = Extract<Rule, { readonly _tag: "Hosts" }>

const hostRules = (rules: ReadonlyArray<Rule>, port: number): ReadonlyArray<HostsRule> =>
  rules.filter(
    (rule): rule is HostsRule =>
      rule._tag === "Hosts" &&
      (rule.ports.length === 0 || rule.ports.some(({ first, last }) => first <= port && port <= last))
  )

const namedBy = (rule: HostsRule, name: Host.DomainName | undefined): boolean =>
  name !== undefined && AccessList.matchesName(rule.hosts, name)

/** What a rule says by addresses, as the smallest network that holds it all; nothing where it says everything. */
const networkOf = (rule: HostsRule): IpNetwork.IpNetwork | undefined => {
  const [entry] = rule.hosts.entries
  if (entry?._tag === "Network") return entry.network
  if (entry?._tag !== "AddressPattern") return undefined
  const fixed = entry.parts.findIndex((part) => part.includes("*"))
  const octets = entry.parts.map((part, index) => (index < fixed ? Number(part) : 0))
  return IpNetwork.makeUnsafe(NetAddress.ipv4FromBytesUnsafe(Uint8Array.from(octets)), fixed * 8)
}

const isLocalhost = (name: Host.DomainName): boolean => /(?:^|\.)localhost$/.test(Host.toRelative(name))

/** The reserved ranges that a name may lead to where the name is allowed. */
const nameable: ReadonlySet<Reserved["kind"]> = new Set(["private", "unique local", "carrier-grade NAT"])

const speaksFor = (rule: HostsRule, { kind }: Reserved, name: Host.DomainName | undefined): boolean => {
  // `*` names every name, and none in particular
  if (name === undefined || rule.hosts.has(undefined) || !namedBy(rule, name)) return false
  return nameable.has(kind) || (kind === "loopback" && isLocalhost(name))
}

/** Whether a rule is about a reserved address in particular. */
const lifts = (rule: HostsRule, range: Reserved, address: NetAddress.IpAddress, name: Endpoint["name"]): boolean => {
  const network = networkOf(rule)
  return (
    (network !== undefined && rule.hosts.has(address) && IpNetwork.containsNetwork(range.network, network)) ||
    speaksFor(rule, range, name)
  )
}

const denied = (subject: string, { text }: Rule): Denial => ({
  kind: "Denied",
  message: `${subject} is denied by ${text}.`
})

const notAllowed = (subject: string): Denial => ({
  kind: "NotAllowed",
  message: `${subject} is not among what is allowed.`
})

const subjectOf = ({ address, name, port }: Endpoint): string => {
  const where = NetAddress.formatInet(NetAddress.inetAddressUnsafe(address, port))
  return name === undefined ? where : `${where}, an address of ${name},`
}

/**
 * Why an address may not be connected to, or `undefined` if it may.
 *
 * @category decisions
 * @since 0.1.0
 */
export const judge = (policy: TargetPolicy, endpoint: Endpoint): Denial | undefined => {
  if (policy.reserved === "allowed" && policy.allow.length === 0 && policy.deny.length === 0) return undefined
  const { name, port } = endpoint
  const addresses = forms(endpoint.address)
  const concerns = (rule: HostsRule) => namedBy(rule, name) || addresses.some((address) => rule.hosts.has(address))
  const denying = hostRules(policy.deny, port).find(concerns)
  if (denying !== undefined) return denied(subjectOf(endpoint), denying)
  const allowing = hostRules(policy.allow, port)
  const [itself, ...within] = addresses
  const covers = (address: NetAddress.IpAddress) => allowing.some((rule) => rule.hosts.has(address))
  const isAllowed =
    allowing.some((rule) => namedBy(rule, name)) || covers(itself!) || (within.length > 0 && within.every(covers))
  if (policy.allow.length > 0 && !isAllowed) return notAllowed(subjectOf(endpoint))
  if (policy.reserved === "allowed") return undefined
  for (const address of addresses) {
    const range = reservedRange(address)
    if (range === undefined || allowing.some((rule) => lifts(rule, range, address, name))) continue
    const who = address === addresses[0] ? "it" : `the ${NetAddress.formatIp(address)} in it`
    const message = `${subjectOf(endpoint)} is reserved: ${who} is ${range.kind}, and no rule allows that in particular.`
    return { kind: "Reserved", message }
  }
  return undefined
}

/**
 * The same for a name that somebody else looks up, such as a firewall: only rules with names and ports, and `*`, are about it.
 *
 * @category decisions
 * @since 0.1.0
 */
export const judgeName = (policy: TargetPolicy, name: Host.DomainName, port: number): Denial | undefined => {
  const subject = `${name}:${port}`
  const denying = hostRules(policy.deny, port).find((rule) => namedBy(rule, name))
  if (denying !== undefined) return denied(subject, denying)
  const allowing = hostRules(policy.allow, port).filter((rule) => namedBy(rule, name))
  if (policy.allow.length > 0 && allowing.length === 0) return notAllowed(subject)
  const isHere = policy.reserved === "refused" && isLocalhost(name)
  return isHere && !allowing.some((rule) => !rule.hosts.has(undefined))
    ? { kind: "Reserved", message: `${subject} is a name for loopback, and no rule allows that in particular.` }
    : undefined
}

/**
 * The same for a unix socket, by its path. It is of this machine, and so reserved.
 *
 * @category decisions
 * @since 0.1.0
 */
export const judgeUnix = (policy: TargetPolicy, path: string): Denial | undefined => {
  const subject = `unix:${path.replace("\0", "@")}`
  const isOf = (rule: Rule) => rule._tag === "Unix" && rule.path === path
  const denying = policy.deny.find(isOf)
  if (denying !== undefined) return denied(subject, denying)
  if (policy.allow.some(isOf)) return undefined
  if (policy.allow.length > 0) return notAllowed(subject)
  return policy.reserved === "allowed"
    ? undefined
    : { kind: "Reserved", message: `${subject} is a socket of this machine, and no rule allows it.` }
}
