/**
 * What a peer can do against RFC 6455 and RFC 7692 or against this endpoint's limits, and the one table that gives each
 * such fault the close code that fails the connection (RFC 6455 section 7.1.7). Pure values: nothing here sends anything.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

const closeCodes = {
  /** A reserved bit is set that no negotiated extension defines (section 5.2). */
  ReservedBits: 1002,
  /** An opcode that the RFC reserves (section 5.2). */
  ReservedOpcode: 1002,
  /** A client's frame without a mask (section 5.1). */
  UnmaskedFrame: 1002,
  /** A server's frame with a mask (section 5.1). */
  MaskedFrame: 1002,
  /** A payload length in a longer form than it needs (section 5.2). */
  NonMinimalLength: 1002,
  /** A 64-bit payload length whose most significant bit is set (section 5.2). */
  InvalidLength: 1002,
  /** A control frame without FIN (section 5.5). */
  FragmentedControlFrame: 1002,
  /** A control frame of more than 125 bytes (section 5.5). */
  ControlFrameTooLong: 1002,
  /** A continuation frame while no message is open (section 5.4). */
  UnexpectedContinuation: 1002,
  /** A new message while another one is open (section 5.4). */
  ExpectedContinuation: 1002,
  /** A close payload of one byte (section 5.5.1). */
  InvalidClosePayload: 1002,
  /** A close code that may not appear on the wire (section 7.4). */
  InvalidCloseCode: 1002,
  /** Text, or a close reason, that is not UTF-8 (section 8.1). */
  InvalidUtf8: 1007,
  /** A compressed message that does not inflate (RFC 7692 section 7.2.2). */
  InvalidCompressedData: 1007,
  /** A frame larger than this endpoint takes (section 10.4). */
  FrameTooBig: 1009,
  /** A message larger than this endpoint takes, before or after decompression (section 10.4). */
  MessageTooBig: 1009,
  /** A message in more fragments than this endpoint takes (section 10.4). */
  TooManyFragments: 1008,
  /** More control frames in a second than this endpoint takes. */
  TooManyControlFrames: 1008
} as const

/**
 * The name of a fault; see {@link closeCodeOf} for the close code of each.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind = keyof typeof closeCodes

/**
 * The close code that a fault fails the connection with.
 *
 * @category getters
 * @since 0.1.0
 */
export const closeCodeOf = (kind: Kind): number => closeCodes[kind]

/**
 * A fault of the peer. It is terminal: the decoder or assembler that raised it refuses further use.
 *
 * **Details**
 *
 * `kind` is for programs and `message` for people: it says what was expected and what came. The message is safe to send
 * as a close reason: it holds no payload and fits in 123 bytes.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProtocolError extends Data.TaggedError("ProtocolError")<{
  readonly kind: Kind
  readonly message: string
}> {
  /** The close code that this fault fails the connection with (RFC 6455 section 7.4.1). */
  get closeCode(): number {
    return closeCodes[this.kind]
  }
}
