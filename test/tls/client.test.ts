/**
 * Dialling with TLS: what the target sees of us, which certificates are accepted, and what a failure says.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Result from "effect/Result"
import type * as Socket from "effect/socket/Socket"
import { execFile } from "node:child_process"
import type * as Tls from "node:tls"
import { promisify } from "node:util"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import { Target } from "../../src/proxy/Target.ts"
import { Certificate } from "../../src/tls/Certificate.ts"
import * as CertificateStore from "../../src/tls/CertificateStore.ts"
import * as TlsClient from "../../src/tls/TlsClient.ts"
import { soon } from "../proxy/connected.ts"
import { read as readAll, sockets } from "../proxy/firewall.ts"
import { names } from "../proxy/resolving.ts"
import { eventually } from "../proxy/watch.ts"
import { Authority } from "./authority.ts"
import { certificate, chain, folder, path, read, text, write } from "./openssl.ts"
import { identity, listen, sServer } from "./tlsTarget.ts"

chain()
const authority = new Authority("authority")
authority.issue("server")
authority.issue("named", { extensions: ["subjectAltName=DNS:db.example,DNS:*.pool.example"] })
authority.issue("addressed", { extensions: ["subjectAltName=IP:127.0.0.1"] })
authority.issue("expired", { from: "20200101000000Z", to: "20210101000000Z" })
authority.issue("tomorrow", { from: "20490101000000Z", to: "20491231000000Z" })
authority.issue("forClients", { extensions: ["subjectAltName=DNS:localhost", "extendedKeyUsage=clientAuth"] })
authority.issue("unnamed", { extensions: ["basicConstraints=CA:FALSE"] })
certificate("lonely", { extensions: ["subjectAltName=DNS:localhost"] })
certificate("client", { extensions: ["extendedKeyUsage=clientAuth"] })

const ca = authority.pem
const store = (name: string) => ({ type: CertificateStore.CertStoreType.cstPEMKeyFile, store: path(name) })
const clientCertificate = Effect.suspend(() => {
  write("client.pem", text("client.key") + text("client.crt"))
  return Effect.orDie(CertificateStore.load(store("client.pem")))
})

const dial = (target: Target, tls: NodeDialer.Options["tls"], options: NodeDialer.Options = {}) =>
  NodeDialer.make({ ...options, tls }).dial(target)

const readText = (socket: Socket.Socket, length: number) =>
  Effect.flatMap(socket.reader, (reader) => readAll(reader, length))

/** Dials a target that presents this, and gives what the failure says. */
const refusal = (presented: Tls.TLSSocketOptions, tls: TlsClient.Options, host = "localhost") =>
  Effect.gen(function* () {
    const before = sockets()
    const error = yield* Effect.scoped(
      Effect.flatMap(listen(presented), ({ port }) => Effect.flip(dial(new Target({ host, port }), tls)))
    )
    assert.strictEqual(error.kind, "TlsFailed", error.message)
    assert.strictEqual(error.refusal.status, 502)
    assert.notInclude(error.refusal.reason, "localhost")
    // the target's are gone with its scope, and ours by themselves
    yield* eventually("the sockets to be gone", () => sockets() <= before, soon)
    return error.detail ?? ""
  })

describe("a target that proves to be the right one", { timeout: 30_000 }, () => {
  it.live.each([["TLSv1.2"], ["TLSv1.3"]] as const)("speaks with us in %s", ([version]) =>
    Effect.gen(function* () {
      const server = yield* listen({ ...identity("server"), minVersion: version, maxVersion: version })
      const socket = yield* dial(server.target, { ca })
      const target = yield* server.accept
      yield* (yield* socket.writer).write("question")
      yield* target.untilReceived(8)
      yield* target.write(Buffer.from("answer"))
      assert.strictEqual(yield* readText(socket, 6), "answer")
      assert.strictEqual(target.tls.getProtocol(), version)
      assert.strictEqual(target.tls.servername, "localhost")
    }).pipe(Effect.scoped)
  )

  it.live.each([["-tls1_2"], ["-tls1_3"]] as const)("is openssl s_server %s", ([version]) =>
    Effect.gen(function* () {
      const args = ["-cert", "leaf.crt", "-key", "leaf.key", "-cert_chain", "chain.pem", "-rev", version]
      const server = yield* sServer(...args)
      const socket = yield* dial(server.target, { ca: text("root.crt"), onlyGivenCa: true })
      yield* (yield* socket.writer).write("abc\n")
      assert.strictEqual(yield* readText(socket, 4), "cba\n")
    }).pipe(Effect.scoped)
  )

  it.live("is asked for the name that is set, and verified by it", () =>
    Effect.gen(function* () {
      const server = yield* listen(identity("named"))
      for (const serverName of ["db.example", "DB.example.", "a.pool.example"]) {
        yield* dial(server.target, { ca, serverName })
        const { tls } = yield* server.accept
        assert.strictEqual(String(tls.servername).toLowerCase(), serverName.toLowerCase().replace(/\.$/, ""))
      }
    }).pipe(Effect.scoped)
  )

  it.live("is verified by the name that was looked up, and not by the address that is connected to", () =>
    Effect.gen(function* () {
      const server = yield* listen(identity("named"))
      const { asked, dns } = names({ "db.example": ["127.0.0.1"], "other.example": ["127.0.0.1"] })
      const { port } = server
      yield* dial(new Target({ host: "db.example", port }), { ca }, { dns })
      assert.strictEqual((yield* server.accept).tls.servername, "db.example")
      const error = yield* Effect.flip(dial(new Target({ host: "other.example", port }), { ca }, { dns }))
      assert.strictEqual(error.kind, "TlsFailed")
      assert.deepStrictEqual(asked, ["db.example", "other.example"])
    }).pipe(Effect.scoped)
  )

  it.live("is verified by its address, which it is not asked for", () =>
    Effect.gen(function* () {
      const server = yield* listen(identity("addressed"))
      yield* dial(new Target({ host: "127.0.0.1", port: server.port }), { ca })
      assert.isNotOk((yield* server.accept).tls.servername)
      yield* dial(server.target, { ca, serverName: "127.0.0.1" })
      assert.isNotOk((yield* server.accept).tls.servername)
    }).pipe(Effect.scoped)
  )

  it.live("has an internationalized name, asked for in ASCII", () =>
    Effect.gen(function* () {
      authority.issue("international", { extensions: ["subjectAltName=DNS:xn--bcher-kva.example"] })
      const server = yield* listen(identity("international"))
      yield* dial(server.target, { ca, serverName: "bücher.example" })
      assert.strictEqual((yield* server.accept).tls.servername, "xn--bcher-kva.example")
    }).pipe(Effect.scoped)
  )

  it.live("is of one of several authorities: as texts, bytes, and several in one", () =>
    Effect.gen(function* () {
      const server = yield* listen(identity("server"))
      const other = text("root.crt")
      for (const given of [[other, ca], other + ca, read("authority.crt"), [other, read("authority.crt")]]) {
        yield* dial(server.target, { ca: given, onlyGivenCa: true })
      }
    }).pipe(Effect.scoped)
  )

  it.live("is self-signed, and given", () =>
    Effect.gen(function* () {
      const server = yield* listen(identity("lonely"))
      yield* dial(server.target, { ca: text("lonely.crt"), onlyGivenCa: true })
    }).pipe(Effect.scoped)
  )

  it.live("agrees on an application protocol", () =>
    Effect.gen(function* () {
      const server = yield* listen({ ...identity("server"), ALPNProtocols: ["b", "c"] })
      yield* dial(server.target, { ca, alpnProtocols: ["a", "b"], settings: { alpnProtocols: ["z"] } })
      assert.strictEqual((yield* server.accept).tls.alpnProtocol, "b")
      yield* dial(server.target, { ca, settings: { alpnProtocols: ["c"] } })
      assert.strictEqual((yield* server.accept).tls.alpnProtocol, "c")
    }).pipe(Effect.scoped)
  )

  it.live("is spoken to by the settings", () =>
    Effect.gen(function* () {
      const server = yield* listen(identity("server"))
      const settings = { maxVersion: "TLSv1.2", cipherSuites: ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"] } as const
      yield* dial(server.target, { ca, settings })
      const { tls } = yield* server.accept
      assert.strictEqual(tls.getProtocol(), "TLSv1.2")
      assert.strictEqual(tls.getCipher().name, "ECDHE-ECDSA-AES256-GCM-SHA384")
    }).pipe(Effect.scoped)
  )

  it.live("has its secrets in the file that is asked for", () =>
    Effect.gen(function* () {
      const server = yield* listen(identity("server"))
      yield* dial(server.target, { ca, settings: { keyLogFile: path("keys.log") } })
      yield* eventually("the secrets", () => {
        try {
          return /^CLIENT_TRAFFIC_SECRET_0 /m.test(text("keys.log"))
        } catch {
          return false
        }
      })
    }).pipe(Effect.scoped)
  )

  it.live("is asked about at each dial", () =>
    Effect.gen(function* () {
      const secure = yield* listen(identity("server"))
      const { dial } = NodeDialer.make({
        tls: ({ host }) => (host === "localhost" ? { ca } : undefined)
      })
      yield* dial(secure.target)
      yield* secure.accept
      // in the clear, which the target cannot make sense of
      const clear = yield* dial(new Target({ host: "127.0.0.1", port: secure.port }))
      yield* (yield* clear.writer).write("GET / HTTP/1.1\r\n\r\n")
      yield* secure.watch.until("the failure", () => secure.failures.length > 0, soon)
    }).pipe(Effect.scoped)
  )
})

describe("our certificate", { timeout: 30_000 }, () => {
  const wanted = { ...identity("server"), requestCert: true, ca: text("client.crt") }

  it.live.each([["TLSv1.2"], ["TLSv1.3"]] as const)("is presented where it is asked for in %s", ([maxVersion]) =>
    Effect.gen(function* () {
      const server = yield* listen({ ...wanted, maxVersion })
      yield* dial(server.target, { ca, certificate: yield* clientCertificate })
      const { tls } = yield* server.accept
      assert.strictEqual(tls.getPeerCertificate().subject.CN, "client")
      yield* dial(server.target, { ca })
      assert.isUndefined((yield* server.accept).tls.getPeerX509Certificate())
    }).pipe(Effect.scoped)
  )

  it.live("is not presented to who does not ask", () =>
    Effect.gen(function* () {
      const server = yield* listen(identity("server"))
      yield* dial(server.target, { ca, certificate: yield* clientCertificate })
      assert.isUndefined((yield* server.accept).tls.getPeerX509Certificate())
    }).pipe(Effect.scoped)
  )

  const verifying = (version: string) =>
    `-cert server.crt -key server.key -Verify 1 -verify_return_error -CAfile client.crt -rev ${version}`.split(" ")

  it.live("is missing, in TLS 1.2: the dial fails", () =>
    Effect.gen(function* () {
      const server = yield* sServer(...verifying("-tls1_2"))
      const error = yield* Effect.flip(dial(server.target, { ca }))
      assert.match(error.message, /with the alert handshake_failure \(40\): .* misses our certificate\.$/)
      const socket = yield* dial(server.target, { ca, certificate: yield* clientCertificate })
      yield* (yield* socket.writer).write("abc\n")
      assert.strictEqual(yield* readText(socket, 4), "cba\n")
    }).pipe(Effect.scoped)
  )

  it.live("is of an authority that the target does not know, in TLS 1.2: the dial fails", () =>
    Effect.gen(function* () {
      const server = yield* sServer(...verifying("-tls1_2"))
      write("leaf.pem", text("leaf.key") + text("leaf.crt"))
      const stranger = yield* CertificateStore.load(store("leaf.pem"))
      const error = yield* Effect.flip(dial(server.target, { ca, certificate: stranger }))
      assert.match(
        error.message,
        /with the alert unknown_ca \(48\): it does not trust the authority of our certificate\.$/
      )
    }).pipe(Effect.scoped)
  )

  it.live("is missing, in TLS 1.3: the first read fails", () =>
    Effect.gen(function* () {
      const server = yield* sServer(...verifying("-tls1_3"))
      const reader = yield* (yield* dial(server.target, { ca })).reader
      const { reason } = yield* Effect.flip(reader.pull)
      assert.strictEqual(reason._tag, "SocketReadError")
      assert.match(String("cause" in reason && reason.cause), /certificate required/)
    }).pipe(Effect.scoped)
  )

  it.live("has no key: nobody is dialled", () =>
    Effect.gen(function* () {
      const server = yield* listen(wanted)
      const keyless = new Certificate({ der: (yield* clientCertificate).der })
      const error = yield* Effect.flip(dial(server.target, { ca, certificate: keyless }))
      assert.match(error.message, /options of TLS cannot be used: certificate: .* has no private key in the store\.$/)
      assert.strictEqual(server.connections.length + server.failures.length, 0)
    }).pipe(Effect.scoped)
  )
})

describe("a certificate that is not accepted", { timeout: 30_000 }, () => {
  it.live("is for another name", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* refusal(identity("named"), { ca }),
        "The target's certificate is not for localhost: it is for DNS:db.example, DNS:*.pool.example; set serverName if that is the target."
      )
      const address = yield* refusal(identity("named"), { ca }, "127.0.0.1")
      assert.match(address, /is not for 127\.0\.0\.1: it is for DNS:db\.example/)
      const other = yield* refusal(identity("server"), { ca, serverName: "db.example" })
      assert.match(other, /is not for db\.example: it is for DNS:localhost, IP Address:127\.0\.0\.1;/)
      assert.match(yield* refusal(identity("unnamed"), { ca }), /is not for localhost: it is for CN=unnamed;/)
    })
  )

  it.live("has expired", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* refusal(identity("expired"), { ca }),
        "The target's certificate has expired: it was valid until 2021-01-01T00:00:00.000Z."
      )
    })
  )

  it.live("is not yet valid", () =>
    Effect.gen(function* () {
      assert.match(
        yield* refusal(identity("tomorrow"), { ca }),
        /^The target's certificate is not yet valid: it is from 2049-01-01T00:00:00\.000Z on, and the clock here says 20/
      )
    })
  )

  it.live("is self-signed", () =>
    Effect.gen(function* () {
      assert.match(
        yield* refusal(identity("lonely"), { ca }),
        /^The target's certificate is self-signed, and not a trusted/
      )
    })
  )

  it.live("is of an authority that nobody knows, with and without the chain", () =>
    Effect.gen(function* () {
      const unknown = /is from an authority that is not trusted \(.*CN=middle\); give its authority's certificate as ca/
      assert.match(yield* refusal(identity("leaf"), { ca }), unknown)
      assert.match(yield* refusal(identity("leaf", "middle"), { ca }), unknown)
      assert.match(yield* refusal(identity("leaf", "middle", "root"), { ca }), unknown)
      // the intermediate is missing
      assert.match(yield* refusal(identity("leaf"), { ca: text("root.crt") }), unknown)
      assert.match(
        yield* refusal(identity("server"), {}),
        /is from an authority that is not trusted \(.*CN=authority\)/
      )
    })
  )

  it.live("is for clients", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* refusal(identity("forClients"), { ca }), "The target's certificate is not for servers.")
    })
  )

  it.live("is accepted with `insecure`, which is logged each time", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => void log.push(`${logLevel} ${String(message)}`))
      for (const name of ["lonely", "expired", "named"]) {
        const server = yield* listen(identity(name))
        yield* dial(server.target, { insecure: true }).pipe(Effect.provide(Logger.layer([logger])))
        assert.match(log.pop() ?? "", /^Warn connected to localhost:\d+ with TLS that is insecure: its certificate was/)
      }
      assert.deepStrictEqual(log, [])
    }).pipe(Effect.scoped)
  )
})

describe("options", { timeout: 30_000 }, () => {
  const fault = (options: TlsClient.Options) => {
    const made = TlsClient.make(options)
    assert.isTrue(Result.isFailure(made))
    return Result.isFailure(made) ? `${made.failure.kind} ${made.failure.message}` : ""
  }

  it("say what they cannot be", () => {
    assert.match(fault({ serverName: "a b" }), /^InvalidServerName expected a host name or an IP address as serverName/)
    for (const serverName of ["", "host:443", "wss://host", "host/path", "*.host", "ho\nst", "ü:1", "a".repeat(254)]) {
      assert.match(fault({ serverName }), /^InvalidServerName /, serverName)
    }
    assert.match(fault({ ca: "no PEM" }), /^InvalidCa expected certificates of authorities in PEM/)
    assert.match(fault({ ca: text("client.key") }), /^InvalidCa expected/)
    const damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    assert.match(fault({ ca: ca + damaged }), /^InvalidCa a certificate of an authority cannot be read/)
    assert.match(fault({ ca: ca + damaged.slice(0, 30) }), /^InvalidCa it is cut off/)
    assert.match(fault({ onlyGivenCa: true }), /^InvalidCa onlyGivenCa trusts/)
    assert.match(fault({ onlyGivenCa: true, ca: [] }), /^InvalidCa onlyGivenCa trusts/)
    assert.match(
      fault({ settings: { cipherSuites: ["?"] } }),
      /^InvalidSettings cipherSuites: expected names of cipher/
    )
    assert.match(fault({ alpnProtocols: [""] }), /^InvalidSettings alpnProtocols: /)
  })

  it.live("trust the system's authorities, and given ones besides", () =>
    Effect.gen(function* () {
      const server = yield* listen(identity("server"))
      const other = yield* listen(identity("lonely"))
      const module = new URL("../../src/tls/TlsClient.ts", import.meta.url).href
      write(
        "system.mjs",
        `import * as Tls from "node:tls"
         import { readFileSync } from "node:fs"
         const { make } = await import(${JSON.stringify(module)})
         const [port, ca] = process.argv.slice(2)
         const client = make(ca === undefined ? {} : { ca: readFileSync(ca) }).success
         const socket = Tls.connect({ ...client.connection("localhost"), host: "localhost", port })
         socket.once("secureConnect", () => {
           console.log(socket.authorized)
           socket.destroy()
         })`
      )
      // whose system trusts this authority alone
      const env = { ...process.env, SSL_CERT_FILE: path("authority.crt"), SSL_CERT_DIR: path("none") }
      const authorized = (port: number, ...args: ReadonlyArray<string>) =>
        Effect.promise(async () => {
          const run = promisify(execFile)
          const options = { env: { ...env, NODE_EXTRA_CA_CERTS: "" }, cwd: folder }
          return (await run(process.execPath, ["system.mjs", String(port), ...args], options)).stdout.trim()
        })
      assert.strictEqual(yield* authorized(server.port), "true")
      assert.strictEqual(yield* authorized(other.port), "false")
      assert.strictEqual(yield* authorized(server.port, "lonely.crt"), "true")
      assert.strictEqual(yield* authorized(other.port, "lonely.crt"), "true")
    }).pipe(Effect.scoped)
  )
})
