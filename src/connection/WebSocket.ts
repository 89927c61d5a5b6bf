/**
 * One WebSocket connection, server or client, as a scoped resource over an effect `Socket` that carries its bytes; the opening
 * handshake is done. Reading is by pull: bytes that nobody pulls stay in the transport, and slow the sender down.
 *
 * - Read in one of four ways: `messages` (assembled), `fragments` (pieces as they come), `payloads` (bytes without
 *   boundaries) or `pullEvents` (all of it, pings and pongs too). Several readers take turns, each with what one read brought;
 *   they read in the same way. Another way may be chosen between messages, while nobody reads and nothing is left to give out
 *   of what was read; otherwise it fails with `InvalidUsage`, and the first way goes on. A stream is pulled by the batch, so one
 *   that is cut short (`Stream.take`) drops the rest of its batch. It ends when the peer's Close frame has come, and fails with a
 *   {@link WebSocketError} otherwise.
 * - Pings are answered, and the closing handshake is answered, while somebody reads.
 * - `send` and its kin may be called from any fiber; each waits while the transport is full.
 * - Leaving the scope closes: 1000 after success, 1011 after a failure, 1001 after an interruption, each followed by the
 *   wait for the peer's Close frame and for its end of the byte stream (RFC 6455 section 7.1.1), bounded by `closeTimeout`.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import type * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import * as Stream from "effect/Stream"
import type { CloseInfo } from "../protocol/ConnectionState.ts"
import type { Fragment, Message } from "../protocol/Message.ts"
import type { Gathering, MessageEvent } from "../protocol/MessageEvent.ts"
import * as Connection from "./internal/connection.ts"
import type { Receiver } from "./internal/flow.ts"
import type { FragmentsOptions } from "./internal/outbound.ts"
import type { Codec } from "./Deflate.ts"
import * as Limits from "./Limits.ts"
import type { PreparedMessage } from "./PreparedMessage.ts"
import * as Transport from "./Transport.ts"
import type { WebSocketError } from "./WebSocketError.ts"

/**
 * Marks a connection.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: typeof Connection.TypeId = Connection.TypeId

/**
 * A connection. See the head of this module.
 *
 * @category models
 * @since 0.1.0
 */
export interface WebSocket {
  readonly [TypeId]: typeof TypeId
  /** The role of this endpoint. */
  readonly role: "server" | "client"
  /** The subprotocol that was agreed on. */
  readonly subprotocol: string | undefined
  /** Whether permessage-deflate was agreed on. */
  readonly isCompressed: boolean

  /**
   * The messages: text as strings, binary as bytes. Larger ones than `maxMessageSize` fail the connection with 1009. To take them one
   * at a time and lose none, make `Stream.toPull(Stream.rechunk(messages, 1))` once: each `Stream.take` or `Stream.runHead` drops what
   * came together with the last that it gives.
   */
  readonly messages: Stream.Stream<Message, WebSocketError>
  /** The pieces of messages as they come, however large the message. */
  readonly fragments: Stream.Stream<Fragment, WebSocketError>
  /** The bytes of all messages without their boundaries, however large; text must be UTF-8. */
  readonly payloads: Stream.Stream<Uint8Array, WebSocketError>
  /** The batch under `messages`: what one read of the transport brought. */
  readonly pullMessages: Pull.Pull<NonEmptyReadonlyArray<Message>, WebSocketError>
  /** The batch under `payloads`. */
  readonly pullPayloads: Pull.Pull<NonEmptyReadonlyArray<Uint8Array>, WebSocketError>
  /**
   * All that comes, in order: pieces of messages, put together as asked (default: not at all), and the pings and pongs
   * between them. Pings are answered all the same.
   */
  pullEvents(gathering?: Gathering): Pull.Pull<NonEmptyReadonlyArray<MessageEvent>, WebSocketError>

  /**
   * Sends a message: a string as text, bytes as binary. The bytes must not change until the effect ends. For many connections, a
   * prepared message is encoded only once. What is neither, such as an object that was not made JSON, fails with `InvalidUsage`.
   */
  send(message: Message | PreparedMessage, options?: SendOptions): Effect.Effect<void, WebSocketError>
  /** Sends messages in one write. */
  sendAll(messages: NonEmptyReadonlyArray<Message>, options?: SendOptions): Effect.Effect<void, WebSocketError>
  /**
   * Sends the elements of a stream as the fragments of one message, of text if they are strings. Other messages wait until
   * it is complete; if the stream fails the connection fails with 1011, since a message cannot be taken back. So does an
   * interruption, unless the message `mayEndEarly`: then it ends with what was sent, and the connection goes on. Strings may be
   * cut anywhere, also within a code point.
   */
  sendFragments<E, R>(
    fragments: Stream.Stream<string, E, R> | Stream.Stream<Uint8Array, E, R>,
    options?: SendFragmentsOptions
  ): Effect.Effect<void, WebSocketError | E, R>
  /** Sends a Ping of at most 125 bytes and waits for its Pong; gives the time between. Somebody must be reading. */
  ping(payload?: Uint8Array): Effect.Effect<Duration.Duration, WebSocketError>
  /** Sends a Pong of at most 125 bytes that nobody asked for, as a sign of life (RFC 6455 section 5.5.3). */
  pong(payload?: Uint8Array): Effect.Effect<void, WebSocketError>
  /**
   * Waits until the system has taken all that was sent. `send` may return earlier: up to the transport's high-water mark (64 KiB
   * by default), and for a moment four times that, may still wait in the process.
   */
  readonly flushed: Effect.Effect<void, WebSocketError>
  /**
   * Begins the closing handshake and waits for the peer's Close frame, at most `closeTimeout`. What the peer sent before is
   * still given to a reader that is waiting, and discarded if there is none. Default: code 1000, no reason. A reason of more than
   * 123 bytes of UTF-8, for which a Close frame has no room, is cut at a code point. Without `wait` the connection ends once the
   * Close frame is sent, and what the peer still sends is lost.
   */
  close(
    code?: number,
    reason?: string,
    options?: { readonly wait?: boolean | undefined }
  ): Effect.Effect<void, WebSocketError>
  /** Waits for the end of the connection and says how it was. Somebody must be reading. */
  readonly closed: Effect.Effect<CloseInfo>
  /** The same connection as effect's `Socket` of messages, for whatever takes one. */
  readonly socket: Socket.Socket
}

/**
 * How messages are sent.
 *
 * @category models
 * @since 0.1.0
 */
export interface SendOptions {
  /**
   * Gives the memory of binary messages away with them. A large one (16 KiB or more, and the whole of its buffer, as large messages
   * are received) is freed as soon as it is written, and not when the next full collection finds it: an echo of 64 KiB takes a third less
   * CPU. Nobody may read the bytes after this is called, not even if it fails. A prepared message is not given away. Default: `false`.
   */
  readonly transfer?: boolean | undefined
}

/**
 * How a message is sent in fragments.
 *
 * @category models
 * @since 0.1.0
 */
export interface SendFragmentsOptions extends FragmentsOptions {}

/**
 * How a connection is made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly role: "server" | "client"
  readonly subprotocol?: string | undefined
  readonly limits?: Limits.Limits | undefined
  /** The codec of permessage-deflate, if that was agreed on. */
  readonly codec?: Codec | undefined
}

/**
 * Makes a connection over a transport whose opening handshake is done. Leaving the scope closes it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  transport: Socket.Socket,
  options: Options
): Effect.Effect<WebSocket, Socket.SocketError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.flatMap(Clock.Clock, (clock) =>
      Effect.map(
        Transport.fromSocket(transport),
        (transport) =>
          new Connection.Connection({
            terms: { role: options.role, limits: options.limits ?? Limits.defaults, clock },
            subprotocol: options.subprotocol,
            codec: options.codec,
            transport
          })
      )
    ),
    (connection, exit) => connection.release(exit),
    { interruptible: true }
  )

/** Whose messages are for one function. */
class Each<A, E, R> implements Receiver<NonEmptyReadonlyArray<Message>, E, R, WebSocketError | E> {
  private readonly webSocket: WebSocket
  private readonly f: (messages: NonEmptyReadonlyArray<Message>, webSocket: WebSocket) => Effect.Effect<A, E, R>

  constructor(webSocket: WebSocket, f: Each<A, E, R>["f"]) {
    this.webSocket = webSocket
    this.f = f
  }

  receive(messages: NonEmptyReadonlyArray<Message>): Effect.Effect<A, E, R> {
    return this.f(messages, this.webSocket)
  }

  received(result: Result.Result<void, WebSocketError | E>): Effect.Effect<void, WebSocketError | E> {
    return Effect.fromResult(result)
  }
}

/**
 * Runs an effect for each batch of messages, which is what one read of the transport brought, until the connection is closed. The
 * same as `Stream.runForEachArray(webSocket.messages, f)`, but cheaper: if `f` only sends, or returns `Effect.void`, no fiber
 * takes a step for it. If a server's handler is this effect, with nothing around it, the connection has no fiber at all until `f`
 * returns another effect, which saves a third of the connection's memory. `f` also gets the connection, so that one function can
 * serve all.
 *
 * @category running
 * @since 0.1.0
 */
export const runForEachArray = <A, E, R>(
  webSocket: WebSocket,
  f: (messages: NonEmptyReadonlyArray<Message>, webSocket: WebSocket) => Effect.Effect<A, E, R>
): Effect.Effect<void, WebSocketError | E, R> =>
  webSocket instanceof Connection.Connection
    ? webSocket.inbound.flowMessages(new Each(webSocket, f))
    : Stream.runForEachArray(webSocket.messages, (messages) => f(messages, webSocket))
