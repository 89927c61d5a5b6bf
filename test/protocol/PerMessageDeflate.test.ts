import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Extension from "../../src/protocol/Extension.ts"
import * as PerMessageDeflate from "../../src/protocol/PerMessageDeflate.ts"
import { integer } from "./frames.ts"

const { accept, confirm, offer } = PerMessageDeflate
type Policy = PerMessageDeflate.Policy
type Agreement = PerMessageDeflate.Agreement

const read = (header: string) => Option.getOrThrow(Extension.parse(header))
const accepted = (header: string, policy: Policy = { contextTakeover: true }) => accept(read(header), policy)
const response = (header: string, policy?: Policy) =>
  Option.getOrUndefined(Option.map(accepted(header, policy), ({ response }) => response))
const agreement = (header: string, policy?: Policy) =>
  Option.getOrUndefined(Option.map(accepted(header, policy), ({ agreement }) => agreement))
const confirmed = (header: string, policy: Policy = { contextTakeover: true }) => confirm(read(header)[0]!, policy)

const plain: Agreement = {
  serverNoContextTakeover: false,
  clientNoContextTakeover: false,
  serverMaxWindowBits: 15,
  clientMaxWindowBits: 15
}

/** Values that are no window: out of range, with leading zeros or signs, or no decimal number. */
const badWindows = ["7", "16", "0", "08", "015", "8.0", "1e1", "+9", "-9", "0xa", "ten", "100"]
const windows = [8, 9, 10, 11, 12, 13, 14, 15]

describe("a setting", () => {
  const { wanted } = PerMessageDeflate

  it("is a policy, none, or all defaults", () => {
    const policy: Policy = {
      contextTakeover: true,
      level: 1,
      serverMaxWindowBits: 9,
      clientMaxWindowBits: 15,
      threshold: 0
    }
    assert.strictEqual(wanted(policy), policy)
    assert.deepStrictEqual(wanted(true), {})
    assert.isUndefined(wanted(false))
    assert.isUndefined(wanted(undefined))
  })

  it.each<[Policy, string]>([
    [{ level: 0 }, "compression.level: expected a whole number from 1 to 9; got 0"],
    [{ serverMaxWindowBits: 16 }, "compression.serverMaxWindowBits: expected a whole number from 9 to 15; got 16"],
    [{ clientMaxWindowBits: 8 }, "compression.clientMaxWindowBits: expected a whole number from 9 to 15; got 8"],
    [{ threshold: -1 }, "compression.threshold: expected a number from 0 on; got -1"]
  ])("that cannot be is told: %j", (policy, message) => {
    assert.throws(() => wanted(policy), RangeError, message)
  })
})

describe("RFC 7692 7.1. Negotiation: what the server answers", () => {
  for (const [header, policy, expected, agreed] of [
    ["permessage-deflate", { contextTakeover: true }, "permessage-deflate", plain],
    [
      "permessage-deflate",
      {},
      "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
      { ...plain, serverNoContextTakeover: true, clientNoContextTakeover: true }
    ],
    // 7.1.1.1 and 7.1.1.2
    [
      "permessage-deflate; server_no_context_takeover",
      { contextTakeover: true },
      "permessage-deflate; server_no_context_takeover",
      { ...plain, serverNoContextTakeover: true }
    ],
    [
      "permessage-deflate; client_no_context_takeover",
      { contextTakeover: true },
      "permessage-deflate; client_no_context_takeover",
      { ...plain, clientNoContextTakeover: true }
    ],
    // 7.1.2.1: what was asked for is answered, be it the default
    [
      "permessage-deflate; server_max_window_bits=15",
      { contextTakeover: true },
      "permessage-deflate; server_max_window_bits=15",
      plain
    ],
    [
      "permessage-deflate; server_max_window_bits=12",
      { contextTakeover: true, serverMaxWindowBits: 10 },
      "permessage-deflate; server_max_window_bits=10",
      { ...plain, serverMaxWindowBits: 10 }
    ],
    [
      "permessage-deflate; server_max_window_bits=10",
      { contextTakeover: true, serverMaxWindowBits: 12 },
      "permessage-deflate; server_max_window_bits=10",
      { ...plain, serverMaxWindowBits: 10 }
    ],
    [
      "permessage-deflate",
      { contextTakeover: true, serverMaxWindowBits: 9 },
      "permessage-deflate; server_max_window_bits=9",
      { ...plain, serverMaxWindowBits: 9 }
    ],
    // 7.1.2.2: the client's window is answered only if the client named it
    ["permessage-deflate", { contextTakeover: true, clientMaxWindowBits: 10 }, "permessage-deflate", plain],
    ["permessage-deflate; client_max_window_bits", { contextTakeover: true }, "permessage-deflate", plain],
    [
      "permessage-deflate; client_max_window_bits",
      { contextTakeover: true, clientMaxWindowBits: 10 },
      "permessage-deflate; client_max_window_bits=10",
      { ...plain, clientMaxWindowBits: 10 }
    ],
    [
      "permessage-deflate; client_max_window_bits=12",
      { contextTakeover: true, clientMaxWindowBits: 10 },
      "permessage-deflate; client_max_window_bits=10",
      { ...plain, clientMaxWindowBits: 10 }
    ],
    [
      "permessage-deflate; client_max_window_bits=10",
      { contextTakeover: true, clientMaxWindowBits: 12 },
      "permessage-deflate; client_max_window_bits=10",
      { ...plain, clientMaxWindowBits: 10 }
    ],
    // all of them, quoted too
    [
      'permessage-deflate; client_max_window_bits="11"; server_max_window_bits="10"; client_no_context_takeover; server_no_context_takeover',
      { contextTakeover: true },
      "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=11",
      { serverNoContextTakeover: true, clientNoContextTakeover: true, serverMaxWindowBits: 10, clientMaxWindowBits: 11 }
    ]
  ] as const) {
    it(`${header} under ${JSON.stringify(policy)}`, () => {
      assert.deepStrictEqual([response(header, policy), agreement(header, policy)], [expected, agreed])
    })
  }

  it("each window of 9 to 15 bits is taken; one of 8 is declined for the server, who cannot make it", () => {
    for (const bits of windows) {
      const server = response(`permessage-deflate; server_max_window_bits=${bits}`)
      assert.strictEqual(server, bits === 8 ? undefined : `permessage-deflate; server_max_window_bits=${bits}`)
      const client = agreement(`permessage-deflate; client_max_window_bits=${bits}`)
      assert.strictEqual(client?.clientMaxWindowBits, bits)
    }
  })

  for (const [why, ...offers] of [
    ["an unknown parameter", "unknown", "unknown=1", "Server_No_Context_Takeover", "server_max_window_bits=10; x"],
    ["a parameter twice", "server_no_context_takeover; server_no_context_takeover"],
    ["a parameter twice, with one value", "server_max_window_bits=10; server_max_window_bits=10"],
    ["a parameter twice, with and without a value", "client_max_window_bits; client_max_window_bits=10"],
    ["a value where there is none", "server_no_context_takeover=1", "client_no_context_takeover=true"],
    ["no value where there must be one", "server_max_window_bits"],
    ["a server's window that is none", ...badWindows.map((bits) => `server_max_window_bits=${bits}`)],
    ["a client's window that is none", ...badWindows.map((bits) => `client_max_window_bits=${bits}`)]
  ] as const) {
    it(`an offer with ${why} is declined`, () => {
      for (const parameters of offers) {
        for (const policy of [{}, { contextTakeover: true }]) {
          assert.strictEqual(response(`permessage-deflate; ${parameters}`, policy), undefined, parameters)
        }
      }
    })
  }

  it("the first offer that can be met is taken, whatever stands around it (section 5.1)", () => {
    const takes = (header: string) => response(header, { contextTakeover: true })
    assert.strictEqual(takes("permessage-deflate; server_max_window_bits=8, permessage-deflate"), "permessage-deflate")
    assert.strictEqual(
      takes("x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=9, permessage-deflate"),
      "permessage-deflate; server_max_window_bits=9"
    )
    assert.strictEqual(
      takes("permessage-deflate; unknown, permessage-deflate; server_no_context_takeover, foo"),
      "permessage-deflate; server_no_context_takeover"
    )
    assert.strictEqual(takes("permessage-deflate, permessage-deflate; server_max_window_bits=9"), "permessage-deflate")
  })

  it("without such an offer it has none", () => {
    for (const header of ["", "foo", "permessage-bzip2", "Permessage-Deflate", "permessage-deflate; x, foo; bar"]) {
      assert.strictEqual(response(header), undefined, header)
    }
  })
})

describe("RFC 7692 7.1. Negotiation: what the client offers", () => {
  for (const [policy, expected] of [
    [{ contextTakeover: true }, "permessage-deflate; client_max_window_bits"],
    [{}, "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits"],
    [
      { contextTakeover: true, serverMaxWindowBits: 10 },
      "permessage-deflate; server_max_window_bits=10; client_max_window_bits"
    ],
    [{ contextTakeover: true, clientMaxWindowBits: 10 }, "permessage-deflate; client_max_window_bits=10"],
    [
      { contextTakeover: true, serverMaxWindowBits: 15, clientMaxWindowBits: 15 },
      "permessage-deflate; client_max_window_bits"
    ]
  ] as const) {
    it(`under ${JSON.stringify(policy)}`, () => {
      assert.strictEqual(offer(policy), expected)
    })
  }
})

describe("RFC 7692 7.1. Negotiation: what the client takes for an answer", () => {
  const takes = (header: string, policy?: Policy) => Option.getOrUndefined(confirmed(header, policy))

  it("nothing but permessage-deflate is one", () => {
    assert.deepStrictEqual(takes("permessage-deflate"), plain)
    assert.strictEqual(takes("permessage-bzip2"), undefined)
    assert.strictEqual(takes("Permessage-Deflate"), undefined)
  })

  it("the server must grant its own part of no context takeover, and the client keeps its own", () => {
    const policy = { contextTakeover: false }
    assert.strictEqual(takes("permessage-deflate", policy), undefined)
    assert.strictEqual(takes("permessage-deflate; client_no_context_takeover", policy), undefined)
    for (const either of [policy, {}]) {
      assert.deepStrictEqual(takes("permessage-deflate; server_no_context_takeover", either), {
        ...plain,
        serverNoContextTakeover: true,
        clientNoContextTakeover: true
      })
    }
  })

  it("a client that was not told takes a server's context, and does without its own", () => {
    assert.deepStrictEqual(takes("permessage-deflate", {}), { ...plain, clientNoContextTakeover: true })
  })

  it("a server may do without context takeover that was not asked to, and ask the client to (7.1.1)", () => {
    assert.deepStrictEqual(takes("permessage-deflate; server_no_context_takeover"), {
      ...plain,
      serverNoContextTakeover: true
    })
    assert.deepStrictEqual(takes("permessage-deflate; client_no_context_takeover"), {
      ...plain,
      clientNoContextTakeover: true
    })
  })

  it("the server's window is at most the one demanded, and named if that is not the largest (7.1.2.1)", () => {
    for (const demanded of windows.slice(1)) {
      const policy = { contextTakeover: true, serverMaxWindowBits: demanded }
      for (const bits of windows) {
        const agreed = takes(`permessage-deflate; server_max_window_bits=${bits}`, policy)
        assert.deepStrictEqual(agreed, bits <= demanded ? { ...plain, serverMaxWindowBits: bits } : undefined)
      }
      assert.deepStrictEqual(takes("permessage-deflate", policy), demanded === 15 ? plain : undefined)
    }
  })

  it("the client's window is the smaller of what it offers and what it is told, if it can make that (7.1.2.2)", () => {
    assert.strictEqual(takes("permessage-deflate; client_max_window_bits=8"), undefined)
    for (const bits of windows.slice(1)) {
      assert.deepStrictEqual(takes(`permessage-deflate; client_max_window_bits=${bits}`), {
        ...plain,
        clientMaxWindowBits: bits
      })
      const offered = takes("permessage-deflate", { contextTakeover: true, clientMaxWindowBits: bits })
      assert.deepStrictEqual(offered, { ...plain, clientMaxWindowBits: bits })
    }
    const policy = { contextTakeover: true, clientMaxWindowBits: 12 }
    assert.strictEqual(takes("permessage-deflate; client_max_window_bits=10", policy)?.clientMaxWindowBits, 10)
    assert.strictEqual(takes("permessage-deflate; client_max_window_bits=12", policy)?.clientMaxWindowBits, 12)
    for (const bits of [13, 15]) {
      assert.strictEqual(takes(`permessage-deflate; client_max_window_bits=${bits}`, policy), undefined)
    }
  })

  for (const parameters of [
    "unknown",
    "server_no_context_takeover=1",
    "client_no_context_takeover=1",
    "server_max_window_bits",
    // in an answer it has a value
    "client_max_window_bits",
    "server_no_context_takeover; server_no_context_takeover",
    "server_max_window_bits=10; server_max_window_bits=11",
    ...badWindows.flatMap((bits) => [`server_max_window_bits=${bits}`, `client_max_window_bits=${bits}`])
  ]) {
    it(`${parameters} is no legal answer`, () => {
      assert.strictEqual(takes(`permessage-deflate; ${parameters}`), undefined)
    })
  }
})

describe("RFC 7692 7.1. Negotiation: both sides", () => {
  const optional = <A>(arbitrary: Arbitrary.Arbitrary<A>) =>
    Arbitrary.flatMap(Arbitrary.schema(Schema.Boolean), (has): Arbitrary.Arbitrary<A | undefined> =>
      has ? arbitrary : Arbitrary.Constant(undefined)
    )
  const policy: Arbitrary.Arbitrary<Policy> = Arbitrary.all({
    contextTakeover: optional(Arbitrary.schema(Schema.Boolean)),
    serverMaxWindowBits: optional(integer(9, 15)),
    clientMaxWindowBits: optional(integer(9, 15))
  })

  it.prop(
    "any two policies come to an agreement, the same for both, within what each wants",
    [policy, policy],
    ([client, server]) => {
      const accepted = Option.getOrThrow(accept(read(offer(client)), server))
      const answer = read(accepted.response)
      assert.strictEqual(answer.length, 1)
      assert.deepStrictEqual(confirm(answer[0]!, client), Option.some(accepted.agreement))
      for (const side of [client, server]) {
        assert.isAtMost(accepted.agreement.serverMaxWindowBits, side.serverMaxWindowBits ?? 15)
        assert.isAtMost(accepted.agreement.clientMaxWindowBits, side.clientMaxWindowBits ?? 15)
        if (side.contextTakeover !== true) {
          assert.isTrue(accepted.agreement.serverNoContextTakeover && accepted.agreement.clientNoContextTakeover)
        }
      }
    },
    { arbitrary: { runs: 1000 } }
  )

  const parameter = Arbitrary.map(
    Arbitrary.all([
      Arbitrary.schema(
        Schema.Literals([
          "server_no_context_takeover",
          "client_no_context_takeover",
          "server_max_window_bits",
          "client_max_window_bits",
          "x"
        ])
      ),
      optional(Arbitrary.schema(Schema.Literals(["8", "9", "12", "15", "16", "09"])))
    ]),
    ([name, value]) => [name, value] as const
  )
  it.prop(
    "whatever is offered, the answer asks for no more than the offer allows",
    [Arbitrary.array(parameter, { maxLength: 5 }), policy],
    ([parameters, policy]) => {
      const header = Extension.format({ name: PerMessageDeflate.name, parameters })
      const offered = new Map(parameters)
      const result = Option.getOrUndefined(accept(read(header), policy))
      if (result === undefined) return
      assert.strictEqual(offered.size, parameters.length)
      const answered = new Map(read(result.response)[0]!.parameters)
      if (offered.has("server_no_context_takeover")) assert.isTrue(answered.has("server_no_context_takeover"))
      if (answered.has("client_max_window_bits")) assert.isTrue(offered.has("client_max_window_bits"))
      assert.isAtMost(
        Number(answered.get("client_max_window_bits") ?? 0),
        Number(offered.get("client_max_window_bits") ?? 15)
      )
      assert.isAtMost(result.agreement.serverMaxWindowBits, Number(offered.get("server_max_window_bits") ?? 15))
      assert.strictEqual(Number(answered.get("server_max_window_bits") ?? 15), result.agreement.serverMaxWindowBits)
      assert.isAtLeast(result.agreement.serverMaxWindowBits, 9)
    },
    { arbitrary: { runs: 1000 } }
  )
})
