/**
 * The address of a client whose request came through reverse proxies: `Forwarded` (RFC 7239) and `X-Forwarded-For`. Pure.
 *
 * Each proxy appends the address that it has the request from to the header as it came, whose earlier entries anybody may have
 * made up. So the header is read from its end: the last entry is believed if the connection comes from a trusted proxy; the entry
 * before it is believed if the last one is a trusted proxy, too; and so on. The first that is not trusted is the client. From
 * addresses that are not trusted nothing is believed.
 *
 * @since 0.1.0
 */
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import { tokenCharacter } from "../protocol/internal/token.ts"
import * as AccessList from "./AccessList.ts"

/**
 * The headers that can have it. A server believes only one of them: a proxy writes the one that it knows, and passes the other on
 * as the client wrote it.
 *
 * @category models
 * @since 0.1.0
 */
export type Header = "forwarded" | "x-forwarded-for"

/**
 * Whose header is believed, and which. Nothing has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The addresses of the proxies, all of them that a request passes. Names in the list match nobody. */
  readonly trusted: AccessList.AccessList
  /** Which header the proxies write. The last proxy is the one that matters: it overwrites or extends the header. */
  readonly header: Header
}

/**
 * A node that a request came through (RFC 7239 section 6): an address, an identifier that hides one (`_` and a name), or an
 * unknown node.
 *
 * @category models
 * @since 0.1.0
 */
export type Node =
  | { readonly _tag: "Address"; readonly address: NetAddress.IpAddress; readonly port: number | undefined }
  | { readonly _tag: "Obfuscated"; readonly name: string }
  | { readonly _tag: "Unknown" }

/**
 * The parameters that one proxy wrote, by their names in lower case: `for`, `by`, `host`, `proto`, and others.
 *
 * @category models
 * @since 0.1.0
 */
export type Element = ReadonlyMap<string, string>

const unknown: Node = { _tag: "Unknown" }

/** An address, in brackets or not, and a port, which may be hidden. */
const nodePattern = /^(?:\[([^[\]]*)\]|([^:]*)):(?:(\d{1,5})|_[\w.-]+)$/

/**
 * Reads a node (RFC 7239 section 6): `192.0.2.1`, `[2001:db8::1]:4711`, `_hidden`, `unknown`. An IPv6 address without brackets is
 * taken as well, since `X-Forwarded-For` has it so. Anything else is an unknown node.
 *
 * @category decoding
 * @since 0.1.0
 */
export const node = (text: string): Node => {
  const match = nodePattern.exec(text)
  const bare = /^\[([^[\]]*)\]$/.exec(text)
  const name = match === null ? (bare?.[1] ?? text) : (match[1] ?? match[2] ?? "")
  const port = match?.[3] === undefined ? undefined : Number(match[3])
  if (/^_[\w.-]+$/.test(name)) return { _tag: "Obfuscated", name }
  const isBracketed = bare !== null || match?.[1] !== undefined
  const address = NetAddress.ipFromString(name)
  // brackets are for IPv6 alone
  if (Result.isFailure(address) || (isBracketed && NetAddress.isIpv4Address(address.success))) return unknown
  return port !== undefined && port > 65_535 ? unknown : { _tag: "Address", address: address.success, port }
}

/** The characters of a token, and what some proxies leave unquoted in an address. */
const valueCharacter = /[!#$%&'*+.^_`|~0-9A-Za-z:[\]-]/
/** RFC 9110 section 5.6.4. */
const quotedCharacter = /[\t \x21-\x7e\x80-\xff]/

/**
 * Reads a `Forwarded` header (RFC 7239 section 4), the values of several joined by commas, or says what is wrong with it: after a
 * quote that does not end, where the next proxy's entry begins cannot be known. Empty elements are skipped (RFC 9110 section
 * 5.6.1). Takes a time that grows with the length of the header alone.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parseForwarded = (header: string): Result.Result<ReadonlyArray<Element>, string> => {
  let at = 0
  const space = () => {
    while (header[at] === " " || header[at] === "\t") at++
  }
  const run = (of: RegExp): string => {
    const start = at
    while (at < header.length && of.test(header[at]!)) at++
    return header.slice(start, at)
  }
  /** A quoted string, or `undefined` if it does not end. */
  const quoted = (): string | undefined => {
    let value = ""
    for (at++; at < header.length && header[at] !== '"'; at++) {
      if (header[at] === "\\") at++
      if (at === header.length || !quotedCharacter.test(header[at]!)) return undefined
      value += header[at]!
    }
    return at++ < header.length ? value : undefined
  }

  const elements: Array<Element> = []
  while (at < header.length) {
    const element = new Map<string, string>()
    do {
      space()
      const name = run(tokenCharacter).toLowerCase()
      if (name !== "") {
        if (header[at++] !== "=") return Result.fail("expected = behind the name of a parameter")
        const value = header[at] === '"' ? quoted() : run(valueCharacter)
        if (value === undefined)
          return Result.fail("a quoted value does not end, or has a character that it may not have")
        if (value === "" && header[at - 1] !== '"')
          return Result.fail("expected a value behind the name of a parameter")
        // section 4: each parameter once
        if (element.has(name)) return Result.fail("a parameter comes twice in one element")
        element.set(name, value)
      }
      space()
    } while (header[at] === ";" && ++at > 0)
    if (at < header.length && header[at++] !== ",") return Result.fail("expected ; or , behind a parameter")
    if (element.size > 0) elements.push(element)
  }
  return Result.succeed(elements)
}

/** Those who handed on a request, as they are written. */
const entries = (header: Header, value: string): Result.Result<ReadonlyArray<string>, string> => {
  if (header === "forwarded") {
    return Result.map(parseForwarded(value), (elements) => elements.map((element) => element.get("for") ?? ""))
  }
  return Result.succeed(
    value
      .split(",")
      .map((entry) => entry.trim())
      .filter((entry) => entry !== "")
  )
}

/**
 * The nodes that a request came through, the farthest first. An element of `Forwarded` without `for` is an unknown node.
 *
 * @category decoding
 * @since 0.1.0
 */
export const nodes = (header: Header, value: string): Result.Result<ReadonlyArray<Node>, string> =>
  Result.map(entries(header, value), (all) => all.map(node))

/** The name of an unknown client. It is not an address, so no list matches it; all unknown clients share one limit. */
const nobody = "unknown"

/**
 * The address of the client, given the address that the connection is from and the value of the header, if there is one. If
 * trusted proxies do not give an address, it is `unknown`, or the client's `_identifier`. A header that cannot be read is a
 * failure that says what is wrong: ignoring it would take the proxy for the client.
 *
 * @category decisions
 * @since 0.1.0
 */
export const clientAddress = (
  { header, trusted }: Options,
  remoteAddress: string | undefined,
  value: string | undefined
): Result.Result<string | undefined, string> => {
  if (value === undefined || !AccessList.matches(trusted, remoteAddress)) return Result.succeed(remoteAddress)
  return Result.map(entries(header, value), (all) => {
    let client = remoteAddress
    // an entry is read when it is believed, and not before: a client may write thousands, and each that is no address makes an error
    for (const entry of all.toReversed()) {
      const one = node(entry)
      if (one._tag !== "Address") return one._tag === "Obfuscated" ? one.name : nobody
      client = NetAddress.formatIp(NetAddress.toCanonical(one.address))
      if (!AccessList.matches(trusted, one.address)) break
    }
    return client
  })
}
