/**
 * The answer to a request that is refused, as bytes.
 */
import { assert, describe, it } from "@effect/vitest"
import { Refusal } from "../../src/protocol/OpeningHandshake.ts"
import { response } from "../../src/node/internal/upgrade.ts"

const written = (refusal: ConstructorParameters<typeof Refusal>[0]): string =>
  Buffer.from(response(new Refusal(refusal))).toString("latin1")

describe("a refusal", () => {
  it("says why in a line of text, whose length it tells", () => {
    assert.strictEqual(
      written({ status: 404, reason: "not here" }),
      "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 9\r\n\r\nnot here\n"
    )
  })

  it.each([204, 304])("of %i has no body, and says nothing of one (RFC 9110 sections 15.3.5 and 15.4.5)", (status) => {
    assert.match(written({ status, reason: "x" }), /^HTTP\/1\.1 \d+ [\w ]+\r\nconnection: close\r\n\r\n$/)
  })

  it("of 205 has none, and says so (RFC 9110 section 15.3.6)", () => {
    assert.strictEqual(
      written({ status: 205, reason: "x" }),
      "HTTP/1.1 205 Reset Content\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    )
  })
})
