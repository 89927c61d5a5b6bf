/**
 * The opening handshake (RFC 6455 section 4), both sides, as values: a request and a policy in, an acceptance or a refusal out. It is
 * over HTTP/1.1, and a server's also over HTTP/2 (RFC 8441). HTTP itself is parsed and written elsewhere. The accept key needs a
 * SHA-1 digest, which the caller brings, since this module computes nothing that a platform does better.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Extension from "./Extension.ts"
import { hasToken, list } from "./internal/listHeader.ts"
import * as OpeningForm from "./internal/openingForm.ts"
import { shown } from "./internal/shown.ts"
import { isToken } from "./internal/token.ts"
import * as Origin from "./Origin.ts"
import * as PerMessageDeflate from "./PerMessageDeflate.ts"

/**
 * The `Sec-WebSocket-Key` of a client: the base64 form of 16 bytes (section 4.1).
 *
 * @category schemas
 * @since 0.1.0
 */
export const Key = Schema.String.pipe(
  Schema.check(Schema.isPattern(OpeningForm.keyPattern, { description: "16 bytes in base64" })),
  Schema.brand("effect-websocket/OpeningHandshake/Key")
)

/**
 * A value of `Sec-WebSocket-Key` that has been checked.
 *
 * @category models
 * @since 0.1.0
 */
export type Key = typeof Key.Type

/**
 * What a request is made of.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RequestFields = Schema.Struct({
  method: Schema.String,
  /** The request target: path and query as they came. */
  target: Schema.String,
  /** For example `1.1`. */
  httpVersion: Schema.String,
  /** What an extended `CONNECT` of HTTP/2 asks for, such as `websocket` (RFC 8441 section 4). */
  protocol: Schema.optional(Schema.String),
  /**
   * Names in lower case; a header that came more than once has its values joined by commas (RFC 9110 section 5.3).
   */
  headers: Schema.Record(Schema.String, Schema.String),
  /** The headers as they came, a name and its value by turns, if they were kept. */
  rawHeaders: Schema.optional(Schema.Array(Schema.String))
})

/**
 * The client's HTTP request.
 *
 * @category models
 * @since 0.1.0
 */
export class Request {
  readonly method: string
  readonly target: string
  readonly httpVersion: string
  // declared, so that it takes no memory where there is none, as over HTTP/1.1
  declare readonly protocol: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly rawHeaders: ReadonlyArray<string> | undefined

  constructor(fields: typeof RequestFields.Type) {
    this.method = fields.method
    this.target = fields.target
    this.httpVersion = fields.httpVersion
    this.headers = fields.headers
    this.rawHeaders = fields.rawHeaders
    if (fields.protocol !== undefined) this.protocol = fields.protocol
  }

  /** The path of the request target, without the query; not decoded. */
  get path(): string {
    const query = this.target.indexOf("?")
    return query === -1 ? this.target : this.target.slice(0, query)
  }

  /** The parameters of the query. */
  get query(): URLSearchParams {
    const query = this.target.indexOf("?")
    return new URLSearchParams(query === -1 ? "" : this.target.slice(query + 1))
  }

  /** The subprotocols that the client offers, in its order of preference. */
  get subprotocols(): ReadonlyArray<string> {
    return list(this.headers["sec-websocket-protocol"])
  }
}

/**
 * Schema between {@link Request} and its fields, for requests that are stored or sent.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RequestFromFields = RequestFields.pipe(
  Schema.decodeTo(
    Schema.instanceOf(Request),
    SchemaTransformation.transform<Request, typeof RequestFields.Type>({
      decode: (fields) => new Request(fields),
      encode: ({ headers, httpVersion, method, protocol, rawHeaders, target }) => ({
        method,
        target,
        httpVersion,
        ...(protocol === undefined ? {} : { protocol }),
        headers,
        ...(rawHeaders === undefined ? {} : { rawHeaders })
      })
    })
  )
)

/**
 * Headers of a response; a name whose values must not be joined, such as `Set-Cookie`, has a list of them.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ResponseHeaders = Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Array(Schema.String)]))

/**
 * Headers by their names. One that comes several times has a list of values.
 *
 * @category models
 * @since 0.1.0
 */
export type ResponseHeaders = typeof ResponseHeaders.Type

/**
 * The answer to a request that is not accepted: an HTTP response whose body is the reason.
 *
 * @category models
 * @since 0.1.0
 */
export class Refusal extends Schema.TaggedError<Refusal>()("Refusal", {
  /** The HTTP status, 200 to 599: mostly 400 and above, but a redirect is an answer too. */
  status: Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 200, maximum: 599 }))),
  /**
   * What was expected and what came, for the person at the other end; sent as the body, a line of plain text. With a `content-type`
   * among the headers it is the body to the letter.
   */
  reason: Schema.String,
  headers: ResponseHeaders.pipe(Schema.withConstructorDefault(Effect.succeed({})))
}) {
  override get message(): string {
    return `${this.status}: ${this.reason}`
  }
}

/**
 * Which pages may connect: see `Origin.Policy`.
 *
 * @category models
 * @since 0.1.0
 */
export type OriginPolicy = Origin.Policy

/**
 * What a server accepts.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy {
  /** Default: `"same-origin"`. */
  readonly origin?: OriginPolicy | undefined
  /**
   * The subprotocols that the server speaks, in its order of preference, or `"first"` to take the client's first. Without
   * a match the connection opens with none, and the client decides whether it goes on (section 4.2.2). Default: none.
   */
  readonly subprotocols?: ReadonlyArray<string> | "first" | undefined
  /** Whether and how to compress; `false` declines all offers. Default: `false`. */
  readonly compression?: PerMessageDeflate.Setting | undefined
}

/**
 * What a server agreed to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Acceptance {
  readonly subprotocol: string | undefined
  readonly compression: PerMessageDeflate.Agreement | undefined
  /** The headers of the answer, without the accept key: those that were negotiated, and what the application adds. */
  readonly headers: ResponseHeaders
}

// shared, so that a request that asks for nothing takes nothing
const none: ReadonlyArray<string> = []
const noExtensions = Option.some<ReadonlyArray<Extension.Extension>>([])
const nothing: Acceptance = Object.freeze({
  subprotocol: undefined,
  compression: undefined,
  headers: Object.freeze({})
})

const refuse = (status: number, reason: string, headers: Record<string, string> = {}): Result.Result<never, Refusal> =>
  Result.fail(new Refusal({ status, reason, headers }))

/**
 * The server's side (section 4.2; over HTTP/2 RFC 8441 section 5): what it agrees to, or why it refuses.
 *
 * @category negotiation
 * @since 0.1.0
 */
export const negotiate = (request: Request, policy: Policy = {}): Result.Result<Acceptance, Refusal> => {
  const { headers } = request
  const fault = OpeningForm.faultOf(request)
  if (fault !== undefined) return refuse(...fault)
  if (!Origin.isAllowed(headers, policy.origin ?? "same-origin")) {
    return refuse(403, `Pages of the origin ${headers["origin"]?.slice(0, 200)} may not connect here.`)
  }
  const offered = headers["sec-websocket-protocol"] === undefined ? none : request.subprotocols
  if (offered.length > 0 && (!offered.every(isToken) || new Set(offered).size < offered.length)) {
    return refuse(
      400,
      `Sec-WebSocket-Protocol must be a list of unique tokens; ${shown(headers["sec-websocket-protocol"])}.`
    )
  }
  const wanted = policy.subprotocols ?? []
  const subprotocol = wanted === "first" ? offered[0] : wanted.find((name) => offered.includes(name))
  const offers = headers["sec-websocket-extensions"]
  const extensions = offers === undefined ? noExtensions : Extension.parse(offers)
  if (Option.isNone(extensions)) {
    return refuse(400, `Sec-WebSocket-Extensions must be a list of extensions; ${shown(offers)}.`)
  }
  if (subprotocol === undefined && offers === undefined) {
    return Result.succeed(nothing)
  }
  const deflating = PerMessageDeflate.wanted(policy.compression)
  const compression =
    deflating === undefined ? undefined : Option.getOrUndefined(PerMessageDeflate.accept(extensions.value, deflating))
  return Result.succeed({
    subprotocol,
    compression: compression?.agreement,
    headers: {
      ...(subprotocol === undefined ? {} : { "sec-websocket-protocol": subprotocol }),
      ...(compression === undefined ? {} : { "sec-websocket-extensions": compression.response })
    }
  })
}

const own = /^(upgrade|connection|content-length|transfer-encoding|sec-websocket-.*)$/i

/**
 * Whether a header is of the opening handshake itself, of either side, which only that may set.
 *
 * @internal
 */
export const isOwnHeader = (name: string): boolean => own.test(name)

/**
 * An acceptance with what the application adds to it: a subprotocol, of those that the client offered, in place of the
 * negotiated one, and headers. Headers of the handshake itself are left out.
 *
 * @category negotiation
 * @since 0.1.0
 */
export const amend = (
  request: Request,
  acceptance: Acceptance,
  answer: { readonly subprotocol?: string | undefined; readonly headers?: ResponseHeaders | undefined }
): Acceptance => {
  const offered = "subprotocol" in answer ? request.subprotocols : []
  const subprotocol =
    "subprotocol" in answer ? offered.find((name) => name === answer.subprotocol) : acceptance.subprotocol
  const headers: Record<string, string | ReadonlyArray<string>> = {}
  for (const name in answer.headers) {
    if (!isOwnHeader(name)) headers[name] = answer.headers[name]!
  }
  for (const name in acceptance.headers) if (name !== protocolHeader) headers[name] = acceptance.headers[name]!
  if (subprotocol !== undefined) headers[protocolHeader] = subprotocol
  return { ...acceptance, subprotocol, headers }
}

const protocolHeader = "sec-websocket-protocol"

const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/**
 * What the SHA-1 digest of `Sec-WebSocket-Accept` is taken of: the key and the RFC's own GUID (section 4.2.2, step 5.4). The
 * header is the base64 form of that digest.
 *
 * @category constructors
 * @since 0.1.0
 */
export const acceptInput = (key: string): string => key + guid

/**
 * The client's side (section 4.1): the headers of its request but for `Host`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const requestHeaders = (options: {
  readonly key: Key
  readonly subprotocols?: ReadonlyArray<string> | undefined
  readonly compression?: PerMessageDeflate.Setting | undefined
}): Record<string, string> => {
  const { key, subprotocols = [] } = options
  const compression = PerMessageDeflate.wanted(options.compression)
  return {
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": key,
    ...(subprotocols.length === 0 ? {} : { "sec-websocket-protocol": subprotocols.join(", ") }),
    ...(compression === undefined ? {} : { "sec-websocket-extensions": PerMessageDeflate.offer(compression) })
  }
}

/**
 * The client's side: checks the server's answer to {@link requestHeaders} (section 4.1, the numbered list at its end).
 * `accept` is the accept key that the server must send.
 *
 * @category negotiation
 * @since 0.1.0
 */
export const confirm = (
  response: { readonly status: number; readonly headers: Readonly<Record<string, string>> },
  asked: {
    readonly accept: string
    readonly subprotocols?: ReadonlyArray<string> | undefined
    readonly compression?: PerMessageDeflate.Setting | undefined
  }
): Result.Result<Pick<Acceptance, "subprotocol" | "compression">, string> => {
  const { headers } = response
  if (response.status !== 101) return Result.fail(`the server answered ${response.status} instead of 101`)
  if (headers["upgrade"]?.toLowerCase() !== "websocket") {
    return Result.fail(`the server's Upgrade header must be "websocket"; ${shown(headers["upgrade"])}`)
  }
  if (!hasToken(headers["connection"], "upgrade")) {
    return Result.fail(`the server's Connection header must name "Upgrade"; ${shown(headers["connection"])}`)
  }
  if (headers["sec-websocket-accept"] !== asked.accept) {
    return Result.fail("the server's Sec-WebSocket-Accept does not answer the key that was sent")
  }
  const subprotocol = headers["sec-websocket-protocol"]
  if (subprotocol !== undefined && !(asked.subprotocols ?? []).includes(subprotocol)) {
    return Result.fail(`the server chose a subprotocol that was not offered; ${shown(subprotocol)}`)
  }
  const extensions = headers["sec-websocket-extensions"]
  // an empty list chooses none
  if (extensions === undefined || list(extensions).length === 0) {
    return Result.succeed({ subprotocol, compression: undefined })
  }
  const policy = PerMessageDeflate.wanted(asked.compression)
  const compression = Extension.parse(extensions).pipe(
    Option.flatMap(([first, ...more]) =>
      first === undefined || more.length > 0 || policy === undefined
        ? Option.none()
        : PerMessageDeflate.confirm(first, policy)
    )
  )
  return Option.match(compression, {
    onNone: () => {
      const stray = policy === undefined ? "" : " with these parameters"
      return Result.fail(`the server chose extensions that were not offered${stray}; ${shown(extensions)}`)
    },
    onSome: (agreement) => Result.succeed({ subprotocol, compression: agreement })
  })
}
