import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Net from "node:net"
import * as AccessList from "../../src/server/AccessList.ts"
import { integer } from "../protocol/frames.ts"

const list = (text: string | ReadonlyArray<string>) => Result.getOrThrow(AccessList.parse(text))
const matches = (text: string, client: AccessList.ClientAddress) => AccessList.matches(list(text), client)

/** What is in a list of one entry, and what is not. */
const table: ReadonlyArray<readonly [entry: string, inside: ReadonlyArray<string>, outside: ReadonlyArray<string>]> = [
  ["*", ["0.0.0.0", "192.0.2.1", "::", "2001:db8::1", "fe80::1%eth0"], []],
  // addresses
  ["192.0.2.1", ["192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201"], ["192.0.2.2", "192.0.2.10", "::192.0.2.1"]],
  ["0.0.0.0", ["0.0.0.0"], ["0.0.0.1", "::"]],
  ["255.255.255.255", ["255.255.255.255"], ["255.255.255.254"]],
  ["::ffff:192.0.2.1", ["192.0.2.1", "::ffff:192.0.2.1"], ["192.0.2.2", "::c000:201"]],
  ["::FFFF:c000:0201", ["192.0.2.1"], []],
  ["2001:db8::1", ["2001:db8::1", "2001:DB8:0:0:0:0:0:1", "2001:0db8::0001"], ["2001:db8::2", "2001:db8:0:1::1"]],
  ["2001:0DB8:0:0:0:0:0:0001", ["2001:db8::1"], []],
  ["64:ff9b::192.0.2.1", ["64:ff9b::c000:201"], ["192.0.2.1"]],
  ["[2001:db8::1]", ["2001:db8::1"], []],
  ["::1", ["::1", "::1%lo"], ["127.0.0.1", "::"]],
  ["fe80::1%eth0", ["fe80::1", "fe80::1%eth0", "fe80::1%2"], ["fe80::2%eth0"]],
  ["fe80::1", ["fe80::1", "fe80::1%eth0"], []],
  ["::ffff:192.0.2.1%eth0", ["192.0.2.1"], []],
  // networks, at the ends of their ranges
  ["0.0.0.0/0", ["0.0.0.0", "255.255.255.255", "::ffff:192.0.2.1"], ["::", "::1", "2001:db8::1"]],
  ["10.0.0.0/8", ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], ["9.255.255.255", "11.0.0.0", "2001:db8::a00:1"]],
  ["192.0.2.128/25", ["192.0.2.128", "192.0.2.255"], ["192.0.2.127", "192.0.3.0"]],
  ["192.0.2.2/31", ["192.0.2.2", "192.0.2.3"], ["192.0.2.1", "192.0.2.4"]],
  ["192.0.2.2/32", ["192.0.2.2", "::ffff:192.0.2.2"], ["192.0.2.1", "192.0.2.3"]],
  ["128.0.0.0/1", ["128.0.0.0", "255.255.255.255"], ["127.255.255.255"]],
  // what is mapped is IPv4, in the list and in the client
  ["::/0", ["::", "2001:db8::1", "ffff::"], ["0.0.0.0", "192.0.2.1", "::ffff:192.0.2.1"]],
  ["::ffff:0:0/96", ["0.0.0.0", "192.0.2.1", "::ffff:192.0.2.1"], ["::", "::fffe:0:0", "::1:0:0:0"]],
  ["::ffff:10.0.0.0/104", ["10.0.0.0", "10.255.255.255"], ["11.0.0.0"]],
  ["::ffff:192.0.2.1/128", ["192.0.2.1"], ["192.0.2.2"]],
  ["2001:db8::/32", ["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"], ["2001:db7:ffff::", "2001:db9::"]],
  ["fe80::/10", ["fe80::1%eth0", "febf::"], ["fec0::", "fe7f::"]],
  ["2001:db8::2/127", ["2001:db8::2", "2001:db8::3"], ["2001:db8::1", "2001:db8::4"]],
  ["2001:db8::2/128", ["2001:db8::2"], ["2001:db8::1", "2001:db8::3"]],
  // wildcards
  ["192.168.*", ["192.168.0.0", "192.168.255.255", "::ffff:192.168.1.1"], ["192.169.0.0", "19.216.8.1", "::c0a8:1"]],
  ["192.*", ["192.0.0.0", "192.255.255.255"], ["19.2.0.0", "193.0.0.0"]],
  ["192.168.*.*", ["192.168.1.2"], ["192.169.1.2"]],
  ["192.168.1.*", ["192.168.1.0", "192.168.1.255"], ["192.168.2.0", "192.168.10.1"]],
  ["10.0.*.5", ["10.0.0.5", "10.0.255.5"], ["10.0.1.6", "10.1.0.5", "10.0.1.15"]],
  ["*.*.*.5", ["1.2.3.5"], ["1.2.3.4", "::5"]],
  ["10.*.*.5", ["10.1.2.5"], ["11.1.2.5"]],
  ["192.168.1*", ["192.168.1.2", "192.168.19.2", "192.168.199.255"], ["192.168.2.1", "192.168.0.1", "192.168.21.1"]],
  ["10.0.0.1*", ["10.0.0.1", "10.0.0.10", "10.0.0.199"], ["10.0.0.2", "10.0.0.21"]],
  ["10.0.0.*1", ["10.0.0.1", "10.0.0.11", "10.0.0.251"], ["10.0.0.10", "10.0.0.12"]],
  ["10.0.0.1*1", ["10.0.0.11", "10.0.0.101", "10.0.0.191"], ["10.0.0.1", "10.0.0.110"]],
  ["*.*", ["0.0.0.0", "255.255.255.255"], ["::", "2001:db8::1"]],
  ["1*", ["1.0.0.0", "10.0.0.0", "199.0.0.0"], ["2.1.1.1", "21.0.0.0", "1::"]],
  // names, which addresses alone do not match
  ["localhost", [], ["127.0.0.1", "::1"]],
  ["*.example.com", [], ["192.0.2.1"]]
]

describe("an entry", () => {
  for (const [entry, inside, outside] of table) {
    it(`${entry} has ${inside.length} of the clients in it and ${outside.length} not`, () => {
      for (const client of inside) assert.isTrue(matches(entry, client), client)
      for (const client of outside) assert.isFalse(matches(entry, client), client)
    })
  }

  it("takes a client as a value, too", () => {
    const client = (text: string) => NetAddress.ipFromStringUnsafe(text)
    assert.isTrue(matches("192.0.2.1", client("::ffff:192.0.2.1")))
    assert.isTrue(matches("2001:db8::/32", client("2001:db8::1")))
    assert.isFalse(matches("2001:db8::/32", client("192.0.2.1")))
  })

  it("has a client without an address, or with what is none, only as *", () => {
    for (const client of [undefined, "", "localhost", "192.0.2", "192.0.2.1:80", "010.0.0.1", "%eth0", "[::1]"]) {
      assert.isTrue(matches("*", client), client)
      assert.isFalse(matches("0.0.0.0/0, ::/0, *.*, 192.*", client), client)
    }
  })
})

describe("a list", () => {
  it("may be empty, and has nobody in it then", () => {
    for (const text of ["", "  ", ",", " , ,\t\n"]) {
      assert.deepStrictEqual(list(text).entries, [])
      assert.isFalse(matches(text, "127.0.0.1"))
      assert.isFalse(matches(text, undefined))
      assert.isFalse(AccessList.needsNames(list(text)))
    }
    assert.deepStrictEqual(list([]).entries, [])
  })

  it("has who is in one of its entries", () => {
    const text = " 192.0.2.1 ,10.*,\t2001:db8::/32\n, ,192.0.2.128/25,172.16.*,"
    for (const client of ["192.0.2.1", "10.9.8.7", "2001:db8::9", "192.0.2.129", "172.16.0.1"])
      assert.isTrue(matches(text, client))
    for (const client of ["192.0.2.2", "11.0.0.0", "2001:db9::"]) assert.isFalse(matches(text, client))
  })

  it("is read from several texts as from one", () => {
    assert.strictEqual(list(["10.0.0.0/8, ::1", "", "a.example"]).toString(), "10.0.0.0/8, ::1, a.example")
  })

  it("is written in canonical forms", () => {
    for (const [text, written] of [
      ["*", "*"],
      ["::FFFF:192.0.2.1", "192.0.2.1"],
      ["2001:0DB8:0:0:0:0:0:1", "2001:db8::1"],
      ["[2001:db8::1]", "2001:db8::1"],
      ["fe80::1%eth0", "fe80::1"],
      ["192.0.2.1/32", "192.0.2.1"],
      ["2001:DB8::/32", "2001:db8::/32"],
      ["::ffff:10.0.0.0/104", "10.0.0.0/8"],
      ["192.168.*", "192.168.*.*"],
      ["Trusted.EXAMPLE", "trusted.example"],
      ["trusted.example.", "trusted.example."],
      ["bücher.example", "xn--bcher-kva.example"],
      ["*.Example.COM.", "*.example.com"]
    ] as const) {
      assert.strictEqual(list(text).toString(), written)
    }
  })

  it("says whether it has host names", () => {
    for (const text of ["*", "192.0.2.1", "192.168.*", "10.0.0.0/8", "::1, ::/0"])
      assert.isFalse(AccessList.needsNames(list(text)))
    for (const text of ["localhost", "trusted.example", "*.example.com", "::1, a-*.example.com", "1a", "0xg"])
      assert.isTrue(AccessList.needsNames(list(text)), text)
  })

  it("of thousands of networks is as right as one of few", () => {
    const many = Array.from({ length: 5000 }, (_, i) => `10.${i >> 8}.${i & 255}.${(i % 32) << 3}/29`)
    const long = list(many)
    for (let i = 0; i < 5000; i += 97) {
      const start = `10.${i >> 8}.${i & 255}`
      assert.isTrue(AccessList.matches(long, `${start}.${((i % 32) << 3) + 7}`))
      assert.isFalse(AccessList.matches(long, `${start}.${(((i % 32) << 3) + 8) % 256}`))
    }
  })
})

describe("a wrong entry", () => {
  for (const entry of [
    // an IPv4 address is four decimal numbers: not octal, hexadecimal, short or with too much
    "010.0.0.1",
    "10.0.0.01",
    "192.0.2.00",
    "0x7f.0.0.1",
    "0x7f000001",
    "0x",
    "127.1",
    "127.0.1",
    "2130706433",
    "017700000001",
    "256.0.0.1",
    "1.2.3.4.5",
    "1.2.3.",
    "1.2.3.4.",
    "1..2.3",
    ".1.2.3",
    "-1.2.3.4",
    "+1.2.3.4",
    "1.2.3.4:80",
    "[192.0.2.1]",
    "１.２.３.４",
    // IPv6
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "12345::",
    "g::1",
    "::1.2.3",
    "::ffff:010.0.0.1",
    "[::1",
    "::1]",
    "[::1]:80",
    "fe80::1%",
    "fe80::1%a%b",
    "192.0.2.1%eth0",
    // networks
    "10.0.0.0/",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/08",
    "10.0.0.0/8.0",
    "10.0.0.0/ 8",
    "10.0.0.0/255.0.0.0",
    "10.0.0.0/8/8",
    "10/8",
    "10.0.0.1/8",
    "192.0.2.3/31",
    "::/129",
    "::1/127",
    "2001:db8::1/32",
    "::ffff:10.0.0.1/104",
    "::ffff:0:0/95",
    "fe80::%eth0/10",
    "/8",
    "/",
    "example.com/8",
    "http://example.com",
    // wildcards of addresses
    "**",
    "192.168.**",
    "192.168.1",
    "192.*.1",
    "*.1",
    "*1",
    "1*.2",
    "10.0.0.*.*",
    "10.0.0.0.*",
    "10..*",
    "256.*",
    "010.*",
    "01*.*",
    "3*0*",
    "26*6.*",
    "10.0.0.*/24",
    "2001:db8::*",
    "fe80:*",
    // names
    "-a.example",
    "a-.example",
    "a..example",
    ".example",
    ".",
    "a b",
    "a\nb",
    "user@host",
    "host:80",
    "a".repeat(64),
    `${"a.".repeat(127)}aa`,
    "example.1",
    "example.0x1",
    "*.example.1",
    "*.",
    "example.*",
    "*.*.",
    "a.**.example",
    "*a*.example",
    "*.a_b!.example",
    "-*.example",
    "*.bücher.example",
    ".*.example",
    "*..example",
    "?.example",
    "a.exam*"
  ]) {
    it(`${JSON.stringify(entry.slice(0, 70))} is named, with what is accepted`, () => {
      const result = AccessList.parse(`192.0.2.1, ${entry} ,*`)
      if (Result.isSuccess(result)) return assert.fail(`read as ${result.success.toString()}`)
      const { failure } = result
      assert.strictEqual(failure._tag, "InvalidEntry")
      assert.strictEqual(failure.entry, entry)
      assert.isAbove(failure.reason.length, 10)
      assert.include(failure.message, `got ${JSON.stringify(entry)}: ${failure.reason}`)
      assert.include(failure.message, "10.0.0.0/8")
    })
  }

  it("says what to write", () => {
    const reason = (text: string) => Result.getOrThrow(Result.flip(AccessList.parse(text))).reason
    assert.strictEqual(reason("2001:db8::*"), "an IPv6 address takes no *; write a network, such as 2001:db8::/32")
    assert.strictEqual(reason("10.0.0.1/8"), "address has non-zero host bits")
    assert.strictEqual(reason("127.1"), "expected exactly four decimal octets")
    assert.strictEqual(reason("010.0.0.1"), "leading zeroes are not allowed")
  })
})

describe("FromString", () => {
  const decode = Schema.decodeUnknownResult(AccessList.FromString)

  it("reads and writes a list", () => {
    const decoded = Result.getOrThrow(decode("::ffff:10.0.0.1,  *.example.com"))
    assert.isTrue(AccessList.matches(decoded, "10.0.0.1"))
    assert.strictEqual(Schema.encodeSync(AccessList.FromString)(decoded), "10.0.0.1, *.example.com")
  })

  it("fails with the message of the entry", () => {
    const failure = Result.getOrThrow(Result.flip(decode("10.0.0.1, 127.1")))
    assert.include(String(failure), 'got "127.1": expected exactly four decimal octets')
  })
})

describe("properties", () => {
  const octet = integer(0, 255)
  const ipv4 = Arbitrary.map(Arbitrary.all([octet, octet, octet, octet]), (octets) => octets.join("."))
  const segment = Arbitrary.map(Arbitrary.all([integer(0, 2), integer(0, 0xffff)]), ([kind, value]) =>
    kind === 0 ? 0 : kind === 1 ? 0xffff : value
  )
  const ipv6 = Arbitrary.map(
    Arbitrary.all([segment, segment, segment, segment, segment, segment, segment, segment]),
    (segments) => segments.map((value) => value.toString(16)).join(":")
  )

  const bytesOf = (text: string): Uint8Array => {
    const address = NetAddress.ipFromStringUnsafe(text)
    return Uint8Array.from(
      NetAddress.isIpv4Address(address) ? NetAddress.ipv4ToOctets(address) : NetAddress.ipv6ToOctets(address)
    )
  }
  const textOf = (bytes: Uint8Array): string => NetAddress.formatIp(NetAddress.ipFromInputUnsafe(bytes))
  /** The address with one bit the other way: the ends of every prefix are a bit away. */
  const flipped = (text: string, bit: number): string => {
    const bytes = bytesOf(text)
    bytes[bit >> 3]! ^= 0x80 >> (bit & 7)
    return textOf(bytes)
  }
  /** The network of an address: its bits beyond the prefix are cleared. */
  const networkOf = (text: string, length: number): string => {
    const bytes = bytesOf(text)
    for (let bit = length; bit < bytes.length * 8; bit++) bytes[bit >> 3]! &= ~(0x80 >> (bit & 7))
    return `${textOf(bytes)}/${length}`
  }

  const agree = (text: string, client: string, length: number, family: "ipv4" | "ipv6") => {
    const width = family === "ipv4" ? 32 : 128
    const theirs = new Net.BlockList()
    theirs.addSubnet(text, length, family)
    const entry = networkOf(text, length)
    const clients = [text, client, ...Array.from({ length: width }, (_, bit) => flipped(text, bit))]
    for (const one of clients) {
      // theirs has a mapped client in an IPv6 network, where for us it is IPv4
      if (family === "ipv6" && NetAddress.isIpv4Mapped(NetAddress.ipFromStringUnsafe(one) as NetAddress.Ipv6Address))
        continue
      assert.strictEqual(matches(entry, one), theirs.check(one, family), `${one} in ${entry}`)
    }
  }

  it.prop(
    "an IPv4 network has whom node's BlockList has in it",
    [ipv4, ipv4, integer(0, 32)],
    ([text, client, length]) => agree(text, client, length, "ipv4"),
    { arbitrary: { runs: 200 } }
  )

  it.prop(
    "an IPv6 network has whom node's BlockList has in it",
    [ipv6, ipv6, integer(0, 128)],
    ([text, client, length]) => agree(text, client, length, "ipv6"),
    { arbitrary: { runs: 100 } }
  )

  it.prop(
    "an address is itself in every notation, and no other",
    [ipv4, ipv6, integer(0, 31)],
    ([four, six, bit]) => {
      assert.isTrue(matches(four, `::ffff:${four}`))
      assert.isTrue(matches(`::ffff:${four}`, four))
      assert.isFalse(matches(four, flipped(four, bit)))
      assert.isTrue(matches(six, six.toUpperCase()))
      assert.isTrue(matches(six, NetAddress.formatIp(NetAddress.ipFromStringUnsafe(six))))
      assert.isFalse(matches(six, flipped(six, bit)))
    },
    { arbitrary: { runs: 300 } }
  )

  it.prop(
    "a pattern of whole octets is a network",
    [ipv4, ipv4, integer(1, 3)],
    ([text, client, octets]) => {
      const start = text.split(".").slice(0, octets)
      const network = `${[...start, 0, 0, 0].slice(0, 4).join(".")}/${octets * 8}`
      for (const one of [client, text, [...start, 7, 8, 9].slice(0, 4).join(".")]) {
        assert.strictEqual(matches(`${start.join(".")}.*`, one), matches(network, one))
      }
    },
    { arbitrary: { runs: 300 } }
  )

  const entry = Arbitrary.map(
    Arbitrary.all([integer(0, 5), ipv4, ipv6, integer(0, 32)]),
    ([kind, four, six, length]) =>
      [four, six, networkOf(four, length), `${four.split(".")[0]}.*.1.*`, `*.a${length}.example`, `a${length}.example`][
        kind
      ]!
  )
  it.prop(
    "reading what was written gives any list back",
    [Arbitrary.array(entry, { maxLength: 6 }), ipv4],
    ([entries, client]) => {
      const first = list(entries)
      const again = list(first.toString())
      assert.strictEqual(again.toString(), first.toString())
      assert.deepStrictEqual(
        again.entries.map((_) => _._tag),
        first.entries.map((_) => _._tag)
      )
      for (const one of [client, ...entries]) {
        assert.strictEqual(AccessList.matches(again, one), AccessList.matches(first, one))
      }
    },
    { arbitrary: { runs: 200 } }
  )
})

describe("a policy", () => {
  const policy = (allowed: string | undefined, blocked: string | undefined): AccessList.Policy => ({
    allowed: allowed === undefined ? undefined : list(allowed),
    blocked: blocked === undefined ? undefined : list(blocked)
  })

  const rows = [
    [undefined, undefined, "192.0.2.1", undefined],
    [undefined, undefined, undefined, undefined],
    ["*", "", "192.0.2.1", undefined],
    ["*", "", undefined, undefined],
    ["", undefined, "192.0.2.1", "notAllowed"],
    ["192.0.2.*", undefined, "192.0.2.1", undefined],
    ["192.0.2.*", undefined, "192.0.3.1", "notAllowed"],
    ["192.0.2.*", undefined, undefined, "notAllowed"],
    [undefined, "192.0.2.1", "192.0.2.1", "blocked"],
    [undefined, "192.0.2.1", "::ffff:192.0.2.1", "blocked"],
    [undefined, "192.0.2.1", "192.0.2.2", undefined],
    [undefined, "192.0.2.1", undefined, undefined],
    ["192.0.2.*", "192.0.2.1", "192.0.2.1", "blocked"],
    ["192.0.2.*", "192.0.2.1", "192.0.2.2", undefined],
    ["192.0.2.1", "192.0.2.*", "192.0.2.1", "blocked"],
    ["10.*", "192.0.2.1", "192.0.2.1", "blocked"],
    ["*", "*", "192.0.2.1", "blocked"],
    ["*", "*", undefined, "blocked"]
  ] as const
  for (const [allowed, blocked, client, denial] of rows) {
    const says = denial ?? "welcome"
    it(`of allowed ${allowed ?? "none"} and blocked ${blocked ?? "none"} says of ${client ?? "no address"}: ${says}`, () => {
      assert.strictEqual(AccessList.decide(policy(allowed, blocked), client), denial)
    })
  }

  it("without fields lets everyone in", () => {
    assert.isUndefined(AccessList.decide({}, "192.0.2.1"))
  })
})
