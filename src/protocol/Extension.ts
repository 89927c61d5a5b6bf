/**
 * The `Sec-WebSocket-Extensions` header (RFC 6455 section 9.1): a list of extensions, each a token with parameters whose
 * values are tokens or quoted strings that hold a token.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"

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

// RFC 9110 section 5.6.2
const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const item = new RegExp(`[ \\t]*([;,=])?[ \\t]*(?:(${token})|"((?:${token}|\\\\[!-~])*)")?[ \\t]*`, "y")

/**
 * Reads the header, or `None` if it is not of its grammar. Empty list elements are skipped (RFC 9110 section 5.6.1).
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (header: string): Option.Option<ReadonlyArray<Extension>> => {
  const out: Array<{ name: string; parameters: Array<[string, string | undefined]> }> = []
  let current: (typeof out)[number] | undefined
  let parameter: [string, string | undefined] | undefined
  item.lastIndex = 0
  while (item.lastIndex < header.length) {
    const match = item.exec(header)
    if (match === null || match[0].length === 0) return Option.none()
    const [, separator = ",", name, quoted] = match
    if (separator === "=") {
      const value = name ?? quoted?.replace(/\\(.)/g, "$1")
      if (parameter === undefined || parameter[1] !== undefined || value === undefined || value === "") {
        return Option.none()
      }
      parameter[1] = value
    } else if (separator === ";") {
      if (current === undefined || name === undefined) return Option.none()
      parameter = [name, undefined]
      current.parameters.push(parameter)
    } else {
      // two elements need a comma between them
      if (match[1] === undefined && (current !== undefined || name === undefined)) return Option.none()
      if (quoted !== undefined) return Option.none()
      parameter = undefined
      current = undefined
      if (name === undefined) continue
      current = { name, parameters: [] }
      out.push(current)
    }
  }
  return Option.some(out)
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
