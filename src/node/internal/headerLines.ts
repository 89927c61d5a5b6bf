/**
 * The header lines of a head that is written: a line for each value of each header. Who gave them is ourselves or the application: a bad
 * one is a defect.
 */
import * as Http from "node:http"
import type { ResponseHeaders } from "../../protocol/OpeningHandshake.ts"

/** What the lines are made of is held to it. */
export const encoding = "latin1"

export const make = (headers: ResponseHeaders): string => {
  let lines = ""
  for (const name in headers) {
    Http.validateHeaderName(name)
    const value = headers[name]!
    for (const one of typeof value === "string" ? [value] : value) {
      Http.validateHeaderValue(name, one)
      lines += `${name}: ${one}\r\n`
    }
  }
  return lines
}
