/**
 * The limits of one connection. Each has a default, and `Telemetry.limits` counts when one is hit. Durations are any
 * `Duration.Input`, such as `"30 seconds"`; `"Infinity"` switches one off.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Message from "../protocol/Message.ts"
import { duration, number } from "../protocol/internal/option.ts"

/**
 * The bounds of a connection, sizes in bytes. Everything has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * The largest frame in bytes; a larger one is answered with Close 1009. Default: 2^53-1, since frames stream through in
   * pieces and take no memory of their own.
   */
  readonly maxFrameSize?: number | undefined
  /**
   * The largest message in bytes that is assembled, and the largest that a compressed one may inflate to; Close 1009.
   * Default: 1 MiB.
   */
  readonly maxMessageSize?: number | undefined
  /** The most frames of an assembled message; Close 1008. Default: 65,536. */
  readonly maxFragments?: number | undefined
  /** The most control frames in one second; Close 1008. Default: 1,000. */
  readonly maxControlFrameRate?: number | undefined
  /** A ping is sent to a peer that has been silent for this long. Default: 30 seconds. */
  readonly pingInterval?: Duration.Input | undefined
  /**
   * A peer that is silent for this long after a ping is given up, and the connection reset. It is given this time once more for
   * each 128 KiB sent since it was last heard, up to ten times, since the ping waits behind them; and ten times if it has not
   * taken all that was sent. Default: 20 seconds.
   */
  readonly pongTimeout?: Duration.Input | undefined
  /** A connection without a data frame in either direction for this long is closed with 1001. Default: infinity. */
  readonly idleTimeout?: Duration.Input | undefined
  /** A connection as old as this is closed with 1008. Default: infinity. */
  readonly maxLifetime?: Duration.Input | undefined
  /**
   * How long each of the three steps that end a connection may take: sending what is buffered, the peer's Close frame, and the peer's
   * end of the byte stream. It is tripled while data is still queued in this process, because the system reports progress only in
   * steps of megabytes. A slow peer that keeps taking data is given this time anew, up to 20 times. Default: 10 seconds.
   */
  readonly closeTimeout?: Duration.Input | undefined
}

/**
 * The same with defaults filled in, and durations in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limits extends Message.Limits {
  readonly maxFrameSize: number
  readonly maxControlFrameRate: number
  readonly pingInterval: number
  readonly pongTimeout: number
  readonly idleTimeout: number
  readonly maxLifetime: number
  readonly closeTimeout: number
}

/**
 * Throws for an invalid option, such as `NaN` or a negative duration.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Limits => ({
  maxFrameSize: Math.min(number("maxFrameSize", options.maxFrameSize, Infinity), Number.MAX_SAFE_INTEGER),
  maxMessageSize: number("maxMessageSize", options.maxMessageSize, 1024 * 1024),
  maxFragments: number("maxFragments", options.maxFragments, 65536),
  maxControlFrameRate: number("maxControlFrameRate", options.maxControlFrameRate, 1000),
  // what is over at once would ping without end, or leave no connection open
  pingInterval: duration("pingInterval", options.pingInterval, "30 seconds", "above 0"),
  pongTimeout: duration("pongTimeout", options.pongTimeout, "20 seconds", "above 0"),
  idleTimeout: duration("idleTimeout", options.idleTimeout, "Infinity", "above 0"),
  maxLifetime: duration("maxLifetime", options.maxLifetime, "Infinity", "above 0"),
  closeTimeout: duration("closeTimeout", options.closeTimeout, "10 seconds")
})

/**
 * The defaults of {@link Options}.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaults: Limits = make()
