/**
 * The settings of TLS on the command line: certificates by name, versions, suites, groups, signatures, protocols, tickets, the
 * key log, clients' certificates, and what is logged.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { once } from "node:events"
import { statSync } from "node:fs"
import * as Net from "node:net"
import * as tls from "node:tls"
import { WebSocket } from "ws"
import { cipherOptions } from "../../src/cli/tlsOptions.ts"
import { Authority } from "../tls/authority.ts"
import { certificate, key, openssl, path, text, write } from "../tls/openssl.ts"
import * as Responder from "../tls/responder.ts"
import { named, setUp } from "../tls/revoking.ts"
import { type Running, start } from "./command.ts"

const names = (...list: ReadonlyArray<string>) => [`subjectAltName=${list.map((name) => `DNS:${name}`).join()}`]
const ca = ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"]
certificate("first", { extensions: names("first.example", "localhost") })
certificate("first-rsa", { extensions: names("first.example"), kind: "rsa2048" })
certificate("wild", { extensions: names("*.wild.example") })
certificate("authority", { extensions: ca })
certificate("member", { issuer: "authority" })
certificate("stranger")
write("first.pem", text("first.crt") + text("first.key"))
write("first-rsa.pem", text("first-rsa.crt") + text("first-rsa.key"))
key("p256", "locked")
openssl(..."pkcs12 -export -passout pass:secret -inkey wild.key -in wild.crt -out wild.pfx".split(" "))

interface Serving {
  readonly command: Running
  readonly port: number
}

const serving = (...args: ReadonlyArray<string>): Effect.Effect<Serving, never, Scope.Scope> =>
  Effect.gen(function* () {
    const command = yield* start(["echo", "0", ...args])
    const port = /:(\d+)$/.exec(yield* command.line(1))?.[1]
    return { command, port: Number(port) }
  })

interface Seen {
  readonly name: string | undefined
  readonly version: string | null
  readonly suite: string
  readonly group: string | undefined
  readonly alpn: string | false | null
  readonly session: Buffer | undefined
  readonly isResumed: boolean
}

/** What a client agrees on, or why it does not. */
const agreed = (port: number, options: tls.ConnectionOptions = {}): Effect.Effect<Seen | string> =>
  Effect.promise(async () => {
    const socket = tls.connect({
      port,
      host: "127.0.0.1",
      servername: "first.example",
      rejectUnauthorized: false,
      ...options
    })
    try {
      let session: Buffer | undefined
      socket.on("session", (it: Buffer) => (session = it))
      await once(socket, "secureConnect")
      // an answer brings the ticket of TLS 1.3 with it, or the alert
      socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
      await once(socket, "data")
      const group = socket.getEphemeralKeyInfo()
      return {
        name: socket.getPeerX509Certificate()?.subject.split("CN=")[1],
        version: socket.getProtocol(),
        suite: socket.getCipher().standardName,
        group: group !== null && "name" in group ? group.name : undefined,
        alpn: socket.alpnProtocol,
        session,
        isResumed: socket.isSessionReused()
      }
    } catch (error) {
      return String(error)
    } finally {
      socket.destroy()
    }
  })

const seen = (port: number, options: tls.ConnectionOptions = {}) =>
  Effect.map(agreed(port, options), (it) => (typeof it === "string" ? assert.fail(it) : it))
const refused = (port: number, options: tls.ConnectionOptions = {}) =>
  Effect.map(agreed(port, options), (it) => (typeof it === "string" ? it : assert.fail(`agreed on ${it.version}`)))

const logged = ({ command }: Serving, words: RegExp) =>
  Effect.gen(function* () {
    while (!words.test(command.stderr())) yield* Effect.sleep(20)
  }).pipe(
    Effect.timeout("10 seconds"),
    Effect.catch(() => Effect.die(new Error(`${words} is not in ${command.stderr()}`)))
  )

describe("certificates", { timeout: 60_000 }, () => {
  it.live("are chosen by name and by kind of key, with their keys in files of their own or not", () =>
    Effect.gen(function* () {
      for (const args of [
        ["--cert", path("first.pem"), "--cert", path("first-rsa.pem"), "--cert", path("wild.crt")],
        ["--cert", path("first.crt"), "--cert", path("first-rsa.crt"), "--cert", path("wild.crt")]
      ]) {
        const keys = args.filter((it) => it.endsWith(".crt")).map((it) => it.replace(".crt", ".key"))
        const { port } = yield* serving(...args, ...keys.flatMap((it) => ["--key", it]))
        for (const [options, name] of [
          [{}, "first"],
          [{ sigalgs: "rsa_pss_rsae_sha256" }, "first-rsa"],
          [{ maxVersion: "TLSv1.2", sigalgs: "RSA+SHA256" }, "first-rsa"],
          [{ servername: "any.wild.example" }, "wild"],
          [{ servername: "other.example" }, "first"]
        ] as const) {
          assert.strictEqual((yield* seen(port, options)).name, name, JSON.stringify(options))
        }
      }
    }).pipe(Effect.scoped)
  )

  it.live("of a PFX file, with --strict-sni: another name is refused", () =>
    Effect.gen(function* () {
      process.env["TLS_FLAGS_TEST_PASSWORD"] = "secret"
      const args = ["--cert", path("wild.pfx"), "--cert-password-env", "TLS_FLAGS_TEST_PASSWORD", "--strict-sni"]
      const server = yield* serving(...args)
      assert.strictEqual((yield* seen(server.port, { servername: "a.wild.example" })).name, "wild")
      assert.match(yield* refused(server.port, { servername: "b.c.wild.example" }), /unrecognized name/)
      yield* logged(server, /TLS with 127\.0\.0\.1:\d+: there is no certificate for .*"b\.c\.wild\.example"/)
    }).pipe(Effect.scoped)
  )
})

describe("settings", { timeout: 60_000 }, () => {
  it.live("--tls-min and --tls-max say which versions are spoken", () =>
    Effect.gen(function* () {
      const only12 = yield* serving("--cert", path("first.pem"), "--tls-max", "1.2")
      assert.strictEqual((yield* seen(only12.port)).version, "TLSv1.2")
      assert.match(yield* refused(only12.port, { minVersion: "TLSv1.3" }), /protocol version/)
      yield* logged(only12, /TLS with .*: the client speaks none of the versions/)
      const old = yield* serving("--cert", path("first-rsa.pem"), "--tls-min", "1.0", "--tls-max", "1.1")
      const options = { minVersion: "TLSv1", ciphers: "ALL:@SECLEVEL=0" } as const
      assert.strictEqual((yield* seen(old.port, options)).version, "TLSv1.1")
      assert.match(yield* refused(old.port), /protocol version/)
    }).pipe(Effect.scoped)
  )

  it.live("--ciphers, --groups, --sigalgs and --alpn say what is agreed on", () =>
    Effect.gen(function* () {
      const suites = "TLS_CHACHA20_POLY1305_SHA256,ECDHE-ECDSA-AES256-GCM-SHA384"
      const alpn = ["--alpn", "mqtt,http/1.1"]
      const args = ["--ciphers", suites, "--groups", "secp384r1,X448", "--sigalgs", "ecdsa_secp256r1_sha256", ...alpn]
      const { port } = yield* serving("--cert", path("first.pem"), ...args)
      const modern = yield* seen(port, { ALPNProtocols: ["http/1.1", "mqtt"], ecdhCurve: "X25519:P-384" })
      assert.deepInclude(modern, { suite: "TLS_CHACHA20_POLY1305_SHA256", group: "secp384r1", alpn: "mqtt" })
      const classic = yield* seen(port, { maxVersion: "TLSv1.2" })
      assert.deepInclude(classic, { suite: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", alpn: false })
      assert.match(yield* refused(port, { ecdhCurve: "X25519" }), /handshake failure/)
      assert.match(yield* refused(port, { sigalgs: "ed25519" }), /handshake failure/)
      assert.match(yield* refused(port, { ALPNProtocols: ["imap"] }), /no application protocol/)
    }).pipe(Effect.scoped)
  )

  it.live("--ciphers takes OpenSSL's own language; --alpn and --session-tickets can be off", () =>
    Effect.gen(function* () {
      const args = ["--ciphers", "ECDHE+AES256:!SHA1", "--alpn", "off", "--session-tickets", "off"]
      const { port } = yield* serving("--cert", path("first.pem"), ...args)
      const first = yield* seen(port, { ALPNProtocols: ["imap"] })
      const classic = yield* seen(port, { maxVersion: "TLSv1.2" })
      assert.match(classic.suite, /^TLS_ECDHE_ECDSA_WITH_AES_256_/)
      assert.isFalse(first.alpn)
      assert.isFalse((yield* seen(port, { session: first.session })).isResumed)
      const usual = yield* serving("--cert", path("first.pem"))
      const before = yield* seen(usual.port)
      assert.isTrue((yield* seen(usual.port, { session: before.session })).isResumed)
    }).pipe(Effect.scoped)
  )

  it("a name with a slip in it is no list in OpenSSL's language", () => {
    for (const names of ["ECDHE-RSA-AES128-GCM-SHA265", "TLS_AES_129_GCM_SHA256", "*", "AES128-SHA:AES256-SHA"]) {
      assert.property(cipherOptions(names), "cipherSuites", names)
    }
    for (const list of ["HIGH:!aNULL", "DEFAULT:@SECLEVEL=2", "ECDHE+AESGCM", "AES128-SHA:-RSA", "HIGH"]) {
      assert.deepStrictEqual(cipherOptions(list), { cipherList: list })
    }
    assert.deepStrictEqual(cipherOptions("A-B, C-D : E_F"), { cipherSuites: ["A-B", "C-D", "E_F"] })
  })

  it.live("--key-log appends to a file that is its owner's alone, and is warned of", () =>
    Effect.gen(function* () {
      const server = yield* serving("--cert", path("first.pem"), "--key-log", path("keys.log"))
      assert.match(server.command.stderr(), /The secrets of all TLS connections are written to .*keys\.log/)
      yield* seen(server.port)
      yield* Effect.gen(function* () {
        while (!text("keys.log").includes("SERVER_TRAFFIC_SECRET_0 ")) yield* Effect.sleep(20)
      }).pipe(Effect.timeout("10 seconds"))
      assert.strictEqual(statSync(path("keys.log")).mode & 0o777, 0o600)
    }).pipe(Effect.scoped)
  )
})

const as = (name: string) => ({ cert: text(`${name}.crt`), key: text(`${name}.key`) })
/** Whether an echo comes back. */
const isLetIn = (port: number, options: tls.ConnectionOptions): Effect.Effect<boolean> =>
  Effect.promise(async () => {
    const client = new WebSocket(`wss://127.0.0.1:${port}`, { rejectUnauthorized: false, ...options })
    try {
      await once(client, "open")
      client.send("hello")
      await once(client, "message")
      client.close()
      await once(client, "close")
      return true
    } catch {
      return false
    }
  })

describe("certificates of clients", { timeout: 60_000 }, () => {
  it.live("--client-cert optional lets in who shows none, and not who shows a wrong one", () =>
    Effect.gen(function* () {
      write("more.crt", text("first.crt") + text("authority.crt"))
      const args = ["--client-ca", path("wild.crt"), "--client-ca", path("more.crt"), "--client-cert", "optional"]
      const server = yield* serving("--cert", path("first.pem"), ...args)
      assert.isTrue(yield* isLetIn(server.port, {}))
      assert.isTrue(yield* isLetIn(server.port, as("member")))
      assert.isFalse(yield* isLetIn(server.port, as("stranger")))
      yield* logged(server, /the client with ".*CN=stranger.*" is not trusted: DEPTH_ZERO_SELF_SIGNED_CERT/)
    }).pipe(Effect.scoped)
  )

  it.live("--client-ca-system trusts the system's authorities, besides those of --client-ca or alone", () =>
    Effect.gen(function* () {
      certificate("system", { extensions: ca })
      certificate("citizen", { issuer: "system" })
      // where OpenSSL looks for the system's
      yield* Effect.acquireRelease(
        Effect.sync(() => (process.env["SSL_CERT_FILE"] = path("system.crt"))),
        () => Effect.sync(() => delete process.env["SSL_CERT_FILE"])
      )
      const pem = ["--cert", path("first.pem")]
      const alone = yield* serving(...pem, "--client-ca-system")
      assert.isTrue(yield* isLetIn(alone.port, as("citizen")))
      assert.isFalse(yield* isLetIn(alone.port, as("member")))
      assert.isFalse(yield* isLetIn(alone.port, {}))
      const both = yield* serving(...pem, "--client-ca-system", "--client-ca", path("authority.crt"))
      assert.isTrue(yield* isLetIn(both.port, as("citizen")))
      assert.isTrue(yield* isLetIn(both.port, as("member")))
      const given = yield* serving(...pem, "--client-ca", path("authority.crt"))
      assert.isFalse(yield* isLetIn(given.port, as("citizen")))
    }).pipe(Effect.scoped)
  )
})

describe("certificates of clients that are revoked", { timeout: 60_000 }, () => {
  it.live("--client-crl refuses them by a list, which is read again when it changes, and stays when it is broken", () =>
    Effect.gen(function* () {
      const authority = new Authority("lists")
      for (const name of ["kept", "taken"]) authority.issue(name, { extensions: named({}) })
      write("list.pem", authority.crl({ pem: true }))
      const args = ["--client-ca", path("lists.crt"), "--client-crl", path("list.pem")]
      const server = yield* serving("--cert", path("first.pem"), ...args)
      assert.isTrue(yield* isLetIn(server.port, as("taken")))
      authority.revoke("taken")
      write("list.pem", authority.crl({ pem: true }))
      assert.isFalse(yield* isLetIn(server.port, as("taken")))
      yield* logged(server, /the client with ".*CN=taken.*" is not trusted: CERT_REVOKED: /)
      write("list.pem", "broken")
      assert.isFalse(yield* isLetIn(server.port, as("taken")))
      assert.isTrue(yield* isLetIn(server.port, as("kept")))
      yield* logged(server, /ERROR.* A list was not read anew/)
    }).pipe(Effect.scoped)
  )

  it.live("--client-revocation asks whom they name, and refuses who names nobody only where it is required", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      responder.at("crl", () => authority.crl())
      responder.at("ocsp", Responder.ocsp(authority))
      authority.issue("silent", { extensions: named({}) })
      authority.revoke(name)
      const args = ["--cert", path("first.pem"), "--client-ca", path(`${authority.name}.crt`), "--client-revocation"]
      for (const [list, letsIn] of [
        ["crl", true],
        ["ocsp=required", false]
      ] as const) {
        const { port } = yield* serving(...args, list)
        assert.isFalse(yield* isLetIn(port, as(name)))
        assert.strictEqual(yield* isLetIn(port, as("silent")), letsIn)
      }
      assert.deepStrictEqual([...new Set(responder.log)], ["GET /crl", "GET /ocsp"])
    }).pipe(Effect.scoped)
  )
})

describe("--tls-log", { timeout: 60_000 }, () => {
  it.live(
    "says by default why nothing came of a handshake, and nothing of who only looked whether somebody listens",
    () =>
      Effect.gen(function* () {
        const server = yield* serving("--cert", path("first.pem"))
        for (const bytes of ["", "\x16\x03\x01", "GET / HTTP/1.1\r\n\r\n"]) {
          const socket = Net.connect(server.port, "127.0.0.1")
          socket
            .on("error", () => {})
            .end(bytes, "latin1")
            .resume()
          yield* Effect.promise(() => once(socket, "close"))
        }
        yield* logged(server, /TLS with .*: expected TLS, got an HTTP request in plain text$/m)
        yield* logged(server, /TLS with .*: the client ended the connection before the TLS handshake was done$/m)
        assert.strictEqual(server.command.stderr().match(/TLS with/g)?.length, 2)
      }).pipe(Effect.scoped)
  )

  it.live("says each step, and each record, or nothing", () =>
    Effect.gen(function* () {
      const steps = yield* serving("--cert", path("first.pem"), "--tls-log", "steps")
      yield* seen(steps.port, {
        ALPNProtocols: ["http/1.1", "a\nb\u001b[31m"] as ReadonlyArray<string> as Array<string>
      })
      yield* logged(steps, /TLS with 127\.0\.0\.1:\d+: ClientHello: TLSv1\.3, .*protocols http\/1\.1, a\?b\?\[31m$/m)
      yield* logged(steps, /Handshake done: TLSv1\.3/)
      assert.notInclude(steps.command.stderr(), "TLS record")
      const records = yield* serving("--cert", path("first.pem"), "--tls-log", "records")
      yield* seen(records.port)
      yield* logged(records, /TLS record received: handshake/)
      const silent = yield* serving("--cert", path("first.pem"), "--tls-log", "off")
      yield* refused(silent.port, { maxVersion: "TLSv1.1", minVersion: "TLSv1", ciphers: "ALL:@SECLEVEL=0" })
      yield* seen(silent.port)
      assert.notInclude(silent.command.stderr(), "TLS")
    }).pipe(Effect.scoped)
  )
})
