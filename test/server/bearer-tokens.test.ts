import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Result } from "effect"
import { createHash } from "node:crypto"
import * as BearerTokens from "../../src/server/BearerTokens.ts"

const digest = (token: string) => createHash("sha256").update(token).digest("hex")
const hexToken = digest("a token of openssl rand -hex 32")
const verify = (self: BearerTokens.BearerTokens, token: string) => self.verify(Redacted.make(token))

describe("BearerTokens", () => {
  it.effect("knows tokens by their digest or as they are, each with its name", () =>
    Effect.gen(function* () {
      const text = [
        "# tokens",
        `sha256:${digest("ann-has-this-token")} ann`,
        `SHA256:${digest("the-token-of-ci").toUpperCase()}  -`,
        "plain:bobs-own-token-1234 bob of ops",
        "a-token-without-a-name==",
        `plain:${hexToken}`,
        `${hexToken}0`,
        "16-characters-it",
        ""
      ].join("\r\n")
      const self = yield* BearerTokens.make(Result.getOrThrow(BearerTokens.parse(text)))
      for (const [token, subject] of [
        ["ann-has-this-token", "ann"],
        ["the-token-of-ci", undefined],
        ["bobs-own-token-1234", "bob of ops"],
        ["a-token-without-a-name==", undefined],
        [hexToken, undefined],
        [`${hexToken}0`, undefined],
        ["16-characters-it", undefined]
      ] as const) {
        assert.deepStrictEqual(yield* verify(self, token), { subject })
      }
      for (const token of [
        digest("ann-has-this-token"),
        "ann-has-this-tokem",
        "bobs-own-token-123",
        "plain:bobs-own-token-1234",
        digest("a-token-without-a-name=="),
        ""
      ]) {
        assert.strictEqual((yield* Effect.flip(verify(self, token))).kind, "credentialsWrong")
      }
    })
  )

  it("refuses what could be read in two ways, and what is no token, by its line", () => {
    for (const [line, says] of [
      [hexToken, "plain: or sha256:"],
      ["sha256:abc", "64 hexadecimal"],
      [`sha256:${hexToken}0`, "64 hexadecimal"],
      [`sha256:x${hexToken}`, "64 hexadecimal"],
      ["short", "16 characters"],
      ["plain:with/€/1234567890", "letters"],
      ["a-token-1234567890 na\u0007me", "control"]
    ] as const) {
      const result = BearerTokens.parse(`# one\n${line}`)
      if (Result.isSuccess(result)) return assert.fail(line)
      assert.strictEqual(result.failure.line, 2)
      assert.include(result.failure.message, says)
      assert.notInclude(result.failure.message, line)
    }
  })

  it("does not show what it has read", () => {
    assert.notInclude(JSON.stringify(BearerTokens.parse("a-token-1234567890 ann")), "a-token")
  })
})
