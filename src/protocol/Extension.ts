/**
 * The `Sec-WebSocket-Extensions` header (RFC 6455 section 9.1): a list of extensions, each a token with parameters whose
 * values are tokens or quoted strings that hold a token.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import { tokenCharacter } from "./internal/token.ts"

/**
 * An extension as a header names it. A parameter without a value has `undefined`. Order and repetition are kept, since a
 * parameter that comes twice is a fault of the offer (RFC 7692 section 7.1).
 *
 * @category models
 * @since 0.1.0
 */
export interface Extension {
  readonly name: string
  readonly parameters: ReadonlyArray<readonly [name: string, value: string | undefined]>
}

/**
 * Reads the header, or `None` if it is not of its grammar. Empty list elements are skipped (RFC 9110 section 5.6.1). Takes a
 * time that grows with the length of the header alone.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (header: string): Option.Option<ReadonlyArray<Extension>> => {
  let at = 0
  const space = () => {
    while (header[at] === " " || header[at] === "\t") at++
  }
  /** The character, with the white space about it, if it is next. */
  const take = (character: string): boolean => {
    space()
    if (header[at] !== character) return false
    at++
    space()
    return true
  }
  /** A token, or the empty string. */
  const token = (): string => {
    const start = at
    while (at < header.length && tokenCharacter.test(header[at]!)) at++
    return header.slice(start, at)
  }
  /** A quoted string whose value is a token (section 9.1), or the empty string. */
  const quoted = (): string => {
    let value = ""
    for (at++; at < header.length && header[at] !== '"'; at++) {
      if (header[at] === "\\") at++
      if (at === header.length || !tokenCharacter.test(header[at]!)) return ""
      value += header[at]!
    }
    if (at === header.length) return ""
    at++
    return value
  }

  const extensions: Array<Extension> = []
  space()
  while (at < header.length) {
    if (take(",")) continue
    const name = token()
    if (name === "") return Option.none()
    const parameters: Array<readonly [string, string | undefined]> = []
    while (take(";")) {
      const parameter = token()
      if (parameter === "") return Option.none()
      let value: string | undefined
      if (take("=")) {
        value = header[at] === '"' ? quoted() : token()
        if (value === "") return Option.none()
      }
      parameters.push([parameter, value])
    }
    extensions.push({ name, parameters })
    if (at < header.length && !take(",")) return Option.none()
  }
  return Option.some(extensions)
}

/**
 * Writes one extension.
 *
 * @category encoding
 * @since 0.1.0
 */
export const format = (extension: Extension): string =>
  [
    extension.name,
    ...extension.parameters.map(([name, value]) => (value === undefined ? name : `${name}=${value}`))
  ].join("; ")
