/** Opening handshakes to test with. */
import * as Result from "effect/Result"
import * as OpeningHandshake from "../../src/protocol/OpeningHandshake.ts"

/** The RFC's own (section 1.3). */
export const key = OpeningHandshake.Key.make("dGhlIHNhbXBsZSBub25jZQ==")

type Headers = Readonly<Record<string, string | undefined>>

/** A good request, but for what is given; a header that is `undefined` is missing. */
export const request = (
  headers: Headers = {},
  fields: Partial<Omit<typeof OpeningHandshake.RequestFields.Type, "headers">> = {}
): OpeningHandshake.Request => {
  const all: Headers = {
    host: "server.example.com",
    upgrade: "websocket",
    connection: "Upgrade",
    "sec-websocket-key": key,
    "sec-websocket-version": "13",
    ...headers
  }
  return new OpeningHandshake.Request({
    method: "GET",
    target: "/chat",
    httpVersion: "1.1",
    ...fields,
    headers: Object.fromEntries(
      Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
    )
  })
}

export const accepted = (
  headers: Headers = {},
  policy?: OpeningHandshake.Policy,
  fields?: Parameters<typeof request>[1]
): OpeningHandshake.Acceptance => Result.getOrThrow(OpeningHandshake.negotiate(request(headers, fields), policy))

export const refused = (
  headers: Headers = {},
  policy?: OpeningHandshake.Policy,
  fields?: Parameters<typeof request>[1]
): OpeningHandshake.Refusal =>
  Result.getOrThrow(Result.flip(OpeningHandshake.negotiate(request(headers, fields), policy)))
