import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Extension from "../../src/protocol/Extension.ts"
import { integer } from "./frames.ts"

const { format, parse } = Extension
type Parameters = Extension.Extension["parameters"]
const extension = (name: string, ...parameters: Parameters): Extension.Extension => ({ name, parameters })

const tokenCharacters = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

describe("9.1. Negotiating Extensions", () => {
  const cases: ReadonlyArray<readonly [header: string, ...extensions: ReadonlyArray<Extension.Extension>]> = [
    // the RFC's own examples
    ["foo", extension("foo")],
    ["bar; baz=2", extension("bar", ["baz", "2"])],
    ["foo, bar; baz=2", extension("foo"), extension("bar", ["baz", "2"])],
    ["deflate-stream", extension("deflate-stream")],
    [
      "mux; max-channels=4; flow-control, deflate-stream",
      extension("mux", ["max-channels", "4"], ["flow-control", undefined]),
      extension("deflate-stream")
    ],
    ["private-extension", extension("private-extension")],
    // white space
    ["foo;bar=1,baz", extension("foo", ["bar", "1"]), extension("baz")],
    [" \tfoo \t; \tbar \t= \t1 \t, \tbaz \t", extension("foo", ["bar", "1"]), extension("baz")],
    // quoted strings
    ['foo; bar="1"', extension("foo", ["bar", "1"])],
    ['foo; bar = "a.b" ; baz', extension("foo", ["bar", "a.b"], ["baz", undefined])],
    ['foo; bar="\\1\\0"', extension("foo", ["bar", "10"])],
    // empty elements
    [""],
    [","],
    [" \t"],
    [" , ,\t,"],
    [",foo", extension("foo")],
    ["foo,", extension("foo")],
    [", ,foo,, ,bar;a=1,,", extension("foo"), extension("bar", ["a", "1"])],
    // order and repetition
    ["foo; a; a=1; a, foo", extension("foo", ["a", undefined], ["a", "1"], ["a", undefined]), extension("foo")],
    [
      `${tokenCharacters}; ${tokenCharacters}=${tokenCharacters}`,
      extension(tokenCharacters, [tokenCharacters, tokenCharacters])
    ]
  ]
  for (const [header, ...extensions] of cases) {
    it(`${JSON.stringify(header)} names ${extensions.length} extensions`, () => {
      assert.deepStrictEqual(parse(header), Option.some(extensions))
    })
  }

  for (const header of [
    ";",
    "=",
    '"foo"',
    ", ;",
    ",=",
    ";foo",
    "=foo",
    "foo bar",
    "foo; bar baz",
    "foo; bar=1 2",
    "foo; bar=1 baz",
    "foo;",
    "foo; ",
    "foo; ;bar",
    "foo; bar;",
    "foo;, bar",
    "foo=1",
    "foo; bar=",
    "foo; bar=,baz",
    "foo; bar=;baz",
    "foo; bar==1",
    "foo; bar=1=2",
    "foo; =1",
    'foo; bar=""',
    'foo; bar="',
    'foo; bar="1',
    'foo; bar="1\\"',
    'foo; bar="1\\',
    'foo; bar="1" "2"',
    'foo; bar="1"2',
    'foo; bar=1"2"',
    'foo; "bar"',
    'foo; "bar"=1',
    'foo; bar="a b"',
    'foo; bar="a,b"',
    'foo "bar"',
    'foo, "bar"',
    "foo/bar",
    "foo; b(r",
    "foo; bar=b@z",
    "foo\n",
    "foo\r\nbar",
    "foo; bar=\u00e9",
    "\u00e9",
    "foo\0"
  ]) {
    it(`${JSON.stringify(header)} is malformed`, () => {
      assert.deepStrictEqual(parse(header), Option.none())
    })
  }

  for (const header of [
    'foo; bar="\\,"',
    'foo; bar="a\\;b"',
    'foo; bar="\\""',
    'foo; bar="a\\\\b"',
    'foo; bar="\\="'
  ]) {
    it(`${header} is malformed: the value after unescaping must be a token`, () => {
      assert.deepStrictEqual(parse(header), Option.none())
    })
  }

  for (const [name, make] of [
    ["an open quoted string", (n: number) => `foo; bar="${"a".repeat(n)}`],
    ["an open quoted string of escapes", (n: number) => `foo; bar="${"\\a".repeat(n)}`],
    ["an open quoted string with a bad end", (n: number) => `foo; bar="${"a".repeat(n)}@"`],
    ["white space", (n: number) => `foo${" ".repeat(n)}@`],
    ["empty elements", (n: number) => ", ".repeat(n)],
    ["parameters", (n: number) => `foo${"; a=1".repeat(n)}@`]
  ] as const) {
    it(`${name} of any length is read in a time that grows with its length alone`, () => {
      const time = (n: number) => {
        const started = performance.now()
        parse(make(n))
        return performance.now() - started
      }
      // a time that doubles with each character is a second at 28, and an age at the most that a header holds
      assert.isBelow(time(28), 200)
      assert.isBelow(time(16_000), 200)
    })
  }

  const token = Arbitrary.map(
    Arbitrary.array(integer(0, tokenCharacters.length - 1), { minLength: 1, maxLength: 12 }),
    (indices) => indices.map((i) => tokenCharacters[i]).join("")
  )
  const parameter = Arbitrary.map(
    Arbitrary.all([token, token, Arbitrary.schema(Schema.Boolean)]),
    ([name, value, has]): Parameters[number] => [name, has ? value : undefined]
  )
  const extensions = Arbitrary.array(
    Arbitrary.map(Arbitrary.all([token, Arbitrary.array(parameter, { maxLength: 4 })]), ([name, parameters]) =>
      extension(name, ...parameters)
    ),
    { maxLength: 4 }
  )

  it.prop(
    "reading what was written gives any extensions back",
    [extensions],
    ([extensions]) => {
      assert.deepStrictEqual(parse(extensions.map(format).join(", ")), Option.some(extensions))
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "quoting and escaping a value, and white space about it, change nothing",
    [extensions],
    ([extensions]) => {
      const header = extensions
        .map(({ name, parameters }) =>
          [
            name,
            ...parameters.map(([name, value]) =>
              value === undefined ? name : `${name} = "${value.replaceAll(/./g, "\\$&")}"`
            )
          ].join("\t; ")
        )
        .join(" ,, ")
      assert.deepStrictEqual(parse(header), Option.some(extensions))
    },
    { arbitrary: { runs: 500 } }
  )

  const soup = Arbitrary.array(
    Arbitrary.schema(Schema.Literals(["a", "b", ",", ";", "=", " ", "\t", '"', "\\", "@"])),
    { maxLength: 16 }
  )
  it.prop(
    "whatever text is taken is of the grammar: written again and read it is the same",
    [soup],
    ([pieces]) => {
      const parsed = parse(pieces.join(""))
      if (Option.isNone(parsed)) return
      for (const { name, parameters } of parsed.value) {
        for (const text of [
          name,
          ...parameters.flatMap(([name, value]) => (value === undefined ? [name] : [name, value]))
        ]) {
          assert.match(text, /^[ab]+$/)
        }
      }
      assert.deepStrictEqual(parse(parsed.value.map(format).join(", ")), parsed)
    },
    { arbitrary: { runs: 5000 } }
  )
})
