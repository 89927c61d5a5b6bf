/**
 * The entries of an `AccessLog` as values: what each event has, and how an entry is written as a line of JSON.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const about = {
  /** A UUID, the same in all entries of a request. */
  id: Schema.String,
  /** When this took place. */
  at: Schema.DateTimeUtcFromString,
  /** The address of the client; it has none over a unix socket. */
  client: Schema.optional(Schema.String),
  /** `address:port` at the other end of the TCP connection, which is a load balancer's behind one. */
  peer: Schema.optional(Schema.String),
  /** The version of TLS. */
  tls: Schema.optional(Schema.String),
  /** Who the client is, if an access policy found that out. */
  subject: Schema.optional(Schema.String),
  /** Without the query, in which secrets may be. This and the headers are cut after 1,024 characters. */
  path: Schema.String,
  host: Schema.optional(Schema.String),
  origin: Schema.optional(Schema.String),
  userAgent: Schema.optional(Schema.String),
  /**
   * What else is known (`OpenRequest.annotate`). The server sets `denied`, which is a `Denial.Kind`; the proxy sets `target`, and
   * `dialError`, which is the `DialError.kind` of the last target that could not be connected to.
   */
  annotations: Schema.Record(Schema.String, Schema.String),
  /** Milliseconds since the request came. */
  elapsed: Schema.Finite
} as const

/**
 * A request was refused, with this HTTP status.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Refused = Schema.Struct({
  event: Schema.Literal("refused"),
  ...about,
  status: Schema.Int,
  /** What the client was told. */
  reason: Schema.String
})

/**
 * A client went away before its request was answered.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Gone = Schema.Struct({ event: Schema.Literal("gone"), ...about })

/**
 * A connection was opened.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Opened = Schema.Struct({
  event: Schema.Literal("opened"),
  ...about,
  subprotocol: Schema.optional(Schema.String),
  isCompressed: Schema.Boolean
})

/**
 * A connection has ended: see `ConnectionState.CloseInfo` for the code. Bytes are those of the frames, with their headers.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Closed = Schema.Struct({
  event: Schema.Literal("closed"),
  ...about,
  code: Schema.Int,
  reason: Schema.String,
  wasClean: Schema.Boolean,
  received: Schema.Int,
  sent: Schema.Int
})

/**
 * Schema of all entries.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Entry = Schema.Union([Refused, Gone, Opened, Closed])

/**
 * What happened to a request or to its connection; `event` says which.
 *
 * @category models
 * @since 0.1.0
 */
export type Entry = typeof Entry.Type

/**
 * Schema between an entry and its line of JSON.
 *
 * @category schemas
 * @since 0.1.0
 */
export const FromJson = Schema.fromJsonString(Entry)
