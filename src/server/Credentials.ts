/**
 * The credentials that a request carries: `Authorization: Basic` (RFC 7617) and `Bearer` (RFC 6750), and bearer tokens where a
 * browser can put one, since its WebSocket sets no header: in the query, or among the subprotocols. Pure: text in, values out;
 * what was read is redacted, so that no log shows it by mistake.
 *
 * @since 0.1.0
 */
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { isBearerToken, isToken } from "../protocol/internal/token.ts"
import { Request } from "../protocol/OpeningHandshake.ts"

/**
 * A user and a password, both in Unicode's normal form C (RFC 8265 section 4.2).
 *
 * @category models
 * @since 0.1.0
 */
export interface Basic {
  readonly user: string
  readonly password: Redacted.Redacted<string>
}

/**
 * Where a token may be.
 *
 * - `header`: `Authorization: Bearer TOKEN` (RFC 6750 section 2.1).
 * - `query`: a parameter of the request's query (section 2.3). URLs end up in the logs of whatever is in front: the header or
 *   a subprotocol is better.
 * - `subprotocol`: the first offered subprotocol that begins with this, such as `bearer.`; what follows is the token. It is
 *   taken out of what is offered before one is agreed on, and sent back only where the client offers no other: a browser gives
 *   up a connection whose answer names none of them. A subprotocol takes no `/` and no `=` (RFC 9110 section 5.6.2).
 *
 * @category models
 * @since 0.1.0
 */
export type TokenPlace = "header" | { readonly query: string } | { readonly subprotocol: string }

/**
 * What is wrong: there are none of this scheme, or what is there cannot be read.
 *
 * @category models
 * @since 0.1.0
 */
export type Fault = "missing" | "malformed"

const missing = Result.fail<Fault>("missing")
const malformed = Result.fail<Fault>("malformed")

/** The scheme and what follows it (RFC 9110 section 11.4); the scheme is compared without case (11.1). */
const authorization = (request: Request, scheme: string): string | undefined => {
  const header = request.headers["authorization"]
  if (header === undefined) return undefined
  const space = header.indexOf(" ")
  const name = space === -1 ? header : header.slice(0, space)
  if (name.toLowerCase() !== scheme) return undefined
  return space === -1 ? "" : header.slice(space).trim()
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** The text of base64 of UTF-8, or `undefined` if it is none. */
const decoded = (text: string): string | undefined => {
  if (!base64.test(text)) return undefined
  try {
    return utf8.decode(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)))
  } catch {
    return undefined
  }
}

// RFC 7617 section 2: neither may contain a control character
const control = /\p{Cc}/u

/**
 * The user and password of `Authorization: Basic`, in UTF-8, which is what the challenge asks for (RFC 7617 section 2.1).
 *
 * @category decoding
 * @since 0.1.0
 */
export const basic = (request: Request): Result.Result<Basic, Fault> => {
  const given = authorization(request, "basic")
  if (given === undefined) return missing
  const text = decoded(given) ?? ""
  // section 2: the user-id ends at the first colon, and so has none; a password may
  const colon = text.indexOf(":")
  if (colon === -1 || control.test(text)) return malformed
  return Result.succeed({
    user: text.slice(0, colon).normalize("NFC"),
    password: Redacted.make(text.slice(colon + 1).normalize("NFC"), { label: "password" })
  })
}

const tokensAt = (request: Request, source: TokenPlace): ReadonlyArray<string> => {
  if (source === "header") {
    const given = authorization(request, "bearer")
    return given === undefined ? [] : [given]
  }
  if ("query" in source) return request.target.includes("?") ? request.query.getAll(source.query) : []
  return offered(request)
    .filter((name) => name.startsWith(source.subprotocol))
    .map((name) => name.slice(source.subprotocol.length))
}

const offered = (request: Request): ReadonlyArray<string> =>
  request.headers["sec-websocket-protocol"] === undefined ? [] : request.subprotocols

/**
 * The bearer token of a request. More than one is refused, wherever they are (RFC 6750 section 2): which of them was meant
 * could be read in two ways.
 *
 * @category decoding
 * @since 0.1.0
 */
export const bearer = (
  request: Request,
  sources: ReadonlyArray<TokenPlace>
): Result.Result<Redacted.Redacted<string>, Fault> => {
  const tokens = sources.flatMap((source) => tokensAt(request, source))
  const [token] = tokens
  if (token === undefined) return missing
  return tokens.length > 1 || !isBearerToken(token)
    ? malformed
    : Result.succeed(Redacted.make(token, { label: "token" }))
}

/**
 * A request without the subprotocols that carry a token, and the one to send back where no other is offered.
 *
 * @category decoding
 * @since 0.1.0
 */
export const withoutTokens = (
  request: Request,
  prefixes: ReadonlyArray<string>
): { readonly request: Request; readonly echo: string | undefined } => {
  const all = prefixes.length === 0 ? [] : offered(request)
  // what is no token of HTTP stays in the offer, which is then refused as a whole
  const holdsToken = (name: string) => isToken(name) && prefixes.some((prefix) => name.startsWith(prefix))
  const tokens = all.filter(holdsToken)
  if (tokens.length === 0) return { request, echo: undefined }
  const rest = all.filter((name) => !holdsToken(name))
  const headers: Record<string, string> = { ...request.headers }
  if (rest.length === 0) delete headers["sec-websocket-protocol"]
  else headers["sec-websocket-protocol"] = rest.join(", ")
  const { httpVersion, method, protocol, target } = request
  const rawHeaders = request.rawHeaders && withOffer(request.rawHeaders, rest)
  return {
    request: new Request({ method, target, httpVersion, protocol, headers, ...(rawHeaders && { rawHeaders }) }),
    echo: rest.length === 0 ? tokens[0] : undefined
  }
}

/** The headers as they came, but for what is offered. */
const withOffer = (rawHeaders: ReadonlyArray<string>, rest: ReadonlyArray<string>): ReadonlyArray<string> => {
  const isOffer = (name: string) => name.toLowerCase() === "sec-websocket-protocol"
  const others = rawHeaders.filter((_, index) => !isOffer(rawHeaders[index - (index % 2)]!))
  return rest.length === 0 ? others : [...others, "Sec-WebSocket-Protocol", rest.join(", ")]
}
