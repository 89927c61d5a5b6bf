/** Which certificate a client gets, and who a client is. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { renameSync, writeFileSync } from "node:fs"
import type * as tls from "node:tls"
import type { ClientCertificates } from "../../src/node/NodeTls.ts"
import type { Peer } from "../../src/server/UpgradeListener.ts"
import * as CertificateStore from "../../src/tls/CertificateStore.ts"
import * as Identities from "../../src/tls/Identities.ts"
import { collectingLogs, deciding, eventually } from "../server/serving.ts"
import { upgradeRequest } from "../server/wire.ts"
import { dial, echoing, identity, isLetIn, localhost, named, pemOf, upgraded, withTls } from "./listening.ts"
import { certificate, key, openssl, path, text, write } from "./openssl.ts"

/** The common name of the certificate that a client gets. */
const presented = (port: number, options: tls.ConnectionOptions = {}) =>
  Effect.scoped(Effect.map(dial(port, options), (socket) => [socket.getPeerCertificate().subject.CN].flat().join()))

describe("a certificate is chosen", () => {
  it.live("by the name: exact, then a wildcard of one label, then the first", () =>
    Effect.gen(function* () {
      const certificates = yield* Effect.all([
        named("id-first", ["first.example"]),
        named("id-wild", ["*.wild.example", "wild.example"]),
        named("id-exact", ["exact.wild.example"]),
        identity("id-given")
      ])
      const [first, wild, exact, given] = certificates
      const identities = Identities.several([first, wild, exact, { certificate: given, names: ["Given.example."] }])
      const { port } = yield* echoing({ identities })
      for (const [servername, expected] of [
        ["first.example", "id-first"],
        ["exact.wild.example", "id-exact"],
        ["EXACT.wild.Example", "id-exact"],
        ["other.wild.example", "id-wild"],
        ["wild.example", "id-wild"],
        ["two.labels.wild.example", "id-first"],
        ["given.example", "id-given"],
        ["unknown.example", "id-first"],
        ["", "id-first"]
      ] as const) {
        assert.strictEqual(yield* presented(port, { servername }), expected, servername)
      }
    })
  )

  it.live("by what the client can use, in TLS 1.2 and 1.3", () =>
    Effect.gen(function* () {
      const rsa = yield* named("id-rsa", ["both.example"], { kind: "rsa2048" })
      const ec = yield* named("id-ec", ["both.example"])
      const { port } = yield* echoing({ identities: Identities.several([ec, rsa]) })
      const servername = "both.example"
      for (const [options, expected] of [
        [{}, "id-ec"],
        [{ sigalgs: "rsa_pss_rsae_sha256" }, "id-rsa"],
        [{ sigalgs: "ecdsa_secp256r1_sha256" }, "id-ec"],
        [{ maxVersion: "TLSv1.2" }, "id-ec"],
        [{ maxVersion: "TLSv1.2", ciphers: "ECDHE-RSA-AES128-GCM-SHA256" }, "id-rsa"],
        [{ maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" }, "id-ec"],
        [{ maxVersion: "TLSv1.2", sigalgs: "RSA+SHA256" }, "id-rsa"],
        [{ servername: "other.example", sigalgs: "rsa_pss_rsae_sha256" }, "id-rsa"]
      ] as const) {
        assert.strictEqual(yield* presented(port, { servername, ...options }), expected, JSON.stringify(options))
      }
    })
  )

  it.live("or none: who asks for a name that is not there can be refused with an alert", () =>
    Effect.gen(function* () {
      const identities = Identities.several([yield* localhost], { otherNames: "refuse" })
      const messages: Array<string> = []
      const { port } = yield* echoing({ identities, onStatus: (_, message) => messages.push(message) })
      const error = yield* Effect.flip(dial(port, { servername: "other.example" }))
      assert.match(error.message, /unrecognized name/)
      assert.include(messages.join("\n"), "Alert sent: unrecognized_name (112)")
      assert.isTrue(yield* isLetIn(port))
    })
  )

  it.live("for a client of whose protocols no more than ten are named", () =>
    Effect.gen(function* () {
      const messages: Array<string> = []
      const { port } = yield* echoing({ onStatus: (_, message) => messages.push(message) })
      const protocols = Array.from({ length: 12 }, (_, i) => `p${i}`)
      yield* Effect.exit(dial(port, { ALPNProtocols: protocols }))
      assert.include(messages.join("\n"), "protocols p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, …")
    })
  )

  it.live("and one that cannot be used ends the handshake alone", () =>
    Effect.gen(function* () {
      const keyless = (yield* localhost).withPrivateKey(undefined)
      const { port } = yield* echoing({ identities: Identities.one(keyless) })
      yield* Effect.flip(dial(port))
    })
  )
})

/** Makes a certificate and puts it in the place of another, as a renewal would. */
const renew = (name: string, file: string): void => {
  certificate(name)
  write(`${file}.next`, pemOf(name))
  renameSync(path(`${file}.next`), path(file))
}

describe("certificates of stores on disk", { timeout: 120_000 }, () => {
  it.live("are loaded anew under load: no handshake of 2,000 fails, and who is connected stays so", () =>
    collectingLogs(() =>
      Effect.gen(function* () {
        renew("reload-0", "live.pem")
        const identities = yield* Identities.reloading({
          sources: [{ type: CertificateStore.CertStoreType.cstPEMKeyFile, store: path("live.pem") }],
          interval: "20 millis"
        })
        const { port } = yield* echoing({ identities })
        const early = yield* upgraded(port)
        const seen = new Set<string>()
        let count = 0
        const client = Effect.forEach(
          Array.from({ length: 200 }),
          () => Effect.map(presented(port), (name) => (count++, seen.add(name))),
          { discard: true }
        )
        // by what was done, and not by the clock: each of the five serves some of the 2,000
        const renewing = Effect.forEach(
          [1, 2, 3, 4, 5],
          Effect.fnUntraced(function* (i) {
            renew(`reload-${i}`, "live.pem")
            while (count < i * 300) yield* Effect.sleep("10 millis")
          })
        )
        yield* Effect.all([renewing, ...Array.from({ length: 10 }, () => client)], { concurrency: "unbounded" })
        assert.strictEqual(count, 2000)
        assert.isAbove(seen.size, 2)
        yield* eventually(
          "the last one is there",
          Effect.orDie(Effect.map(presented(port), (name) => name === "reload-5"))
        )
        early.send({ opcode: 2, payload: Buffer.from("still here") })
        assert.strictEqual(Buffer.from((yield* early.next).payload).toString(), "still here")
      })
    )
  )

  it.live("that are broken are refused and logged, while the old one goes on serving", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        renew("keep", "kept.pem")
        const identities = yield* Identities.reloading({
          sources: [{ type: CertificateStore.CertStoreType.cstPEMKeyFile, store: path("kept.pem") }],
          interval: "20 millis"
        })
        const { port } = yield* echoing({ identities })
        certificate("keep-other")
        for (const broken of ["no store", text("keep.crt"), text("keep-other.key") + text("keep.crt")]) {
          const before = logs.length
          writeFileSync(path("kept.pem"), broken)
          yield* eventually(
            "it is logged",
            Effect.sync(() => logs.length > before && logs.at(-1)!.level === "Error")
          )
          const error = yield* Effect.flip(identities.reload)
          assert.strictEqual(error._tag, "CertificateStoreError")
          assert.strictEqual(yield* presented(port), "keep")
        }
        renew("keep-new", "kept.pem")
        yield* eventually(
          "the new one serves",
          Effect.orDie(Effect.map(presented(port), (name) => name === "keep-new"))
        )
      })
    )
  )

  it.live("are loaded anew when asked to", () =>
    collectingLogs(() =>
      Effect.gen(function* () {
        renew("ask-0", "asked.pem")
        const identities = yield* Identities.reloading({
          sources: [{ type: CertificateStore.CertStoreType.cstPEMKeyFile, store: path("asked.pem") }],
          interval: "1 hour"
        })
        const { port } = yield* echoing({ identities })
        renew("ask-1", "asked.pem")
        assert.strictEqual(yield* presented(port), "ask-0")
        yield* identities.reload
        assert.strictEqual(yield* presented(port), "ask-1")
      })
    )
  )

  it.live(
    "are all told of when they are asked for, those that are good are taken, and the others of before go on serving",
    () =>
      collectingLogs((logs) =>
        Effect.gen(function* () {
          const names = ["all-1", "all-2", "all-3"]
          for (const name of names) renew(name, `${name}.pem`)
          const { cstPEMKeyFile } = CertificateStore.CertStoreType
          const identities = yield* Identities.reloading({
            sources: names.map((name) => ({
              type: cstPEMKeyFile,
              store: path(`${name}.pem`),
              names: [`${name}.example`]
            })),
            interval: "1 hour"
          })
          const { port } = yield* echoing({ identities })
          for (const name of ["all-1", "all-2"]) write(`${name}.pem`, "broken")
          renew("all-4", "all-3.pem")
          const error = yield* Effect.flip(identities.reload)
          assert.include(error.message, "all-1.pem")
          assert.isTrue(logs.some(({ level, text }) => level === "Error" && text.includes("all-2.pem")))
          for (const [servername, name] of [
            ["all-1.example", "all-1"],
            ["all-2.example", "all-2"],
            ["all-3.example", "all-4"]
          ] as const) {
            assert.strictEqual(yield* presented(port, { servername }), name)
          }
        })
      )
  )

  it.effect("are served out of their time, too, and a warning says so", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        renew("aged", "aged.pem")
        const sources = [{ type: CertificateStore.CertStoreType.cstPEMKeyFile, store: path("aged.pem") }]
        const load = Identities.reloading({ sources, interval: Duration.infinity })
        const { effectiveDate, expirationDate } = yield* CertificateStore.load(sources[0]!)
        yield* TestClock.setTime(effectiveDate!.getTime() - 1)
        yield* load
        yield* TestClock.setTime(effectiveDate!.getTime())
        yield* load
        yield* TestClock.setTime(expirationDate!.getTime() + 1)
        yield* load
        assert.deepStrictEqual(
          logs.map(({ level }) => level),
          ["Warn", "Warn"]
        )
        assert.include(
          logs[0]!.text,
          `is not valid yet, and clients will refuse it: it is valid from ${effectiveDate!.toISOString()}`
        )
        assert.include(
          logs[1]!.text,
          `has expired, and clients will refuse it: it was valid until ${expirationDate!.toISOString()}`
        )
      })
    )
  )

  it.live("have to be there at first", () =>
    Effect.gen(function* () {
      const sources = [{ type: CertificateStore.CertStoreType.cstPEMKeyFile, store: path("nowhere.pem") }]
      const error = yield* Effect.flip(Identities.reloading({ sources }))
      assert.strictEqual(error.reason._tag, "CannotOpenStore")
    })
  )
})

describe("certificates of clients", () => {
  const ca = ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"]
  const make = () => {
    certificate("client-ca", { extensions: ca })
    certificate("client-good", { issuer: "client-ca" })
    certificate("client-stranger")
  }
  const as = (name: string) => ({ cert: text(`${name}.crt`), key: text(`${name}.key`) })
  /** One of the authority's, that ended yesterday. */
  const expired = () => {
    make()
    key("p256", "client-old")
    openssl("req", "-new", "-key", "client-old.key", "-subj", "/CN=client-old", "-out", "client-old.csr")
    const signer = ["-CA", "client-ca.crt", "-CAkey", "client-ca.key", "-CAcreateserial"]
    openssl("x509", "-req", "-in", "client-old.csr", ...signer, "-days", "-1", "-out", "client-old.crt")
    return as("client-old")
  }

  const serving = Effect.fnUntraced(function* (clientCertificates: Partial<ClientCertificates>) {
    make()
    const messages: Array<string> = []
    const { port } = yield* echoing({
      clientCertificates: { ca: [text("client-ca.crt")], ...clientCertificates },
      onStatus: (_, message) => messages.push(message)
    })
    return { port, messages }
  })

  it.live.each(["TLSv1.2", "TLSv1.3"] as const)("are required and verified in %s", (maxVersion) =>
    Effect.gen(function* () {
      const { messages, port } = yield* serving({})
      assert.isTrue(yield* isLetIn(port, { maxVersion, ...as("client-good") }))
      assert.isFalse(yield* isLetIn(port, { maxVersion, ...as("client-stranger") }))
      assert.isFalse(yield* isLetIn(port, { maxVersion }))
      yield* eventually(
        "all is told",
        Effect.sync(() => messages.filter((it) => it.startsWith("Handshake failed")).length === 2)
      )
      const told = messages.join("\n")
      assert.match(told, /not trusted: (DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE)/)
      const alert = maxVersion === "TLSv1.3" ? "certificate_required (116)" : "handshake_failure (40)"
      assert.include(told, `Alert sent: ${alert}`)
    })
  )

  it.live("may be left out, if they are not required, and not be wrong", () =>
    Effect.gen(function* () {
      const { port } = yield* serving({ required: false })
      assert.isTrue(yield* isLetIn(port))
      assert.isTrue(yield* isLetIn(port, as("client-good")))
      assert.isFalse(yield* isLetIn(port, as("client-stranger")))
    })
  )

  it.live("are of authorities that are trusted for them, where a file of OpenSSL's says what for", () =>
    Effect.gen(function* () {
      make()
      for (const [use, isWell] of [
        ["-addtrust", true],
        ["-addreject", false]
      ] as const) {
        const trusted = openssl("x509", "-in", "client-ca.crt", "-trustout", use, "clientAuth")
        assert.include(trusted, "BEGIN TRUSTED CERTIFICATE")
        const { port } = yield* serving({ ca: [trusted] })
        assert.strictEqual(yield* isLetIn(port, as("client-good")), isWell, use)
      }
    })
  )

  it.live("are decided about with their status, and known to the request", () =>
    Effect.gen(function* () {
      make()
      const statuses: Array<string> = []
      const seen = yield* Deferred.make<Peer | undefined>()
      const options = yield* withTls({
        clientCertificates: {
          ca: [text("client-ca.crt")],
          decide: ({ certificate, status }, peer) =>
            Effect.sync(() => {
              assert.strictEqual(peer.tls?.clientCertificate, certificate)
              statuses.push(`${certificate?.subject}: ${status}`)
              return certificate !== undefined
            })
        }
      })
      const { port } = yield* deciding((request) => Deferred.succeed(seen, request.peer), { tls: options })
      assert.isFalse(yield* isLetIn(port))
      const socket = yield* dial(port, as("client-good"))
      socket.write(upgradeRequest())
      const peer = yield* Deferred.await(seen)
      assert.include(peer?.tls?.clientCertificate?.subject, "CN=client-good")
      assert.strictEqual(peer?.tls?.clientCertificateStatus, "OK")
      assert.isTrue(yield* isLetIn(port, as("client-stranger")))
      assert.strictEqual(statuses[0], "undefined: no certificate was shown")
      assert.match(statuses[1]!, /CN=client-good.*: OK$/)
      assert.match(statuses[2]!, /CN=client-stranger.*: [A-Z_]+$/)
    })
  )

  it.live("stay known when a session is resumed", () =>
    Effect.gen(function* () {
      make()
      const sessions: Array<readonly [boolean | undefined, string | undefined, string | undefined]> = []
      const tls = yield* withTls({ clientCertificates: { ca: [text("client-ca.crt")] } })
      const { port } = yield* deciding(
        ({ peer }) =>
          Effect.sync(() => {
            const { clientCertificate, clientCertificateStatus, isResumed } = peer?.tls ?? {}
            sessions.push([isResumed, clientCertificate?.subject, clientCertificateStatus])
          }),
        { tls }
      )
      let session: Buffer | undefined
      for (let i = 0; i < 2; i++) {
        const socket = yield* dial(port, { ...as("client-good"), ...(session !== undefined && { session }) })
        socket.on("session", (it: Buffer) => (session = it))
        socket.write(upgradeRequest())
        yield* Effect.callback<void>((resume) => void socket.on("end", () => resume(Effect.void)).resume())
      }
      assert.deepStrictEqual(sessions, [
        [false, "CN=client-good, O=Test, C=US", "OK"],
        [true, "CN=client-good, O=Test, C=US", "OK"]
      ])
    })
  )

  it.live("that have expired are not trusted", () =>
    Effect.gen(function* () {
      const { messages, port } = yield* serving({})
      assert.isFalse(yield* isLetIn(port, expired()))
      assert.include(messages.join("\n"), "CERT_HAS_EXPIRED")
    })
  )
})
