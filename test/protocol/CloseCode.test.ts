import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as CloseCode from "../../src/protocol/CloseCode.ts"
import { concat, hex, utf8 } from "./bytes.ts"
import { integer } from "./frames.ts"
import { notUtf8 } from "./sinks.ts"

const bytesOf = (code: number) => new Uint8Array([code >> 8, code & 0xff])
const failure = (payload: Uint8Array) => Result.getOrThrow(Result.flip(CloseCode.decodeStatus(payload))).kind

/** Half of a pair that is alone has no UTF-8: it is written as the replacement character. */
const wellFormed = Schema.String.pipe(Schema.check(Schema.makeFilter((text: string) => text.isWellFormed())))

describe("7.4. Status Codes", () => {
  const valid = (code: number) =>
    [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014].includes(code) ||
    (code >= 3000 && code < 5000)

  it("of 0 to 65535 those may be sent that the RFC and the IANA registry say, and 3000 to 4999", () => {
    const isCloseCode = Schema.is(CloseCode.CloseCode)
    for (let code = 0; code < 65536; code++) {
      assert.strictEqual(CloseCode.isValid(code), valid(code), `${code}`)
      if (code <= 5000) assert.strictEqual(isCloseCode(code), valid(code), `${code}`)
      const decoded = CloseCode.decodeStatus(bytesOf(code))
      if (valid(code)) assert.deepStrictEqual(decoded, Result.succeed({ code, reason: "" }))
      else assert.strictEqual(Result.getOrThrow(Result.flip(decoded)).kind, "InvalidCloseCode")
    }
  })

  it("a number that is no integer is no code", () => {
    const isCloseCode = Schema.is(CloseCode.CloseCode)
    for (const code of [1000.5, Number.NaN, Infinity, -1000, -0, 2 ** 32 + 1000, 66536]) {
      assert.isFalse(CloseCode.isValid(code), `${code}`)
      assert.isFalse(isCloseCode(code), `${code}`)
    }
  })

  it("the names have the RFC's and the registry's numbers", () => {
    const { abnormal, badGateway, goingAway, internalError, invalidPayload, messageTooBig, noStatus, normal } =
      CloseCode
    const { policyViolation, protocolError, serviceRestart, tryAgainLater, unsupportedData } = CloseCode
    assert.deepStrictEqual([normal, goingAway, protocolError, unsupportedData], [1000, 1001, 1002, 1003])
    assert.deepStrictEqual([noStatus, abnormal, invalidPayload, policyViolation], [1005, 1006, 1007, 1008])
    assert.deepStrictEqual([messageTooBig, internalError], [1009, 1011])
    assert.deepStrictEqual([serviceRestart, tryAgainLater, badGateway], [1012, 1013, 1014])
  })
})

describe("5.5.1. Close", () => {
  const status = (code: number | undefined, reason = "") => ({ code, reason })

  it("an empty payload has no code, in both directions", () => {
    assert.deepStrictEqual(CloseCode.decodeStatus(new Uint8Array(0)), Result.succeed(status(undefined)))
    assert.deepStrictEqual(CloseCode.encodeStatus(status(undefined)), new Uint8Array(0))
    // there is nowhere to put a reason
    assert.deepStrictEqual(CloseCode.encodeStatus(status(undefined, "lost")), new Uint8Array(0))
  })

  it("a payload of one byte is a fault, whatever the byte", () => {
    for (let byte = 0; byte < 256; byte++) assert.strictEqual(failure(new Uint8Array([byte])), "InvalidClosePayload")
  })

  it("a code and a reason, in both directions", () => {
    for (const [bytes, code, reason] of [
      ["03e8", 1000, ""],
      ["03e8 627965", 1000, "bye"],
      ["0bb8 c3a9e282acf09d849e", 3000, "é€𝄞"],
      ["1387 efbbbf61", 4999, "\ufeffa"],
      ["03f6 00", 1014, "\0"]
    ] as const) {
      assert.deepStrictEqual(CloseCode.decodeStatus(hex(bytes)), Result.succeed(status(code, reason)))
      assert.deepStrictEqual(CloseCode.encodeStatus(status(code, reason)), hex(bytes))
    }
  })

  it("a view of a larger buffer is read within its bounds", () => {
    const payload = hex("eeee 03e8 6f6b eeee").subarray(2, 6)
    assert.deepStrictEqual(CloseCode.decodeStatus(payload), Result.succeed(status(1000, "ok")))
  })

  for (const [name, pieces] of notUtf8) {
    it(`a reason with ${name} is a fault of its own, 1007`, () => {
      const payload = concat([hex("03e8"), utf8("ok"), hex(pieces.join(""))])
      const error = Result.getOrThrow(Result.flip(CloseCode.decodeStatus(payload)))
      assert.deepStrictEqual([error.kind, error.closeCode], ["InvalidUtf8", 1007])
    })
  }

  it("a reason that ends within a character is a fault", () => {
    for (const cut of ["c3", "e282", "f09d84"]) assert.strictEqual(failure(hex(`03e8 61 ${cut}`)), "InvalidUtf8")
  })

  it("a bad code is told before a bad reason", () => {
    assert.strictEqual(failure(hex("03ec ff")), "InvalidCloseCode")
  })

  it("a reason is cut to 123 bytes at a code point", () => {
    for (const character of ["a", "é", "€", "𝄞"]) {
      const size = utf8(character).length
      for (let lead = 0; lead <= 5; lead++) {
        for (const count of [Math.floor((123 - lead) / size), Math.floor((123 - lead) / size) + 1, 200]) {
          const reason = "x".repeat(lead) + character.repeat(count)
          const payload = CloseCode.encodeStatus(status(1000, reason))
          const fits = Math.min(count, Math.floor((123 - lead) / size))
          assert.deepStrictEqual(payload, concat([hex("03e8"), utf8("x".repeat(lead) + character.repeat(fits))]))
          assert.isAtMost(payload.length, 125)
        }
      }
    }
  })

  it("what follows a character that does not fit is cut too, even if it would fit", () => {
    const payload = CloseCode.encodeStatus(status(1000, `${"x".repeat(121)}𝄞y`))
    assert.strictEqual(payload.length, 123)
  })

  it("half a surrogate pair is written as the replacement character, so that the payload is UTF-8", () => {
    const payload = CloseCode.encodeStatus(status(1000, "a\ud834"))
    assert.deepStrictEqual(CloseCode.decodeStatus(payload), Result.succeed(status(1000, "a\ufffd")))
  })

  it.prop(
    "any code and short reason come back, and of a long one its beginning",
    [integer(3000, 4999), wellFormed, integer(1, 40)],
    ([code, text, times]) => {
      const reason = text.repeat(times)
      const decoded = Result.getOrThrow(CloseCode.decodeStatus(CloseCode.encodeStatus({ code, reason })))
      assert.strictEqual(decoded.code, code)
      if (utf8(reason).length <= 123) assert.strictEqual(decoded.reason, reason)
      else {
        assert.isTrue(reason.startsWith(decoded.reason))
        assert.isAbove(utf8(decoded.reason).length, 119)
      }
    },
    { arbitrary: { runs: 500 } }
  )
})

describe("ClosePayload", () => {
  const decode = Schema.decodeUnknownEffect(CloseCode.ClosePayload)
  const encode = Schema.encodeUnknownEffect(CloseCode.ClosePayload)

  it.effect("is the same as the functions, in both directions", () =>
    Effect.gen(function* () {
      for (const payload of ["", "03e8", "03e8 627965", "1387 e282ac"].map(hex)) {
        const status = yield* decode(payload)
        assert.deepStrictEqual(Result.succeed(status), CloseCode.decodeStatus(payload))
        assert.deepStrictEqual(yield* encode(status), payload)
      }
    })
  )

  it.effect("fails with the fault's message", () =>
    Effect.gen(function* () {
      for (const [payload, message] of [
        ["03", "one byte came"],
        ["03ed", "close code 1005 may not appear on the wire"],
        ["03e8 ff", "the close reason is not UTF-8"]
      ] as const) {
        assert.include(String(yield* Effect.flip(decode(hex(payload)))), message)
      }
    })
  )

  it.effect("does not write a code that may not be sent", () =>
    Effect.gen(function* () {
      for (const code of [0, 999, 1004, 1005, 1006, 1015, 2999, 5000]) {
        assert.include(String(yield* Effect.flip(encode({ code, reason: "" }))), "a close code that may be sent")
      }
    })
  )
})
