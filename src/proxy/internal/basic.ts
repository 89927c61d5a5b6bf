/**
 * Credentials of Basic authentication, as they are sent (RFC 7617 section 2): the first colon ends the user, and control characters are
 * not allowed.
 */
import * as Base64 from "effect/encoding/Base64"

const hasControl = (text: string): boolean => [...text].some((character) => character < " " || character === "\x7f")

export const isUser = (text: string): boolean => !text.includes(":") && !hasControl(text)

export const isPassword = (text: string): boolean => !hasControl(text)

/** The value of the header for `user:password`. */
export const credentials = (pair: string): string => `Basic ${Base64.encode(pair)}`
