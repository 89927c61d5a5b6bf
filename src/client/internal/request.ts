/**
 * The headers of a client's request, checked: what would break the head, or is the handshake's own, is a mistake of whoever asked for it.
 */
import * as Result from "effect/Result"
import { shown } from "../../protocol/internal/shown.ts"
import { isToken } from "../../protocol/internal/token.ts"
import type { ResponseHeaders } from "../../protocol/OpeningHandshake.ts"
import type { Address } from "./address.ts"

/** What only the handshake itself says, and what would announce a body, which a GET to upgrade has not. */
const own = /^(?:upgrade|connection|content-length|transfer-encoding|expect|sec-websocket-.*)$/i

/** RFC 9110 section 5.5, of which what is not ASCII is Latin-1. */
const isValue = (text: string): boolean => /^[\t\x20-\x7e\x80-\xff]*$/.test(text)

/** RFC 6455 section 4.1: unique, and each a token. */
const faultOfSubprotocols = (names: ReadonlyArray<string>): string | undefined => {
  const stray = names.find((name) => !isToken(name))
  if (stray !== undefined) return `subprotocols: expected names without blanks or commas; ${shown(stray)}`
  return new Set(names).size < names.length ? "subprotocols: expected each name once" : undefined
}

const faultOf = (name: string, values: ReadonlyArray<string>): string | undefined => {
  if (!isToken(name)) return `headers: expected the name of a header; ${shown(name)}`
  if (own.test(name)) return `headers: ${name} is not to be set: the handshake says it itself`
  // its value may be a secret
  return values.every(isValue) ? undefined : `headers: expected a value of ${name} that is one line of Latin-1`
}

export const headersOf = (asked: {
  readonly address: Address
  readonly handshake: Readonly<Record<string, string>>
  readonly subprotocols: ReadonlyArray<string> | undefined
  /** What comes later goes before what comes first. */
  readonly given: ReadonlyArray<ResponseHeaders | undefined>
}): Result.Result<ResponseHeaders, string> => {
  const { address, given, handshake, subprotocols = [] } = asked
  const misnamed = faultOfSubprotocols(subprotocols)
  if (misnamed !== undefined) return Result.fail(misnamed)
  const headers: Record<string, string | ReadonlyArray<string>> = { host: address.host, ...handshake }
  if (address.authorization !== undefined) headers["authorization"] = address.authorization
  for (const some of given) {
    for (const [name, value] of Object.entries(some ?? {})) {
      const fault = faultOf(name, typeof value === "string" ? [value] : value)
      if (fault !== undefined) return Result.fail(fault)
      headers[name.toLowerCase()] = value
    }
  }
  return Result.succeed(headers)
}
