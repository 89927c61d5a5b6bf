import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { createPrivateKey, X509Certificate } from "node:crypto"
import * as Certificate from "../../src/tls/Certificate.ts"
import { has } from "../installed.ts"
import { certificate, key, keyKinds, type KeyKind, openssl, path, read, run, text, write } from "./openssl.ts"

const load = (name: string) => Result.getOrThrow(Certificate.fromEncoded(text(`${name}.crt`)))

const ask = (name: string, ...args: ReadonlyArray<string>) =>
  openssl("x509", "-in", `${name}.crt`, "-noout", ...args).trim()

/** What follows the first `=`. */
const value = (line: string) => line.slice(line.indexOf("=") + 1)

const kinds = Object.keys(keyKinds) as ReadonlyArray<KeyKind>

const algorithms: Readonly<Record<KeyKind, readonly [key: string, length: number, signature: string]>> = {
  rsa2048: ["RSA", 2048, "RSA_SHA256RSA"],
  rsa3072: ["RSA", 3072, "RSA_SHA256RSA"],
  rsapss: ["RSA-PSS", 2048, "RSA_SSA_PSS"],
  p256: ["EC", 256, "ECDSA_SHA256"],
  p384: ["EC", 384, "ECDSA_SHA256"],
  p521: ["EC", 521, "ECDSA_SHA256"],
  ed25519: ["ED25519", 256, "ED25519"],
  ed448: ["ED448", 456, "ED448"]
}

describe("Certificate: its fields are those that openssl shows", () => {
  for (const kind of kinds) {
    it(`of a certificate with a key of the kind ${kind}`, () => {
      const name = `cert-${kind}`
      certificate(name, {
        kind,
        subject: `/C=US/ST=NC/L=Durham/O=Test/OU=Web/CN=www.${kind}.com/emailAddress=a@b.com`,
        extensions: ["basicConstraints=CA:FALSE"]
      })
      const it = load(name)
      for (const [hash, fingerprint, thumbprint] of [
        ["md5", it.fingerprint, it.thumbprintMd5],
        ["sha1", it.fingerprintSha1, it.thumbprintSha1],
        ["sha256", it.fingerprintSha256, it.thumbprintSha256]
      ] as const) {
        const shown = value(ask(name, "-fingerprint", `-${hash}`))
        assert.strictEqual(fingerprint, shown.toLowerCase())
        assert.strictEqual(thumbprint, shown.replaceAll(":", ""))
      }
      assert.strictEqual(it.serialNumber, value(ask(name, "-serial")))
      assert.strictEqual(it.effectiveDate!.getTime(), Date.parse(value(ask(name, "-startdate"))))
      assert.strictEqual(it.expirationDate!.getTime(), Date.parse(value(ask(name, "-enddate"))))
      assert.strictEqual(it.subject, `CN=www.${kind}.com, OU=Web, O=Test, L=Durham, S=NC, C=US, E=a@b.com`)
      assert.strictEqual(it.issuer, it.subject)
      assert.strictEqual(it.publicKeyPem, ask(name, "-pubkey") + "\n")
      assert.strictEqual(it.pem, text(`${name}.crt`))
      assert.deepStrictEqual([it.publicKeyAlgorithm, it.publicKeyLength, it.signatureAlgorithm], algorithms[kind])
      assert.strictEqual(it.version, "V3")
      assert.strictEqual(it.privateKey, undefined)
      assert.strictEqual(it.privateKeyPem, "")
      assert.isTrue(it.hasCertificate)
    })
  }

  const full = [
    "basicConstraints=CA:FALSE",
    "keyUsage=critical,digitalSignature,keyAgreement",
    "extendedKeyUsage=serverAuth,clientAuth",
    "subjectAltName=DNS:www.a.com,IP:10.0.0.1,email:a@b.com"
  ]
  const usages: Readonly<Record<string, string>> = {
    "TLS Web Server Authentication": "1.3.6.1.5.5.7.3.1",
    "TLS Web Client Authentication": "1.3.6.1.5.5.7.3.2"
  }
  const signatures: Readonly<Record<string, string>> = {
    sha256WithRSAEncryption: "RSA_SHA256RSA",
    rsassaPss: "RSA_SSA_PSS",
    "ecdsa-with-SHA256": "ECDSA_SHA256",
    ED25519: "ED25519",
    ED448: "ED448"
  }
  for (const [i, kind] of kinds.entries()) {
    it(`of one with a key of the kind ${kind} that another signed, with extensions and without, as in -text`, () => {
      // each is signed by a key of another kind
      const signer = kinds[(i + 3) % kinds.length]!
      certificate(`signer-${signer}`, { kind: signer, subject: `/O=Authority/CN=${signer}` })
      for (const [name, extensions] of [
        [`full-${kind}`, full],
        [`bare-${kind}`, ["subjectKeyIdentifier=none", "authorityKeyIdentifier=none"]]
      ] as const) {
        certificate(name, { kind, extensions, issuer: `signer-${signer}` })
        const it = load(name)
        const shown = ask(name, "-text")
        /** What is on the line after a heading. */
        const under = (heading: string) => new RegExp(`${heading}:[^\\n]*\\n\\s+(.*)`).exec(shown)?.[1] ?? ""
        const list = (heading: string) => (under(heading) === "" ? [] : under(heading).split(", "))
        assert.strictEqual(it.issuer, `CN=${signer}, O=Authority`)
        assert.match(shown, new RegExp(`Issuer: O\\s*=\\s*Authority, CN\\s*=\\s*${signer}\\n`))
        assert.strictEqual(it.subject, `CN=${name}, O=Test, C=US`)
        assert.strictEqual(it.signatureAlgorithm, signatures[/Signature Algorithm: (\S+)/.exec(shown)![1]!])
        const bits =
          /Public-Key: \((\d+) bit\)/.exec(shown)?.[1] ?? /ED(?:25519|448)/.exec(under("Public Key Algorithm"))?.[0]
        assert.strictEqual(it.publicKeyLength, bits === "ED25519" ? 256 : bits === "ED448" ? 456 : Number(bits))
        assert.strictEqual(it.version, `V${/Version: (\d)/.exec(shown)![1]}`)
        assert.deepStrictEqual(it.usage, list("X509v3 Key Usage"))
        assert.deepStrictEqual(
          it.extendedKeyUsage,
          list("X509v3 Extended Key Usage").map((word) => usages[word] ?? word)
        )
        assert.deepStrictEqual(
          it.alternativeNames.map(
            ({ type, value }) => `${{ IP: "IP Address", Email: "email" }[type as string] ?? type}:${value}`
          ),
          list("X509v3 Subject Alternative Name")
        )
      }
    })
  }

  it("each key usage is a flag and a word, and Decipher Only is none", () => {
    const words = [
      ["digitalSignature", 0x80, "Digital Signature"],
      ["nonRepudiation", 0x40, "Non-Repudiation"],
      ["keyEncipherment", 0x20, "Key Encipherment"],
      ["dataEncipherment", 0x10, "Data Encipherment"],
      ["keyAgreement", 0x08, "Key Agreement"],
      ["keyCertSign", 0x04, "Certificate Signing"],
      ["cRLSign", 0x02, "CRL Signing"],
      ["encipherOnly", 0x01, "Encipher Only"]
    ] as const
    for (const [word, flag, name] of words) {
      certificate(`usage-${word}`, { extensions: [`keyUsage=critical,${word}`] })
      const it = load(`usage-${word}`)
      assert.strictEqual(it.usageFlags, flag)
      assert.deepStrictEqual(it.usage, [name])
    }
    const all = words.map(([word]) => word).join(",")
    certificate("usage-all", { extensions: [`keyUsage=${all},decipherOnly`] })
    assert.strictEqual(load("usage-all").usageFlags, 0xff)
    assert.deepStrictEqual(
      load("usage-all").usage,
      words.map(([, , name]) => name)
    )
    certificate("usage-decipher", { extensions: ["keyUsage=decipherOnly"] })
    assert.strictEqual(load("usage-decipher").usageFlags, 0)
  })

  it("extended key usages are object identifiers", () => {
    certificate("eku", { extensions: ["extendedKeyUsage=serverAuth,clientAuth,codeSigning,1.2.3.4"] })
    const expected = ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.3", "1.2.3.4"]
    assert.deepStrictEqual(load("eku").extendedKeyUsage, expected)
    assert.deepStrictEqual(new X509Certificate(read("eku.crt")).keyUsage, expected)
  })

  it("alternative names of each type", () => {
    certificate("san", {
      extensions: [
        "subjectAltName=DNS:www.a.com,DNS:*.a.com,IP:127.0.0.1,IP:2001:db8::1,email:a@b.com,URI:https://a.com/x,RID:1.2.3.4,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:me@corp,dirName:dir",
        "[dir]",
        "C=US",
        "CN=inner, name"
      ]
    })
    const names = load("san").alternativeNames
    assert.deepStrictEqual(names, [
      { type: "DNS", value: "www.a.com" },
      { type: "DNS", value: "*.a.com" },
      { type: "IP", value: "127.0.0.1" },
      { type: "IP", value: "2001:db8::1" },
      { type: "Email", value: "a@b.com" },
      { type: "URI", value: "https://a.com/x" },
      { type: "RegisteredId", value: "1.2.3.4" },
      { type: "Other", value: "me@corp" },
      { type: "DirectoryName", value: 'CN="inner, name", C=US' }
    ])
    assert.strictEqual(Certificate.formatAlternativeNames(names.slice(0, 3)), "www.a.com,*.a.com,127.0.0.1")
  })

  it("names with commas, quotes, other signs and letters beyond ASCII", () => {
    certificate("names", { subject: '/C=DE/O=Kühn, Söhne "GmbH"/OU=a=b/OU= x/DC=corp/UID=me/CN=日本' })
    const it = load("names")
    assert.strictEqual(it.subject, 'CN=日本, UID=me, DC=corp, OU=" x", OU="a=b", O="Kühn, Söhne ""GmbH""", C=DE')
    assert.isTrue(it.subjectIs(it.subject))
    assert.isTrue(it.subjectIs('c=de,o="kühn, söhne ""gmbh""",dc=corp , ou=" x",ou="a=b",uid=me,commonName=日本'))
    assert.isFalse(it.subjectIs("CN=日本"))
    assert.isFalse(it.subjectIs(""))
    assert.isFalse(it.subjectIs("no name"))
  })

  it("an attribute without a name of its own is an object identifier", () => {
    certificate("oid", { subject: "/pseudonym=x/CN=oid" })
    assert.strictEqual(load("oid").subject, "CN=oid, 2.5.4.65=x")
    certificate("unnamed", { subject: "/" })
    assert.strictEqual(load("unnamed").subject, "")
  })

  it("a certificate of version 1 has no extensions", () => {
    key("rsa2048", "v1")
    openssl("req", "-new", "-key", "v1.key", "-subj", "/CN=v1", "-out", "v1.csr")
    openssl("x509", "-req", "-in", "v1.csr", "-signkey", "v1.key", "-days", "9", "-out", "v1.crt", "-sha1")
    assert.match(ask("v1", "-text"), /Version: 1/)
    const it = load("v1")
    assert.strictEqual(it.version, "V1")
    assert.strictEqual(it.signatureAlgorithm, "RSA_SHA1RSA")
    assert.deepStrictEqual([it.usageFlags, it.usage, it.extendedKeyUsage, it.alternativeNames], [0, [], [], []])
  })

  it("serial numbers of every length, with their highest bit set or not", () => {
    for (const serial of ["0x01", "0x7f", "0x80", "0xff00", "0x0123456789abcdef0123456789abcdef01234567"]) {
      certificate(`serial-${serial}`, { serial })
      assert.strictEqual(load(`serial-${serial}`).serialNumber, value(ask(`serial-${serial}`, "-serial")), serial)
    }
  })

  it("signature algorithms have the names of Windows", () => {
    for (const [hash, name] of [
      ["sha224", "RSA_SHA224RSA"],
      ["sha384", "RSA_SHA384RSA"],
      ["sha512", "RSA_SHA512RSA"],
      ["md5", "RSA_MD5RSA"]
    ] as const) {
      certificate(`hash-${hash}`, { kind: "rsa2048", args: [`-${hash}`] })
      assert.strictEqual(load(`hash-${hash}`).signatureAlgorithm, name)
    }
  })
})

describe("Certificate: from whichever encoding", () => {
  it("PEM as text and bytes, DER, and base64 with and without line ends", () => {
    certificate("plain")
    const pem = text("plain.crt")
    openssl("x509", "-in", "plain.crt", "-outform", "DER", "-out", "plain.der")
    const der = read("plain.der")
    const base64 = der.toString("base64")
    for (const encoded of [
      pem,
      Buffer.from(pem),
      der,
      base64,
      base64.replaceAll(/.{60}/g, "$&\r\n"),
      Buffer.from(base64)
    ]) {
      const it = Result.getOrThrow(Certificate.fromEncoded(encoded))
      assert.deepStrictEqual(Buffer.from(it.der!), der)
    }
  })

  it("anything else is a CertificateError", () => {
    certificate("plain")
    key("p256", "plain")
    const der = Buffer.from(new X509Certificate(read("plain.crt")).raw)
    for (const encoded of ["", "x", "AAAA", text("plain.key"), der.subarray(0, -1), der.subarray(1), Buffer.alloc(9)]) {
      const error = Result.getOrThrow(Result.flip(Certificate.fromEncoded(encoded)))
      assert.strictEqual(error._tag, "CertificateError")
      assert.match(error.message, /expected an X.509 certificate/)
    }
  })
})

describe("Certificate: bare keys", () => {
  it.runIf(has("ssh-keygen"))("have the fingerprints of SSH, and nothing that a certificate has", () => {
    for (const kind of ["rsa2048", "p256", "p384", "p521", "ed25519"] as const) {
      key(kind)
      const publicLine = run("ssh-keygen", ["-y", "-f", write(`${kind}.ssh`, sshKey(kind))])
      write(`${kind}.pub`, publicLine)
      const it = new Certificate.Certificate({ privateKey: createPrivateKey(text(`${kind}.key`)) })
      const md5 = /MD5:([0-9a-f:]+)/.exec(run("ssh-keygen", ["-l", "-E", "md5", "-f", path(`${kind}.pub`)]))![1]
      const sha256 = /SHA256:(\S+)/.exec(run("ssh-keygen", ["-l", "-E", "sha256", "-f", path(`${kind}.pub`)]))![1]
      assert.strictEqual(it.fingerprint, md5)
      const bytes = Buffer.from(it.fingerprintSha256.replaceAll(":", ""), "hex")
      assert.strictEqual(bytes.toString("base64").replace(/=+$/, ""), sha256)
      assert.isFalse(it.hasCertificate)
      assert.deepStrictEqual(
        [it.subject, it.issuer, it.serialNumber, it.version, it.thumbprintSha1, it.pem, it.signatureAlgorithm],
        ["", "", "", "", "", "", ""]
      )
      assert.deepStrictEqual([it.effectiveDate, it.expirationDate, it.der], [undefined, undefined, undefined])
      assert.strictEqual(it.publicKeyPem, openssl("pkey", "-in", `${kind}.key`, "-pubout"))
      assert.strictEqual(it.privateKeyPem, text(`${kind}.key`))
    }
  })

  it("shows no secret when it is printed", () => {
    certificate("plain")
    const it = load("plain").withPrivateKey(createPrivateKey(text("plain.key")))
    assert.strictEqual(String(it), "Certificate(CN=plain, O=Test, C=US)")
    assert.notInclude(JSON.stringify(it), "PRIVATE")
    assert.include(JSON.stringify(it), '"privateKeyAvailable":true')
  })
})

/** ssh-keygen reads PKCS#8 of all kinds but Ed25519, which it wants in its own form. */
const sshKey = (kind: KeyKind): string => {
  if (kind !== "ed25519") return text(`${kind}.key`)
  const jwk = createPrivateKey(text(`${kind}.key`)).export({ format: "jwk" })
  const [secret, open] = [Buffer.from(jwk.d!, "base64url"), Buffer.from(jwk.x!, "base64url")]
  const field = (bytes: Uint8Array | string) => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(Buffer.from(bytes).length)
    return Buffer.concat([length, Buffer.from(bytes)])
  }
  const both = Buffer.concat([secret, open])
  const publicBlob = Buffer.concat([field("ssh-ed25519"), field(open)])
  const check = Buffer.alloc(8, 1)
  const inner = Buffer.concat([check, field("ssh-ed25519"), field(open), field(both), field("")])
  const padding = Buffer.from(Array.from({ length: (8 - (inner.length % 8)) % 8 }, (_, i) => i + 1))
  const one = Buffer.from([0, 0, 0, 1])
  const blob = Buffer.concat([
    Buffer.from("openssh-key-v1\0"),
    field("none"),
    field("none"),
    field(""),
    one,
    field(publicBlob),
    field(Buffer.concat([inner, padding]))
  ])
  const lines = blob.toString("base64").replaceAll(/.{70}/g, "$&\n")
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines}\n-----END OPENSSH PRIVATE KEY-----\n`
}

describe("formatDate", () => {
  it("writes day, month and time as the document shows them, in local time", () => {
    assert.strictEqual(Certificate.formatDate(new Date(2000, 0, 23, 15, 0, 0)), "23-Jan-2000 15:00:00")
    assert.strictEqual(Certificate.formatDate(new Date(2025, 11, 1, 1, 2, 3)), "01-Dec-2025 01:02:03")
    assert.strictEqual(Certificate.formatDate(undefined), "")
    assert.strictEqual(Certificate.formatDate(new Date(Number.NaN)), "")
  })
})
