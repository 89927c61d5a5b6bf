/** What is told of a mistake in the flags about TLS. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { serverOptions, type Typed } from "../../src/cli/tls.ts"
import { certificate, path, text, write } from "../tls/openssl.ts"
import { run } from "./command.ts"

certificate("first")
certificate("first-rsa", { kind: "rsa2048" })
certificate("wild")
write("first.pem", text("first.crt") + text("first.key"))
write("half.crt", `${text("wild.crt")}-----BEGIN CERTIFICATE-----\nTm90aGluZw==\n-----END CERTIFICATE-----\n`)
write("cut.crt", text("wild.crt") + text("first.crt").slice(0, 300))

describe("a mistake", { timeout: 60_000 }, () => {
  const pem = { cert: [path("first.pem")] }
  const some = Option.some
  const mistakes: ReadonlyArray<readonly [Partial<Typed>, RegExp]> = [
    [{ cert: [path("first.crt")] }, /--cert .*first\.crt has no private key.*--key/],
    [{ cert: [path("no.pem")] }, /--cert .*no\.pem: ENOENT/],
    [
      { cert: [path("first.pem"), path("wild.crt"), path("first-rsa.crt")], key: [path("wild.key")] },
      /--key .*\(2\).*got 1/
    ],
    [{ ...pem, key: [path("nowhere.key")] }, /--key .*nowhere\.key: ENOENT/],
    [{ cert: [path("wild.crt")], key: [path("first.key")] }, /^--cert: .*key/],
    [{ ...pem, certPassword: some("NO_SUCH_VARIABLE") }, /NO_SUCH_VARIABLE/],
    [{ strictSni: true }, /--strict-sni .*--cert/],
    [{ alsoPlain: true }, /--also-plain .*--cert/],
    [{ clientCrl: ["list.pem"] }, /--client-crl .*--cert/],
    [{ tlsLog: some("steps" as const) }, /--tls-log .*--cert/],
    [{ keyLog: some(path("keys.log")) }, /--key-log .*--cert/],
    [{ ...pem, tlsMin: some("1.4") }, /--tls-min .*"1\.4"/],
    [{ ...pem, tlsMax: some("TLSv1.2") }, /--tls-max .*"TLSv1\.2"/],
    [{ ...pem, tlsMin: some("1.3"), tlsMax: some("1.2") }, /--tls-max/],
    [{ ...pem, ciphers: some("ECDHE-RSA-AES128-GCM-SHA265") }, /--ciphers.*SHA265/],
    [{ ...pem, ciphers: some("HIGH:!ALL") }, /--ciphers/],
    [{ ...pem, groups: some("X25519,nonsense") }, /--groups.*nonsense/],
    [{ ...pem, sigalgs: some("sha256-rsa,nonsense") }, /--sigalgs.*nonsense/],
    [{ ...pem, alpn: some("a,,b") }, /--alpn/],
    [{ ...pem, alpn: some("h2,http/1.1") }, /--alpn.*h2.*--http2/],
    [{ ...pem, alpn: some("http/1.1"), http2: true }, /--alpn.*h2 is missing/],
    [{ ...pem, keyLog: some(path("no/such/folder")) }, /--key-log .*ENOENT/],
    [{ ...pem, clientCert: some("optional" as const) }, /--client-cert .*--client-ca/],
    [{ ...pem, clientCrl: [path("first.pem")] }, /--client-crl .*--client-ca/],
    [{ ...pem, clientCa: [path("first.crt")], alsoPlain: true }, /--also-plain .*--client-ca/],
    [{ ...pem, clientCa: [path("first.key")] }, /--client-ca .*PEM/],
    [{ ...pem, clientCa: [path("no.crt")] }, /--client-ca .*no\.crt: ENOENT/],
    [{ ...pem, clientCa: [path("first.crt"), path("half.crt")] }, /--client-ca .*half\.crt: .*BEGIN to END$/],
    [{ ...pem, clientCa: [path("cut.crt")] }, /--client-ca .*cut\.crt: it is cut off/],
    [{ ...pem, clientCa: [path("first.crt")], clientCrl: [path("no.crl")] }, /--client-crl.*no\.crl/],
    [{ ...pem, clientCa: [path("first.crt")], clientCrl: [path("first.pem")] }, /--client-crl: .*cannot be read/],
    [{ ...pem, clientCa: [path("first.crt")], clientRevocation: some("crl,oscp") }, /--client-revocation .*"oscp"/]
  ]
  const nothing: Typed = {
    cert: [],
    key: [],
    certPassword: Option.none(),
    strictSni: false,
    clientCa: [],
    clientCaSystem: false,
    clientCert: Option.none(),
    clientCrl: [],
    clientRevocation: Option.none(),
    tlsMin: Option.none(),
    tlsMax: Option.none(),
    ciphers: Option.none(),
    groups: Option.none(),
    sigalgs: Option.none(),
    alpn: Option.none(),
    sessionTickets: Option.none(),
    keyLog: Option.none(),
    tlsLog: Option.none(),
    alsoPlain: false,
    http2: false
  }

  it.effect.each(mistakes)("is told by its flag: %j", ([typed, words]) =>
    Effect.gen(function* () {
      const { message } = yield* Effect.flip(serverOptions({ ...nothing, ...typed }))
      assert.match(message, words)
      assert.isBelow(message.length, 400)
    })
  )

  it.live("is one line, and a failure", () =>
    Effect.gen(function* () {
      for (const [args, words] of [
        [["--cert", path("first.crt")], /--key/],
        [["--cert", path("first.pem"), "--session-tickets", "maybe"], /--session-tickets.*maybe/],
        [["--cert", path("first.pem"), "--client-cert", "optional"], /--client-ca/]
      ] as const) {
        const { code, stderr, stdout } = yield* run("echo", "0", ...args)
        assert.match(stderr, /^effect-websocket: [^\n]+\n$/)
        assert.match(stderr, words)
        assert.isAbove(code ?? 0, 0)
        assert.strictEqual(stdout, "")
      }
    })
  )
})
