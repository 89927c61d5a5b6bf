import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { crc32c } from "../../src/protocol/internal/crc32c.ts"
import * as ProxyProtocol from "../../src/protocol/ProxyProtocol.ts"
import { concat, cutAt, eachByte, hex, patterned, toHex, utf8 } from "./bytes.ts"
import { cuts, integer } from "./frames.ts"

type Kind = ProxyProtocol.ProxyProtocolError["kind"]

const inet = (text: string): NetAddress.InetAddress => NetAddress.inetAddressFromStringUnsafe(text)

const proxied = (fields: Partial<Extract<ProxyProtocol.Header, { _tag: "Inet" }>> = {}): ProxyProtocol.Header => ({
  _tag: "Inet",
  version: 2,
  transport: "stream",
  source: inet("192.168.0.1:56324"),
  destination: inet("192.168.0.11:443"),
  tlvs: ProxyProtocol.noTlvs,
  ...fields
})

/** A header as it compares: the classes of addresses have no fields of their own. */
const shown = (header: ProxyProtocol.Header): unknown =>
  header._tag === "Inet"
    ? { ...header, source: String(header.source), destination: String(header.destination) }
    : header

const push = (chunks: ReadonlyArray<Uint8Array>, maxSize?: number): ProxyProtocol.Outcome => {
  const decoder = new ProxyProtocol.Decoder({ maxSize })
  let outcome: ProxyProtocol.Outcome = { _tag: "NeedMore" }
  for (const chunk of chunks) outcome = decoder.push(chunk)
  return outcome
}

const read = (bytes: Uint8Array | string): ProxyProtocol.Header => {
  const all = typeof bytes === "string" ? utf8(bytes) : bytes
  const outcome = push([all])
  if (outcome._tag !== "Header") return assert.fail(`expected a header, got ${JSON.stringify(outcome)}`)
  assert.strictEqual(outcome.size, all.length)
  return outcome.header
}

const write = (header: ProxyProtocol.Header, checksum = false): Uint8Array =>
  Result.getOrThrow(ProxyProtocol.toBytes(header, { checksum }))

const refused = (bytes: Uint8Array | string, kind: Kind, message = /./, maxSize?: number): void => {
  const outcome = push([typeof bytes === "string" ? utf8(bytes) : bytes], maxSize)
  if (outcome._tag !== "Malformed") return assert.fail(`${String(bytes)}: got ${outcome._tag}`)
  assert.strictEqual(outcome.error.kind, kind, outcome.error.message)
  assert.match(outcome.error.message, message)
}

const signature = hex("0d0a0d0a000d0a515549540a")
/** A header of version 2 around these bytes. */
const binary = (command: number, family: number, rest: Uint8Array): Uint8Array =>
  concat([signature, Uint8Array.of(command, family, rest.length >> 8, rest.length & 0xff), rest])
const ipv4 = hex("c0a80001 c0a8000b dc04 01bb")
const tlv = (type: number, value: Uint8Array | string): Uint8Array => {
  const bytes = typeof value === "string" ? utf8(value) : value
  return concat([Uint8Array.of(type, bytes.length >> 8, bytes.length & 0xff), bytes])
}
const withTlvs = (...tlvs: ReadonlyArray<Uint8Array>) => binary(0x21, 0x11, concat([ipv4, ...tlvs]))

const line = "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"
const longest = `PROXY UNKNOWN ${"ffff:".repeat(7)}ffff ${"ffff:".repeat(7)}ffff 65535 65535\r\n`

/** One of everything that version 2 can say. */
const everything = proxied({
  source: inet("[2001:db8::1]:4711"),
  destination: inet("[2001:db8::2]:443"),
  tlvs: {
    alpn: "http/1.1",
    authority: "bücher.example",
    uniqueId: patterned(128),
    ssl: {
      isTls: true,
      hasCertificate: true,
      hasSessionCertificate: true,
      verify: 0,
      version: "TLSv1.3",
      commonName: "Zoë",
      cipher: "TLS_AES_256_GCM_SHA384",
      signatureAlgorithm: "SHA256",
      keyAlgorithm: "RSA2048",
      others: [{ type: 0x26, value: utf8("x25519") }]
    },
    netns: "blue",
    others: [
      { type: 0xea, value: utf8("vpce-08d2bf15fac5001c9") },
      { type: 0xea, value: new Uint8Array(0) }
    ]
  }
})

describe("version 1 (section 2.1)", () => {
  it("reads the text's own example, and leaves the request behind it", () => {
    const outcome = push([utf8(`${line}GET / HTTP/1.1\r\nHost: 192.168.0.11\r\n\r\n`)])
    assert.deepStrictEqual(outcome._tag === "Header" ? { ...outcome, header: shown(outcome.header) } : outcome, {
      _tag: "Header",
      size: line.length,
      header: shown(proxied({ version: 1 }))
    })
  })

  it("reads the longest lines of each kind, and UNKNOWN whatever follows it", () => {
    const most = read("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n")
    assert.strictEqual(most._tag === "Inet" && String(most.source), "255.255.255.255:65535")
    const six = `${"ffff:".repeat(7)}ffff`
    const most6 = read(`PROXY TCP6 ${six} ${six.toUpperCase()} 65535 0\r\n`)
    assert.strictEqual(most6._tag === "Inet" && String(most6.source), `[${six}]:65535`)
    assert.strictEqual(most6._tag === "Inet" && String(most6.destination), `[${six}]:0`)
    assert.strictEqual(longest.length, 107)
    for (const text of ["PROXY UNKNOWN\r\n", longest, "PROXY UNKNOWN \0\x7f whatever\r\n"]) {
      assert.deepStrictEqual(read(text), { _tag: "Unknown", version: 1 })
    }
  })

  it("refuses what does not exactly match", () => {
    const lines: ReadonlyArray<readonly [string, Kind]> = [
      ["PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", "Address"],
      ["PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n", "Address"],
      ["PROXY TCP ::1 ::1 1 2\r\n", "Address"],
      ["PROXY UDP6 ::1 ::1 1 2\r\n", "Address"],
      ["PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "Address"],
      ["PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", "Address"],
      ["PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", "Address"],
      ["PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", "Address"],
      ["PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "Address"],
      ["PROXY TCP4\r\n", "Address"],
      ["PROXY \r\n", "Address"],
      ["PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n", "Address"],
      ["PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", "Address"],
      ["PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n", "Address"],
      ["PROXY TCP4 ::1 ::1 1 2\r\n", "Address"],
      ["PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", "Address"],
      ["PROXY TCP6 [::1] ::1 1 2\r\n", "Address"],
      ["PROXY TCP6 ::1%lo ::1 1 2\r\n", "Address"],
      ["PROXY TCP6 1::2::3 ::1 1 2\r\n", "Address"],
      ["PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "Address"],
      ["PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "Address"],
      ["PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", "Address"],
      ["PROXY TCP4 1.2.3.4 1.2.3.4 1e3 2\r\n", "Address"],
      ["PROXY UNKNOWNS\r\n", "Address"],
      // neither CR nor LF alone ends it
      ["PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "Address"],
      ["PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx", "Address"],
      ["PROXY UNKNOWN\n", "Address"],
      ["PROXY UNKNOWN\n\n", "Address"],
      [`${longest.slice(0, -2)}0\r\n`, "TooLong"],
      ["PROXY TCP4 " + "1".repeat(200), "TooLong"],
      ["PROXX", "NotProxyProtocol"],
      ["PROXY\r\n", "NotProxyProtocol"],
      ["POST / HTTP/1.1\r\n", "NotProxyProtocol"],
      ["GET / HTTP/1.1\r\n", "NotProxyProtocol"],
      ["\x16\x03\x01", "NotProxyProtocol"],
      ["proxy TCP4", "NotProxyProtocol"]
    ]
    for (const [text, kind] of lines) refused(text, kind)
  })

  it("refuses what is no header at its first wrong byte", () => {
    refused("G", "NotProxyProtocol", /got 0x47 as byte 1$/)
    refused("PO", "NotProxyProtocol", /byte 2$/)
    refused("\r\n\r\n\0\r\nQUIT\r", "NotProxyProtocol", /byte 12$/)
    refused(concat([utf8(line.slice(0, -2)), utf8("\n")]), "Address")
  })

  it("writes what it reads", () => {
    assert.strictEqual(Buffer.from(write(proxied({ version: 1 }))).toString(), line)
    assert.strictEqual(Buffer.from(write({ _tag: "Unknown", version: 1 })).toString(), "PROXY UNKNOWN\r\n")
    const mixed = proxied({ version: 1, destination: inet("[2001:db8::2]:443") })
    assert.strictEqual(Buffer.from(write(mixed)).toString(), "PROXY TCP6 ::ffff:192.168.0.1 2001:db8::2 56324 443\r\n")
    const canonical = proxied({ version: 1, source: inet("[::ffff:192.168.0.1]:56324") })
    assert.strictEqual(Buffer.from(write(canonical)).toString(), line)
    for (const header of [
      proxied({ version: 1, transport: "datagram" }),
      proxied({ version: 1, tlvs: { alpn: "h2", others: [] } }),
      proxied({ version: 1, tlvs: { others: [{ type: 1, value: new Uint8Array(0) }] } })
    ]) {
      assert.isTrue(Result.isFailure(ProxyProtocol.toBytes(header)))
    }
  })
})

describe("version 2 (section 2.2)", () => {
  it("reads and writes TCP over IPv4, byte for byte", () => {
    const bytes = hex("0d0a0d0a000d0a515549540a 21 11 000c c0a80001 c0a8000b dc04 01bb")
    assert.deepStrictEqual(shown(read(bytes)), shown(proxied()))
    assert.strictEqual(toHex(write(proxied())), toHex(bytes))
  })

  it("reads and writes IPv6, UDP and unix sockets", () => {
    const six = proxied({ source: inet("[2001:db8::1]:1"), destination: inet("[::1]:2"), transport: "datagram" })
    const bytes = hex(
      `0d0a0d0a000d0a515549540a 21 22 0024 20010db8000000000000000000000001 ${"00".repeat(15)}01 0001 0002`
    )
    assert.strictEqual(toHex(write(six)), toHex(bytes))
    assert.deepStrictEqual(shown(read(bytes)), shown(six))
    for (const source of ["", "/run/client.sock", "\0abstract", "\ufeff/run", "x".repeat(108)]) {
      const unix: ProxyProtocol.Header = {
        _tag: "Unix",
        version: 2,
        transport: "stream",
        source,
        destination: "/run/server.sock",
        tlvs: { uniqueId: patterned(3), others: [] }
      }
      const wire = write(unix)
      assert.strictEqual(wire.length, 16 + 216 + 6)
      assert.strictEqual(wire[13], 0x31)
      assert.deepStrictEqual(read(wire), unix)
    }
  })

  it("writes both addresses as IPv6 where one of them is (section 2.2)", () => {
    const six = inet("[2001:db8::2]:443")
    for (const [source, destination] of [
      [inet("192.168.0.1:56324"), six],
      [six, inet("192.168.0.1:56324")]
    ] as const) {
      const header = read(write(proxied({ source, destination })))
      const mapped = (address: NetAddress.InetAddress) =>
        address === six ? String(six) : String(inet("[::ffff:192.168.0.1]:56324"))
      assert.deepStrictEqual(header._tag === "Inet" ? [header.source, header.destination].map(String) : header._tag, [
        mapped(source),
        mapped(destination)
      ])
    }
  })

  it("reads a path up to its end, and does not write one that has no room", () => {
    const paths = new Uint8Array(216)
    paths.set(utf8("/run/a\0left over"), 0)
    paths.set(utf8("\0abstract\0name"), 108)
    const header = read(binary(0x21, 0x31, paths))
    assert.deepStrictEqual(header._tag === "Unix" ? [header.source, header.destination] : header._tag, [
      "/run/a",
      "\0abstract\0name"
    ])
    for (const ends of [
      { source: "x".repeat(109), destination: "" },
      { source: "", destination: "é".repeat(55) }
    ]) {
      const unix = { _tag: "Unix", version: 2, transport: "stream", ...ends, tlvs: ProxyProtocol.noTlvs } as const
      const written = ProxyProtocol.toBytes(unix)
      assert.strictEqual(Result.isFailure(written) && written.failure.kind, "Address")
      assert.isFalse(Schema.is(ProxyProtocol.Header)(unix))
      const shorter = { ...unix, source: unix.source.slice(1), destination: unix.destination.slice(1) }
      assert.isTrue(Schema.is(ProxyProtocol.Header)(shorter))
    }
  })

  it("takes LOCAL as it is, whatever it carries", () => {
    for (const bytes of [
      hex("0d0a0d0a000d0a515549540a 20 00 0000"),
      binary(0x20, 0x11, ipv4),
      binary(0x20, 0xff, patterned(300)),
      binary(0x20, 0x11, Uint8Array.of(1))
    ]) {
      assert.deepStrictEqual(read(bytes), { _tag: "Local", version: 2 })
    }
    assert.strictEqual(toHex(write({ _tag: "Local", version: 2 })), "0d0a0d0a000d0a515549540a20000000")
  })

  it("takes a family or a transport that is not said for nobody's", () => {
    for (const family of [0x00, 0x01, 0x02, 0x10, 0x20, 0x30]) {
      for (const rest of [new Uint8Array(0), ipv4, patterned(500)]) {
        assert.deepStrictEqual(read(binary(0x21, family, rest)), { _tag: "Unknown", version: 2 })
      }
    }
    assert.strictEqual(toHex(write({ _tag: "Unknown", version: 2 })), "0d0a0d0a000d0a515549540a21000000")
  })

  it("refuses versions, commands, families and transports that are not assigned", () => {
    for (const version of [0x01, 0x11, 0x31, 0xf0]) refused(concat([signature, Uint8Array.of(version)]), "Version")
    for (const command of [0x22, 0x23, 0x2f]) refused(concat([signature, Uint8Array.of(command)]), "Command")
    for (const family of [0x40, 0x41, 0xf1, 0x13, 0x1f, 0x03]) {
      refused(concat([signature, Uint8Array.of(0x21, family)]), "Address")
    }
  })

  it("refuses addresses that are cut short, as soon as the length says so", () => {
    for (const [family, size] of [
      [0x11, 12],
      [0x12, 12],
      [0x21, 36],
      [0x31, 216]
    ] as const) {
      for (let length = 0; length < size; length++) {
        refused(concat([signature, Uint8Array.of(0x21, family, 0, length)]), "Address")
      }
    }
    refused(binary(0x21, 0x31, new Uint8Array(216).fill(0xff)), "Address")
  })

  it("is bounded", () => {
    const header = (length: number) => concat([signature, Uint8Array.of(0x21, 0x11, length >> 8, length & 0xff)])
    refused(header(16_384 - 15), "TooLong", /at most 16384 bytes/)
    assert.strictEqual(push([header(16_384 - 16)])._tag, "NeedMore")
    refused(header(100), "TooLong", /at most 115 bytes/, 115)
    assert.strictEqual(push([header(99)], 115)._tag, "NeedMore")
    refused(concat([signature, Uint8Array.of(0x20, 0, 0xff, 0xff)]), "TooLong")
  })
})

describe("TLVs (section 2.2.1 on)", () => {
  it("reads one of each, and keeps what it does not know", () => {
    assert.deepStrictEqual(shown(read(write(everything, true))), shown(everything))
    const { tlvs } = read(
      withTlvs(tlv(0x01, "h2"), tlv(0x04, patterned(50)), tlv(0x04, ""), tlv(0xe5, "x"), tlv(0x02, "www.example"))
    ) as Extract<ProxyProtocol.Header, { _tag: "Inet" }>
    assert.deepStrictEqual(tlvs, { alpn: "h2", authority: "www.example", others: [{ type: 0xe5, value: utf8("x") }] })
  })

  it("reads what is said of TLS", () => {
    const ssl = (client: number, verify: string, ...more: ReadonlyArray<Uint8Array>) => {
      const header = read(withTlvs(tlv(0x20, concat([Uint8Array.of(client), hex(verify), ...more]))))
      return header._tag === "Inet" ? header.tlvs.ssl! : assert.fail(header._tag)
    }
    const plain = ssl(0, "00000001")
    assert.deepStrictEqual(plain, {
      isTls: false,
      hasCertificate: false,
      hasSessionCertificate: false,
      verify: 1,
      others: []
    })
    assert.strictEqual(ssl(1, "ffffffff").verify, 2 ** 32 - 1)
    assert.strictEqual(ssl(7, "00000000", tlv(0x21, "TLSv1.3")).version, "TLSv1.3")
    // what OpenSSL says of no certificate is that it is well
    assert.isFalse(ProxyProtocol.isVerified(ssl(1, "00000000")))
    assert.isFalse(ProxyProtocol.isVerified(ssl(3, "00000012")))
    assert.isTrue(ProxyProtocol.isVerified(ssl(3, "00000000")))
    assert.isTrue(ProxyProtocol.isVerified(ssl(5, "00000000")))
  })

  it("refuses what cannot be read", () => {
    const bad: ReadonlyArray<readonly [string, ReadonlyArray<Uint8Array>]> = [
      ["a type alone", [hex("01")]],
      ["half a length", [hex("0100")]],
      ["a value cut short", [hex("010003 6832")]],
      ["a second authority", [tlv(0x02, "a"), tlv(0x02, "b")]],
      ["a second checksum", [tlv(0x03, new Uint8Array(4)), tlv(0x03, new Uint8Array(4))]],
      ["an authority that is not UTF-8", [tlv(0x02, hex("ff"))]],
      ["a protocol of more than 255 bytes", [tlv(0x01, patterned(256))]],
      ["a long unique id", [tlv(0x05, patterned(129))]],
      ["a checksum of 3 bytes", [tlv(0x03, new Uint8Array(3))]],
      ["a namespace that is not ASCII", [tlv(0x30, "é")]],
      ["TLS of 4 bytes", [tlv(0x20, new Uint8Array(4))]],
      ["a version that is not ASCII", [tlv(0x20, concat([new Uint8Array(5), tlv(0x21, "\n")]))]],
      ["a namespace with a control character in it", [tlv(0x30, "blue\x1fgreen")]],
      ["a namespace with DEL in it", [tlv(0x30, "blue\x7fgreen")]],
      ["a name that is not UTF-8", [tlv(0x20, concat([new Uint8Array(5), tlv(0x22, hex("c3"))]))]],
      ["a second name", [tlv(0x20, concat([new Uint8Array(5), tlv(0x22, "a"), tlv(0x22, "a")]))]],
      ["a TLV that ends behind its TLS", [tlv(0x20, concat([new Uint8Array(5), hex("220009")])), tlv(0xe0, "x")]]
    ]
    for (const [what, tlvs] of bad) refused(withTlvs(...tlvs), what === "a second checksum" ? "Checksum" : "Tlv")
  })

  it("takes every value up to the largest and the least", () => {
    const printable = String.fromCharCode(...Array.from({ length: 0x7f - 0x20 }, (_, i) => 0x20 + i))
    const most = 0xffff - ipv4.length - 3
    for (const tlvs of [
      { alpn: String.fromCharCode(...Array.from({ length: 255 }, (_, i) => i + 1)), netns: printable, others: [] },
      { authority: "\ufeffa.example", others: [{ type: 0xe0, value: new Uint8Array(0) }] },
      { others: [{ type: 0xe0, value: patterned(most) }] },
      { others: [{ type: 0xe0, value: new Uint8Array(0) }] }
    ]) {
      const header = Result.getOrThrow(ProxyProtocol.fromBytes(write(proxied({ tlvs }))))
      assert.deepStrictEqual(shown(header), shown(proxied({ tlvs })))
    }
    const over = ProxyProtocol.toBytes(proxied({ tlvs: { others: [{ type: 0xe0, value: patterned(most + 1) }] } }))
    assert.strictEqual(Result.isFailure(over) && over.failure.kind, "TooLong")
  })

  it("gives values of their own: what is done with the bytes they came in does not change them", () => {
    const decoder = new ProxyProtocol.Decoder()
    const outcome = decoder.push(write(everything))
    decoder.received.fill(0)
    assert.deepStrictEqual(outcome._tag === "Header" && shown(outcome.header), shown(everything))
  })

  it("verifies the checksum (section 2.2.3)", () => {
    // the vectors of RFC 3720 appendix B.4
    assert.strictEqual(crc32c(utf8("123456789")), 0xe3069283)
    assert.strictEqual(crc32c(new Uint8Array(32)), 0x8a9136aa)
    assert.strictEqual(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43)
    const sealed = write(everything, true)
    assert.deepStrictEqual(shown(read(sealed)), shown(everything))
    for (const at of [20, 60, 100, sealed.length - 1]) {
      const damaged = sealed.slice()
      damaged[at]! ^= 0x10
      refused(damaged, "Checksum")
    }
    // wherever it stands among the others
    const draft = withTlvs(tlv(0x03, new Uint8Array(4)), tlv(0xe0, "behind"))
    new DataView(draft.buffer).setUint32(31, crc32c(draft))
    assert.strictEqual(read(draft)._tag, "Inet")
  })

  it("does not write what no reader would take", () => {
    const bad: ReadonlyArray<ProxyProtocol.Tlvs> = [
      { uniqueId: patterned(129), others: [] },
      { netns: "é", others: [] },
      { alpn: "→", others: [] },
      { others: [{ type: 0x02, value: utf8("of a field of its own") }] },
      { others: [{ type: 0xe0, value: patterned(65_536) }] },
      { others: [0, 1].map(() => ({ type: 0xe0, value: patterned(40_000) })) }
    ]
    for (const tlvs of bad) assert.isTrue(Result.isFailure(ProxyProtocol.toBytes(proxied({ tlvs }))))
  })
})

const octets = (count: number) =>
  Arbitrary.map(Arbitrary.array(integer(0, 255), { minLength: count, maxLength: count }), (all) => Uint8Array.from(all))
const address = Arbitrary.flatMap(integer(0, 1), (which) =>
  Arbitrary.map(Arbitrary.all([octets(which === 0 ? 4 : 16), integer(0, 65_535)]), ([bytes, port]) =>
    NetAddress.inetAddressUnsafe(
      which === 0 ? NetAddress.ipv4FromBytesUnsafe(bytes) : NetAddress.ipv6FromBytesUnsafe(bytes),
      port
    )
  )
)
const anyHeader = Arbitrary.map(
  Arbitrary.all([address, address, Arbitrary.schema(ProxyProtocol.Tlvs), integer(1, 2)]),
  ([source, destination, tlvs, version]) =>
    proxied({ source, destination, version: version === 1 ? 1 : 2, tlvs: version === 1 ? ProxyProtocol.noTlvs : tlvs })
)

describe("Decoder", () => {
  const headers: ReadonlyArray<Uint8Array> = [
    utf8(line),
    utf8(longest),
    write({ _tag: "Local", version: 2 }),
    write(proxied()),
    write(everything, true)
  ]

  it("needs more of every truncation, one byte at a time and whole", () => {
    for (const bytes of headers) {
      const decoder = new ProxyProtocol.Decoder()
      for (const [index, one] of eachByte(bytes).entries()) {
        const isLast = index === bytes.length - 1
        assert.strictEqual(decoder.push(one)._tag, isLast ? "Header" : "NeedMore", `byte ${index}`)
        assert.strictEqual(push([bytes.subarray(0, index)])._tag, "NeedMore", `byte ${index}`)
        assert.isTrue(Result.isFailure(ProxyProtocol.fromBytes(bytes.subarray(0, index))))
      }
      assert.strictEqual(toHex(decoder.received), toHex(bytes))
      assert.isTrue(Result.isSuccess(ProxyProtocol.fromBytes(bytes)))
      assert.isTrue(Result.isFailure(ProxyProtocol.fromBytes(concat([bytes, utf8("x")]))))
    }
  })

  it("keeps its answer, and what came up to it", () => {
    const decoder = new ProxyProtocol.Decoder()
    const first = decoder.push(utf8(`${line}GE`))
    assert.strictEqual(decoder.push(utf8("T /")), first)
    assert.strictEqual(Buffer.from(decoder.received).toString(), `${line}GE`)
    const broken = new ProxyProtocol.Decoder()
    const answer = broken.push(utf8("G"))
    assert.strictEqual(broken.push(utf8(line)), answer)
    assert.deepStrictEqual(broken.received, utf8("G"))
  })

  it.prop(
    "gives the same of any pieces, and the bytes behind the header",
    [Arbitrary.schema(Schema.Literals(headers.map((_, i) => i))), integer(0, 200), cuts],
    ([which, more, places]) => {
      const header = headers[which]!
      const bytes = concat([header, patterned(more)])
      const outcome = push(cutAt(bytes, places))
      assert.strictEqual(outcome._tag === "Header" ? outcome.size : outcome._tag, header.length)
    }
  )

  it.prop(
    "answers any bytes with one of its three answers",
    [Arbitrary.schema(Schema.Uint8Array), integer(0, headers.length), integer(0, 400)],
    ([noise, which, keep]) => {
      // random bytes behind a part of a header reach farther than random bytes alone
      const outcome = push([concat([(headers[which] ?? signature).subarray(0, keep), noise])])
      assert.include(["NeedMore", "Header", "Malformed"], outcome._tag)
      if (outcome._tag === "Malformed") assert.instanceOf(outcome.error, ProxyProtocol.ProxyProtocolError)
    }
  )

  it.prop("writes what it reads, whatever the header", [anyHeader], ([header]) => {
    const bytes = ProxyProtocol.toBytes(header)
    if (Result.isFailure(bytes)) return
    const again = ProxyProtocol.toBytes(Result.getOrThrow(ProxyProtocol.fromBytes(bytes.success)))
    assert.strictEqual(toHex(Result.getOrThrow(again)), toHex(bytes.success))
  })
})

describe("fromBytes", () => {
  it("says whether bytes are missing or too many, and how many", () => {
    for (const [bytes, message] of [
      [utf8(`${line}xyz`), /\b3 bytes follow/],
      [utf8(line.slice(0, 9)), /not whole in 9 bytes/]
    ] as const) {
      const result = ProxyProtocol.fromBytes(bytes)
      if (Result.isSuccess(result)) return assert.fail("a header was read")
      assert.strictEqual(result.failure.kind, "Address")
      assert.match(result.failure.message, message)
    }
  })
})

describe("FromBytes", () => {
  it("is the same as a schema", () => {
    const header = Schema.decodeSync(ProxyProtocol.FromBytes)(utf8(line))
    assert.deepStrictEqual(shown(header), shown(proxied({ version: 1 })))
    assert.strictEqual(Buffer.from(Schema.encodeSync(ProxyProtocol.FromBytes)(header)).toString(), line)
    assert.throws(() => Schema.decodeSync(ProxyProtocol.FromBytes)(utf8("GET / HTTP/1.1\r\n")), /PROXY protocol header/)
  })

  it("does not write what the protocol cannot carry", () => {
    const udp = proxied({ version: 1, transport: "datagram" })
    assert.isTrue(Result.isFailure(Schema.encodeResult(ProxyProtocol.FromBytes)(udp)))
    for (const [length, isRight] of [
      [128, true],
      [129, false]
    ] as const) {
      const tlvs = { uniqueId: patterned(length), others: [] }
      assert.strictEqual(Schema.is(ProxyProtocol.Tlvs)(tlvs), isRight)
      assert.strictEqual(Result.isSuccess(Schema.encodeResult(ProxyProtocol.FromBytes)(proxied({ tlvs }))), isRight)
    }
  })
})

describe("a long value", () => {
  it("is read and written however deep the stack is", () => {
    const header = proxied({ tlvs: { others: [], netns: "n".repeat(65_000) } })
    let depth = 0
    const measure = (): void => {
      depth++
      measure()
    }
    assert.throws(measure, RangeError)
    const deep = (left: number): unknown => {
      if (left > 0) return deep(left - 1)
      const outcome = push([write(header)], 70_000)
      return outcome._tag === "Header" && outcome.header
    }
    assert.deepStrictEqual(shown(deep(Math.floor(depth * 0.6)) as ProxyProtocol.Header), shown(header))
  })
})
