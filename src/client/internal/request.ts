/**
 * A client's request, checked. A header that would break the head, or that the handshake itself sets, is the caller's mistake; the
 * message does not show its value, which may be a secret.
 */
import * as Result from "effect/Result"
import { shown } from "../../protocol/internal/shown.ts"
import { isToken } from "../../protocol/internal/token.ts"
import { isOwnHeader, type ResponseHeaders } from "../../protocol/OpeningHandshake.ts"
import { InvalidRequest, WebSocketClientError } from "../WebSocketClientError.ts"
import * as Address from "./address.ts"

/** What else would announce a body, which a GET to upgrade has not. */
const announcing = /^(?:trailer|expect)$/i

/** RFC 9110 section 5.3: what is no list comes once. */
const single = new Set(["host", "authorization", "origin", "user-agent", "referer"])

/** RFC 9110 section 5.5, of which what is not ASCII is Latin-1. */
const isValue = (text: unknown): boolean => typeof text === "string" && /^[\t\x20-\x7e\x80-\xff]*$/.test(text)

/** RFC 6455 section 4.1: unique, and each a token. Who writes no TypeScript may give anything. */
const faultOfSubprotocols = (names: unknown): string | undefined => {
  if (!Array.isArray(names)) return "subprotocols: expected a list of names"
  const stray: unknown = names.find((name: unknown) => typeof name !== "string" || !isToken(name))
  if (stray !== undefined) return `subprotocols: expected names without blanks or commas; ${shown(String(stray))}`
  return new Set(names).size < names.length ? "subprotocols: expected each name once" : undefined
}

const faultOf = (name: string, value: unknown): string | undefined => {
  if (!isToken(name)) return `headers: expected the name of a header; ${shown(name)}`
  if (isOwnHeader(name) || announcing.test(name))
    return `headers: ${name} is not to be set: the handshake says it itself`
  if (Array.isArray(value) && single.has(name.toLowerCase()))
    return `headers: expected one value of ${name}, not a list`
  const values: ReadonlyArray<unknown> = Array.isArray(value) ? value : [value]
  return values.every(isValue) ? undefined : `headers: expected a value of ${name} that is one line of Latin-1`
}

/** RFC 6265 section 5.4: all cookies are in one header. */
const oneOf = (name: string, value: string | ReadonlyArray<string>): string | ReadonlyArray<string> =>
  name === "cookie" && typeof value !== "string" && value.length > 1 ? value.join("; ") : value

/** The headers of a request. */
export const headersOf = (asked: {
  readonly address: Address.Address
  /** The handshake's own, made when the subprotocols are known to be some. */
  readonly handshake: () => Readonly<Record<string, string>>
  readonly subprotocols: ReadonlyArray<string> | undefined
  /** Later entries override earlier ones. The URL's credentials override all but the last entry. */
  readonly given: ReadonlyArray<ResponseHeaders | undefined>
}): Result.Result<ResponseHeaders, string> => {
  const { address, given, handshake, subprotocols = [] } = asked
  const misnamed = faultOfSubprotocols(subprotocols)
  if (misnamed !== undefined) return Result.fail(misnamed)
  // a name may be one that every object has
  const headers = new Map<string, string | ReadonlyArray<string>>([
    ["host", address.host],
    ...Object.entries(handshake())
  ])
  for (const [index, some] of given.entries()) {
    if (index === given.length - 1 && address.authorization !== undefined) {
      headers.set("authorization", address.authorization)
    }
    for (const [name, value] of Object.entries(some ?? {})) {
      const fault = faultOf(name, value)
      if (fault !== undefined) return Result.fail(fault)
      const lower = name.toLowerCase()
      headers.set(lower, oneOf(lower, value))
    }
  }
  return Result.succeed(Object.fromEntries(headers))
}

/** Whether a request can be made of this, before anybody is connected to. */
export const checkedRequest = (
  url: string | URL,
  given: ReadonlyArray<ResponseHeaders | undefined>,
  subprotocols: ReadonlyArray<string> | undefined
): Result.Result<ResponseHeaders, WebSocketClientError> =>
  Address.parse(url).pipe(
    Result.flatMap((address) => headersOf({ address, handshake: () => ({}), subprotocols, given })),
    Result.mapError(
      (message) => new WebSocketClientError({ url: Address.shown(url), reason: new InvalidRequest({ message }) })
    )
  )
