import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { type Attribute, format, matches, ordered, parse } from "../../src/protocol/internal/distinguishedName.ts"

const name = (...attributes: ReadonlyArray<readonly [type: string, value: string]>): ReadonlyArray<Attribute> =>
  attributes.map(([type, value]) => ({ type, value }))

const server = name(["CN", "www.server.com"], ["OU", "test"], ["C", "US"], ["E", "support@server.com"])

describe("a distinguished name", () => {
  it("has the common name first and the email address last, the rest from the most specific to the country", () => {
    const held = name(
      ["2.5.4.6", "US"],
      ["1.2.840.113549.1.9.1", "support@server.com"],
      ["2.5.4.3", "www.server.com"],
      ["2.5.4.11", "test"]
    )
    assert.deepStrictEqual(ordered(held), server)
    assert.strictEqual(format(server), "CN=www.server.com, OU=test, C=US, E=support@server.com")
    assert.deepStrictEqual(ordered(name(["1.2.3", "x"])), name(["1.2.3", "x"]))
  })

  it("has values in quotes that would be read as something else", () => {
    for (const [value, written] of [
      ["a, b", '"a, b"'],
      ['say "hi"', '"say ""hi"""'],
      ["a=b", '"a=b"'],
      ["a;b", '"a;b"'],
      [" a", '" a"'],
      ["a ", '"a "'],
      ["a b", "a b"],
      ["", ""]
    ] as const) {
      assert.strictEqual(format(name(["CN", value])), `CN=${written}`)
    }
  })

  it("is read however people write it", () => {
    for (const text of [
      "CN=www.server.com, OU=test, C=US, E=support@server.com",
      "cn = www.server.com,ou=test ,  Country=US,emailAddress=support@server.com",
      '2.5.4.3=www.server.com,2.5.4.11="test",C=US,1.2.840.113549.1.9.1=support@server.com'
    ]) {
      assert.deepStrictEqual(parse(text), server)
    }
    assert.deepStrictEqual(parse("ST=Texas, GN=A, 1.2.3=x"), name(["S", "Texas"], ["G", "A"], ["1.2.3", "x"]))
  })

  it("is none if it is no list, or has a type that nobody knows", () => {
    for (const text of [
      "CN",
      "CN=a; O=b=c, X",
      "XY=a",
      "CN=a, XY=b",
      'CN="a',
      'CN="a"b',
      'CN=a"b"',
      "=a",
      "CN=a O=b,,"
    ]) {
      assert.isUndefined(parse(text), text)
    }
  })

  it("matches in any order, writing and case, whole and not in part", () => {
    for (const text of [
      "CN=www.server.com, OU=test, C=US, E=support@server.com",
      'c="us", email=SUPPORT@server.com, ou=Test, CommonName=WWW.server.com'
    ]) {
      assert.isTrue(matches(server, text), text)
    }
    for (const text of [
      "",
      "CN=www.server.com",
      "CN=www.server.com, OU=test, C=US",
      "CN=www.server.com, OU=test, C=US, E=support@server.com, O=more",
      "CN=www.server.com, OU=test, C=US, E=support@server.com, C=US",
      "CN=www.server.org, OU=test, C=US, E=support@server.com",
      "CN=test, OU=www.server.com, C=US, E=support@server.com",
      "no list"
    ]) {
      assert.isFalse(matches(server, text), text)
    }
    assert.isFalse(matches([], ""))
  })

  it("of one attribute is not another of several, whatever its value", () => {
    assert.isFalse(matches(name(["1.2.3", "a\n1.2.4=b"]), "1.2.3=a, 1.2.4=b"))
    assert.isTrue(matches(name(["1.2.3", "a\n1.2.4=b"]), '1.2.3="a\n1.2.4=b"'))
  })

  const value = Arbitrary.map(
    Arbitrary.array(Arbitrary.schema(Schema.Literals(["a", "B", "é", " ", ",", '"', "=", "\n", "+", ";"])), {
      maxLength: 6
    }),
    (parts) => parts.join("")
  )
  const attribute = Arbitrary.map(
    Arbitrary.all([Arbitrary.schema(Schema.Literals(["CN", "O", "OU", "E", "1.2.3"])), value]),
    ([type, value]): Attribute => ({ type, value })
  )
  it.prop(
    "is read as it was written, whatever its values",
    [Arbitrary.array(attribute, { minLength: 1, maxLength: 4 })],
    ([attributes]) => {
      assert.deepStrictEqual(parse(format(attributes)), attributes)
      assert.isTrue(matches(attributes.toReversed(), format(attributes)))
    }
  )
})
