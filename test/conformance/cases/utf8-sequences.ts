/**
 * Octet sequences that are UTF-8 and that are not (RFC 3629; The Unicode Standard, table 3-7).
 */
export interface Sequence {
  readonly title: string
  readonly octets: Buffer
}

const hex = (octets: string): Buffer => Buffer.from(octets.replaceAll(" ", ""), "hex")

const named = (title: string, octets: string): Sequence => ({ title: `${title}: ${octets}`, octets: hex(octets) })

const upper = (value: number, width: number): string => value.toString(16).toUpperCase().padStart(width, "0")

const codePoints = (from: number, to: number): Array<number> =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i)

const encoded = (title: string, ...points: ReadonlyArray<number>): Sequence => ({
  title: `${title}${points.map((point) => ` U+${upper(point, 4)}`).join("")}`,
  octets: Buffer.from(String.fromCodePoint(...points))
})

/** How UTF-8 would write `value` in `length` octets, fitting or not: overlong forms, surrogates, the five and six octets. */
const spread = (value: number, length: number): string => {
  const lead = [0, 0, 0xc0, 0xe0, 0xf0, 0xf8, 0xfc][length] ?? 0
  const out = [lead | Math.floor(value / 64 ** (length - 1))]
  for (let i = length - 2; i >= 0; i--) out.push(0x80 | (Math.floor(value / 64 ** i) % 64))
  return out.map((octet) => upper(octet, 2)).join(" ")
}

export const KOSME = Buffer.from("κόσμε")

const LAST_OF_PLANES = codePoints(0, 16).flatMap((plane) => [plane * 0x10000 + 0xfffe, plane * 0x10000 + 0xffff])

export const VALID: ReadonlyArray<readonly [family: string, members: ReadonlyArray<Sequence>]> = [
  [
    "texts",
    [
      { title: "an ASCII text", octets: Buffer.from("Hello, world!") },
      { title: "the Greek word kosme", octets: KOSME },
      { title: "a text of one to four octets a character", octets: Buffer.from("aé€😀 Ω ≈ç√∫˜µ≤ 日本語 한국어 🚀") },
      { title: "a text with a byte order mark", octets: Buffer.from("\ufeffmarked\ufeff") },
      { title: "a text with control characters", octets: Buffer.from("\0\u0001\t\r\n\u001f\u007f\u0085\u009f") }
    ]
  ],
  [
    "first and last of each length",
    [
      0x0, 0x7f, 0x80, 0x7ff, 0x800, 0xfff, 0x1000, 0xcfff, 0xd000, 0xd7ff, 0xe000, 0xfffd, 0xffff, 0x10000, 0x3ffff,
      0x40000, 0xfffff, 0x100000, 0x10fffd, 0x10ffff
    ].map((point) => encoded("the code point", point))
  ],
  ["noncharacters", LAST_OF_PLANES.map((point) => encoded("the noncharacter", point))],
  [
    "noncharacters of the Arabic block and specials",
    [
      encoded("the noncharacters", ...codePoints(0xfdd0, 0xfdef)),
      ...codePoints(0xfff9, 0xffff).map((point) => encoded("the special", point))
    ]
  ]
]

const continuations = Array.from({ length: 64 }, (_, i) => upper(0x80 + i, 2))

const lonely = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_, i) => `${upper(from + i, 2)} 20`).join(" ")

/** Sequences of each length whose last octet is missing. */
const TRUNCATED = ["C3", "DF", "E0 A0", "E2 82", "EF BF", "F0 90 80", "F0 9F 98", "F4 8F BF", "F0 9F", "E2", "F0", "F4"]

const SURROGATES = [0xd800, 0xdb7f, 0xdb80, 0xdbff, 0xdc00, 0xdf80, 0xdfff]
const PAIRS = [0xd800, 0xdb7f, 0xdb80, 0xdbff].flatMap((high) => [0xdc00, 0xdfff].map((low) => [high, low] as const))

export const INVALID: ReadonlyArray<readonly [family: string, members: ReadonlyArray<Sequence>]> = [
  [
    "unexpected continuation octets",
    [
      ...["80", "BF", "80 BF", "80 BF 80", "80 BF 80 BF", "80 BF 80 BF 80", "80 BF 80 BF 80 BF"].map((octets) =>
        named("continuation octets", octets)
      ),
      { title: "all 64 continuation octets", octets: hex(continuations.join("")) },
      named("a continuation octet too many", "C3 A9 A9"),
      named("a continuation octet too many", "E2 82 AC 80"),
      named("a continuation octet too many", "F0 9F 98 80 BF")
    ]
  ],
  [
    "lonely start octets",
    [
      ...Array.from({ length: 64 }, (_, i) => named("a start octet and a space", `${upper(0xc0 + i, 2)} 20`)),
      { title: "all start octets of two, each with a space", octets: hex(lonely(0xc0, 0xdf)) },
      { title: "all start octets of three, each with a space", octets: hex(lonely(0xe0, 0xef)) },
      { title: "all start octets of four, each with a space", octets: hex(lonely(0xf0, 0xf7)) },
      { title: "all start octets of five, each with a space", octets: hex(lonely(0xf8, 0xfb)) },
      { title: "all start octets of six, each with a space", octets: hex(lonely(0xfc, 0xfd)) }
    ]
  ],
  [
    "sequences without their end",
    [
      ...TRUNCATED.map((octets) => named("a sequence without its end", octets)),
      ...["C0", "E0 80", "F0 80 80", "F8 80 80 80", "FC 80 80 80 80", "F7 BF BF", "FB BF BF BF", "FD BF BF BF BF"].map(
        (octets) => named("an illegal sequence without its end", octets)
      ),
      named("sequences without their ends", TRUNCATED.join(" ")),
      named(
        "sequences without their ends",
        "C0 E0 80 F0 80 80 F8 80 80 80 FC 80 80 80 80 DF EF BF F7 BF BF FB BF BF BF"
      )
    ]
  ],
  ["impossible octets", ["FE", "FF", "FE FE FF FF"].map((octets) => named("impossible octets", octets))],
  [
    "overlong forms",
    [
      ...[0x00, 0x2f, 0x7f].flatMap((value) => [2, 3, 4, 5, 6].map((length) => [value, length] as const)),
      ...[0x80, 0x7ff].flatMap((value) => [3, 4, 5, 6].map((length) => [value, length] as const)),
      ...[0x800, 0xffff].flatMap((value) => [4, 5, 6].map((length) => [value, length] as const)),
      [0x1fffff, 5] as const,
      [0x1fffff, 6] as const,
      [0x3ffffff, 6] as const
    ].map(([value, length]) => named(`U+${upper(value, 4)} in ${length} octets`, spread(value, length)))
  ],
  [
    "surrogates",
    [
      ...SURROGATES.map((value) => named(`the surrogate U+${upper(value, 4)}`, spread(value, 3))),
      ...PAIRS.map(([high, low]) =>
        named(`the surrogates U+${upper(high, 4)} U+${upper(low, 4)}`, `${spread(high, 3)} ${spread(low, 3)}`)
      )
    ]
  ],
  [
    "beyond U+10FFFF",
    [
      ...[0x110000, 0x13ffff, 0x140000, 0x1fffff].map((value) => named(`U+${upper(value, 6)}`, spread(value, 4))),
      ...[0x200000, 0x3ffffff].map((value) => named(`${upper(value, 8)} in five octets`, spread(value, 5))),
      ...[0x4000000, 0x7fffffff].map((value) => named(`${upper(value, 8)} in six octets`, spread(value, 6)))
    ]
  ]
]

/** The octets that may follow the first one, per table 3-7: how many, and the range of the second. */
const shape = (first: number): { readonly length: number; readonly low: number; readonly high: number } => {
  if (first < 0x80) return { length: 1, low: 0, high: 0 }
  if (first < 0xc2 || first > 0xf4) return { length: 0, low: 0, high: 0 }
  if (first < 0xe0) return { length: 2, low: 0x80, high: 0xbf }
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
  return { length: first < 0xf0 ? 3 : 4, low, high }
}

/** The position of the first octet that no UTF-8 has there; the length when only the end is missing, or nothing. */
export const firstIllegal = (octets: Buffer): number => {
  for (let at = 0; at < octets.length;) {
    const { length, low, high } = shape(octets[at] ?? 0)
    if (length === 0) return at
    for (let i = 1; i < length && at + i < octets.length; i++) {
      const octet = octets[at + i] ?? 0
      if (octet < (i === 1 ? low : 0x80) || octet > (i === 1 ? high : 0xbf)) return at + i
    }
    at += length
  }
  return octets.length
}
