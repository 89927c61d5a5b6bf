import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import * as ClientHello from "../../src/tls/ClientHello.ts"
import * as Groups from "../../src/tls/Groups.ts"
import * as SignatureSchemes from "../../src/tls/SignatureSchemes.ts"
import {
  body,
  extension,
  fragmented,
  fromNode,
  fromOpenssl,
  type Hello,
  hello,
  hostName,
  message,
  record,
  vector
} from "./hellos.ts"

const read = (bytes: Uint8Array): ClientHello.ClientHello => {
  const outcome = ClientHello.parse(bytes)
  if (outcome._tag !== "Hello") return assert.fail(`expected a hello, got ${JSON.stringify(outcome)}`)
  return outcome.hello
}

const refused = (bytes: Uint8Array, alert: ClientHello.Alert, reason: RegExp, place?: string) => {
  const outcome = ClientHello.parse(bytes)
  if (outcome._tag !== "NotTls") return assert.fail(`${place ?? reason}: got ${outcome._tag}`)
  assert.strictEqual(outcome.alert, alert, place)
  assert.match(outcome.reason, reason)
}

const suites = ClientHello.cipherSuiteNames
const scsv = "TLS_EMPTY_RENEGOTIATION_INFO_SCSV"

describe("RFC 8446 section 4.1.2: what real clients say", () => {
  it("openssl with everything set", async () => {
    const it = read(
      await fromOpenssl(
        ..."-servername www.example.com -alpn h2,http/1.1 -groups X25519:P-256:ffdhe2048".split(" "),
        ..."-cipher ECDHE-RSA-AES128-GCM-SHA256:AES256-SHA -ciphersuites TLS_CHACHA20_POLY1305_SHA256".split(" "),
        "-sigalgs",
        "RSA+SHA256:ECDSA+SHA384:rsa_pss_rsae_sha256:rsa_pss_pss_sha256:ed25519"
      )
    )
    assert.strictEqual(it.serverName, "www.example.com")
    assert.deepStrictEqual(it.alpnProtocols, ["h2", "http/1.1"])
    assert.deepStrictEqual(it.supportedGroups.map(Groups.nameOf), ["x25519", "secp256r1", "ffdhe2048"])
    assert.deepStrictEqual(suites(it), [
      "TLS_CHACHA20_POLY1305_SHA256",
      "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
      "TLS_RSA_WITH_AES_256_CBC_SHA",
      scsv
    ])
    assert.deepStrictEqual(it.signatureAlgorithms.map(SignatureSchemes.nameOf), [
      "rsa_pkcs1_sha256",
      "ecdsa_secp384r1_sha384",
      "rsa_pss_rsae_sha256",
      "rsa_pss_pss_sha256",
      "ed25519"
    ])
    assert.deepStrictEqual(ClientHello.signatureAlgorithmNames(it), [
      "sha256-rsa",
      "sha384-ecdsa",
      "rsa_pss_sha256",
      "ed25519"
    ])
    assert.strictEqual(it.legacyVersion, 0x0303)
    assert.deepStrictEqual(it.supportedVersions.slice(0, 2), [0x0304, 0x0303])
    assert.strictEqual(ClientHello.newestVersion(it), 0x0304)
  })

  it("openssl with TLS 1.2 alone: no versions extension", async () => {
    const it = read(await fromOpenssl("-tls1_2", "-noservername", "-cipher", "AES128-SHA"))
    assert.deepStrictEqual(it.supportedVersions, [0x0303])
    assert.deepStrictEqual(suites(it), ["TLS_RSA_WITH_AES_128_CBC_SHA", scsv])
    assert.strictEqual(it.serverName, undefined)
    assert.deepStrictEqual(it.alpnProtocols, [])
    assert.notInclude(it.extensions, 43)
  })

  it("openssl with what it offers by itself: each number has a name", async () => {
    const it = read(await fromOpenssl())
    for (const name of suites(it)) assert.match(name, /^TLS_/)
    for (const name of it.supportedGroups.map(Groups.nameOf)) assert.notMatch(name, /^0x/)
    for (const name of it.signatureAlgorithms.map(SignatureSchemes.nameOf)) assert.notMatch(name, /^0x/)
  })

  it("Node with various options", async () => {
    const plain = read(await fromNode({ servername: "node.example" }))
    assert.strictEqual(plain.serverName, "node.example")
    for (const name of plain.supportedGroups.map(Groups.nameOf)) assert.notMatch(name, /^0x/)
    for (const name of plain.signatureAlgorithms.map(SignatureSchemes.nameOf)) assert.notMatch(name, /^0x/)
    const tls13 = read(
      await fromNode({
        minVersion: "TLSv1.3",
        ALPNProtocols: ["http/1.1"],
        ecdhCurve: "P-384:X25519",
        sigalgs: "ed448"
      })
    )
    assert.deepStrictEqual(tls13.supportedVersions, [0x0304])
    assert.deepStrictEqual(tls13.supportedGroups.map(Groups.nameOf), ["secp384r1", "x25519"])
    assert.deepStrictEqual(tls13.signatureAlgorithms.map(SignatureSchemes.nameOf), ["ed448"])
    assert.deepStrictEqual(tls13.alpnProtocols, ["http/1.1"])
    const tls12 = read(await fromNode({ maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384" }))
    assert.strictEqual(suites(tls12)[0], "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")
    assert.strictEqual(tls12.serverName, undefined)
  })
})

describe("RFC 8446 section 5.1: records in pieces", () => {
  const sample = () => fromOpenssl("-servername", "a.b", "-alpn", "x")

  it("a hello cut in two at any place reads as it does whole, and not before its end", async () => {
    const bytes = await sample()
    const whole = read(bytes)
    for (let at = 0; at < bytes.length; at++) {
      const reader = new ClientHello.Reader()
      assert.strictEqual(reader.push(bytes.subarray(0, at))._tag, "NeedMore", `cut at ${at}`)
      assert.deepStrictEqual(reader.push(bytes.subarray(at)), { _tag: "Hello", hello: whole }, `cut at ${at}`)
      assert.deepStrictEqual(reader.received, bytes)
    }
  })

  it("a hello byte by byte, with empty chunks between", async () => {
    const bytes = await sample()
    const reader = new ClientHello.Reader()
    for (let at = 0; at < bytes.length; at++) {
      assert.strictEqual(reader.push(new Uint8Array(0))._tag, "NeedMore")
      const outcome = reader.push(bytes.subarray(at, at + 1))
      assert.strictEqual(outcome._tag, at === bytes.length - 1 ? "Hello" : "NeedMore")
    }
    assert.deepStrictEqual(reader.received, bytes)
  })

  it("a message fragmented over records of any size", async () => {
    const bytes = await sample()
    const whole = read(bytes)
    const content = bytes.subarray(5)
    for (let most = 1; most <= content.length; most++) {
      assert.deepStrictEqual(read(fragmented(content, most)), whole, `records of ${most}`)
    }
  })

  it("what follows the hello's record is kept for TLS to read", async () => {
    const bytes = Buffer.concat([await sample(), Buffer.from([20, 3, 3, 0, 1, 1])])
    const reader = new ClientHello.Reader()
    assert.strictEqual(reader.push(bytes)._tag, "Hello")
    assert.deepStrictEqual(Buffer.from(reader.received), bytes)
  })

  it("a hello as large as is taken, and not a byte more", () => {
    const padded = (size: number) => {
      const room = size - 5 * Math.ceil(size / 16389) - message(body()).length - 4
      return fragmented(message(body({ extensions: [extension(21, new Uint8Array(room))] })), 16384)
    }
    assert.isAtMost(padded(65000).length, ClientHello.maxSize)
    assert.strictEqual(read(padded(65000)).extensions[0], 21)
    const large = Buffer.concat([Buffer.of(1, 1, 0, 0), Buffer.alloc(65536)])
    refused(fragmented(large, 16384), "IllegalParameter", /ClientHello of 65536 bytes is announced/)
    // a small message in records of a byte each is larger than its content
    const slow = fragmented(message(body({ extensions: [extension(21, new Uint8Array(20000))] })), 1)
    refused(slow, "IllegalParameter", /at most 65536 bytes/)
  })
})

describe("what is no TLS, or no ClientHello that can be read", () => {
  it("other protocols", () => {
    const first = (text: string) => Buffer.from(text, "latin1")
    for (const text of ["GET / HTTP/1.1\r\n", "OPTIONS * HTTP/1.1", "PRI * HTTP/2.0"]) {
      refused(first(text), "UnexpectedMessage", /HTTP request in plain text/)
    }
    for (const text of ["SSH-2.0-x", "GETTER / x", "\0\0\0", "{}", "ABCDEFGHI"]) {
      refused(first(text), "UnexpectedMessage", /got a record of type/)
    }
    for (const text of ["G", "OPTIO", "\u0080"]) assert.strictEqual(ClientHello.parse(first(text))._tag, "NeedMore")
    refused(Buffer.from([0x80, 0x2e, 1, 3, 1]), "ProtocolVersion", /SSL 2.0/)
    refused(Buffer.from([0x80, 0x2e, 9]), "UnexpectedMessage", /record of type 128/)
    refused(Buffer.from([22, 2]), "ProtocolVersion", /version 3\.x, got 2/)
  })

  it("records and messages that begin no hello", () => {
    refused(Buffer.from([22, 3, 1, 0, 0]), "UnexpectedMessage", /empty/)
    refused(Buffer.from([22, 3, 1, 0x40, 1]), "RecordOverflow", /16385/)
    refused(record(Buffer.of(2)), "UnexpectedMessage", /type 2/)
    refused(Buffer.from([22, 3, 1, 0, 9, 2]), "UnexpectedMessage", /type 2/)
    const content = message(body())
    const half = record(content.subarray(0, 10))
    refused(Buffer.concat([half, record(content.subarray(10), 23)]), "UnexpectedMessage", /record of type 23/)
    refused(Buffer.concat([half, record(Buffer.alloc(0))]), "UnexpectedMessage", /empty/)
    refused(record(Buffer.concat([content, content])), "UnexpectedMessage", /another message/)
    refused(Buffer.from([21, 3, 1, 0, 2, 1, 0]), "UnexpectedMessage", /type 21/)
  })

  it("hellos whose fields do not fit", () => {
    const cases: ReadonlyArray<readonly [Hello, ClientHello.Alert, RegExp]> = [
      [{ version: 0x0203 }, "ProtocolVersion", /0x203/],
      [{ session: Buffer.alloc(33) }, "DecodeError", /session/],
      [{ suites: Buffer.alloc(0) }, "DecodeError", /cipher suites/],
      [{ suites: Buffer.alloc(3) }, "DecodeError", /cipher suite/],
      [{ compressions: Buffer.alloc(0) }, "DecodeError", /compression/],
      [{ compressions: Buffer.of(1) }, "IllegalParameter", /null/],
      [{ trailing: Buffer.of(0) }, "DecodeError", /followed by 1 more/],
      [{ extensions: null, trailing: Buffer.of(0) }, "DecodeError", /list of extensions/],
      [{ extensions: [Buffer.of(0, 21, 0, 9)] }, "DecodeError", /past the end/],
      [{ extensions: [extension(21), extension(21)] }, "IllegalParameter", /21 is there twice/],
      [{ extensions: [extension(41), extension(21)] }, "IllegalParameter", /pre_shared_key/],
      [{ extensions: [extension(0)] }, "DecodeError", /server names/],
      [{ extensions: [extension(0, vector(2, Buffer.of(0, 0, 0)))] }, "DecodeError", /server name/],
      [{ extensions: [extension(0, vector(2), Buffer.of(1))] }, "DecodeError", /server names/],
      [{ extensions: [hostName("a\0b")] }, "IllegalParameter", /no host name/],
      [{ extensions: [hostName("a".repeat(256))] }, "IllegalParameter", /no host name/],
      [
        { extensions: [extension(0, vector(2, Buffer.of(0, 0, 1, 0x61, 0, 0, 1, 0x62)))] },
        "IllegalParameter",
        /two server names/
      ],
      [{ extensions: [extension(10, vector(2))] }, "DecodeError", /groups/],
      [{ extensions: [extension(10, vector(2, Buffer.alloc(3)))] }, "DecodeError", /groups/],
      [{ extensions: [extension(13, vector(2, Buffer.alloc(2)), Buffer.of(0))] }, "DecodeError", /signature/],
      [{ extensions: [extension(16, vector(2, vector(1), vector(1)))] }, "DecodeError", /protocol/],
      [{ extensions: [extension(43, vector(1))] }, "DecodeError", /versions/],
      [{ extensions: [extension(43, vector(1, Buffer.alloc(3)))] }, "DecodeError", /version/]
    ]
    for (const [options, alert, reason] of cases) refused(hello(options), alert, reason, JSON.stringify(options))
  })

  it("what looks odd and is legal is read", () => {
    assert.deepStrictEqual(read(hello({ extensions: null })).extensions, [])
    assert.deepStrictEqual(read(hello({ extensions: [] })).extensions, [])
    assert.strictEqual(read(hello({ version: 0x0300 })).legacyVersion, 0x0300)
    // another type of server name is passed over (RFC 6066 section 3)
    const other = extension(0, vector(2, Buffer.of(9, 0, 1, 0xff)))
    assert.strictEqual(read(hello({ extensions: [other] })).serverName, undefined)
    const grease = hello({ suites: Buffer.of(0x1a, 0x1a, 0x13, 0x01), extensions: [extension(0x0a0a)] })
    assert.deepStrictEqual(ClientHello.withoutGrease(read(grease).cipherSuites), [0x1301])
    assert.deepStrictEqual(suites(read(grease)), ["TLS_AES_128_GCM_SHA256"])
  })

  it("an alert is a record that a client can read", () => {
    assert.deepStrictEqual([...ClientHello.alertRecord("HandshakeFailure")], [21, 3, 1, 0, 2, 2, 40])
  })

  it("the answer stays", () => {
    const reader = new ClientHello.Reader()
    const answer = reader.push(Buffer.from("GET / "))
    assert.strictEqual(reader.push(hello()), answer)
  })

  it("a hello of a real client with any byte changed is read or refused, and never anything else", async () => {
    const bytes = await fromOpenssl("-servername", "a.b", "-alpn", "x", "-tls1_2")
    for (let at = 0; at < bytes.length; at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const changed = bytes.slice()
        changed[at]! ^= flip
        assert.include(["Hello", "NotTls", "NeedMore"], ClientHello.parse(changed)._tag)
      }
    }
  })

  it.prop(
    "any bytes, however they are cut, give the same answer",
    [Arbitrary.schema(Schema.Uint8Array), Schema.Natural, Schema.Boolean],
    ([tail, cut, framed]) => {
      const bytes = new Uint8Array(framed ? record(message(tail)) : Buffer.concat([Buffer.of(22, 3, 1), tail]))
      const at = cut % (bytes.length + 1)
      const reader = new ClientHello.Reader()
      reader.push(bytes.slice(0, at))
      assert.deepStrictEqual(reader.push(bytes.slice(at)), ClientHello.parse(bytes))
    }
  )
})
