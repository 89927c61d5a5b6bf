/**
 * Frame opcodes (RFC 6455 section 5.2): what a frame carries. Opcodes 0x3-0x7 and 0xB-0xF are reserved and never valid.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * The next fragment of a message that an earlier frame began.
 *
 * @category constants
 * @since 0.1.0
 */
export const continuation = 0x0

/**
 * A text message, or its first fragment. The whole message is UTF-8.
 *
 * @category constants
 * @since 0.1.0
 */
export const text = 0x1

/**
 * A binary message, or its first fragment.
 *
 * @category constants
 * @since 0.1.0
 */
export const binary = 0x2

/**
 * A Close control frame (section 5.5.1).
 *
 * @category constants
 * @since 0.1.0
 */
export const close = 0x8

/**
 * A Ping control frame (section 5.5.2).
 *
 * @category constants
 * @since 0.1.0
 */
export const ping = 0x9

/**
 * A Pong control frame (section 5.5.3).
 *
 * @category constants
 * @since 0.1.0
 */
export const pong = 0xa

/**
 * Schema of the opcodes that RFC 6455 defines.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Opcode = Schema.Literals([continuation, text, binary, close, ping, pong])

/**
 * An opcode that RFC 6455 defines.
 *
 * @category models
 * @since 0.1.0
 */
export type Opcode = typeof Opcode.Type

/**
 * The opcodes of control frames: at most 125 bytes, never fragmented, allowed between the fragments of a message.
 *
 * @category models
 * @since 0.1.0
 */
export type ControlOpcode = typeof close | typeof ping | typeof pong

/**
 * Whether a four-bit value is an opcode that RFC 6455 defines.
 *
 * @category guards
 * @since 0.1.0
 */
export const isOpcode = (u: number): u is Opcode => (u >= 0x0 && u <= 0x2) || (u >= 0x8 && u <= 0xa)

/**
 * Whether an opcode is that of a control frame: its most significant bit is set (section 5.5).
 *
 * @category guards
 * @since 0.1.0
 */
export const isControl = (opcode: Opcode): opcode is ControlOpcode => opcode >= 0x8
