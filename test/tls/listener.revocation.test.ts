/** Clients whose certificates their authority has taken back, and what a listener does about them. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { X509Certificate } from "node:crypto"
import * as NodeRevocation from "../../src/node/NodeRevocation.ts"
import type { Peer } from "../../src/server/UpgradeListener.ts"
import type * as Revocation from "../../src/tls/Revocation.ts"
import { deciding, eventually } from "../server/serving.ts"
import { upgradeRequest } from "../server/wire.ts"
import { dial, echoing, isLetIn, rest, withTls } from "./listening.ts"
import { certificate, text } from "./openssl.ts"
import * as Responder from "./responder.ts"
import { fresh, named, setUp } from "./revoking.ts"

const as = (name: string, ...chain: ReadonlyArray<string>) => ({
  cert: [name, ...chain].map((one) => text(`${one}.crt`)).join(""),
  key: text(`${name}.key`)
})

/** A listener that checks the certificates of one authority's clients. */
const checking = Effect.fnUntraced(function* (authority: string, options: Revocation.Options) {
  const messages: Array<string> = []
  const revocation = yield* NodeRevocation.make(options)
  const { port } = yield* echoing({
    clientCertificates: { ca: [text(`${authority}.crt`)], revocation },
    onStatus: (_, message) => messages.push(message)
  })
  return { port, messages }
})

describe("certificates of clients that are checked for revocation", { timeout: 60_000 }, () => {
  it.live.each([{ crl: "required" }, { ocsp: "required" }] as const)("are asked about, and refused: %o", (options) =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      responder.at("crl", () => authority.crl())
      responder.at("ocsp", Responder.ocsp(authority))
      const before = yield* checking(authority.name, options)
      assert.isTrue(yield* isLetIn(before.port, as(name)))
      authority.revoke(name, "keyCompromise")
      // who was asked is not asked again for as long as the answer is good
      assert.isTrue(yield* isLetIn(before.port, as(name)))
      const { messages, port } = yield* checking(authority.name, options)
      for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
        assert.isFalse(yield* isLetIn(port, { ...as(name), maxVersion }))
      }
      const told = messages.join("\n")
      assert.match(told, /Client with ".*": CERT_REVOKED: .*keyCompromise/)
      assert.match(told, /Handshake failed: the client with ".*" is not trusted: CERT_REVOKED/)
    }).pipe(Effect.scoped)
  )

  it.live("are refused by a list that is given, and nobody is asked", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      const other = fresh("other")
      authority.issue(other, { extensions: named({}) })
      authority.revoke(other)
      const { port } = yield* checking(authority.name, { crl: "required", crls: [authority.crl({ pem: true })] })
      assert.isTrue(yield* isLetIn(port, as(name)))
      assert.isFalse(yield* isLetIn(port, as(other)))
      assert.deepStrictEqual(responder.log, [])
    }).pipe(Effect.scoped)
  )

  it.live(
    "are refused where nothing can be found out and must be, and where they are not trusted nobody is asked",
    () =>
      Effect.gen(function* () {
        const { authority, name } = yield* setUp()
        const { messages, port } = yield* checking(authority.name, { ocsp: "required" })
        assert.isFalse(yield* isLetIn(port, as(name)))
        assert.match(messages.join("\n"), /not trusted: REVOCATION_UNKNOWN: /)
        certificate("self-signed")
        assert.isFalse(yield* isLetIn(port, as("self-signed")))
        assert.match(messages.join("\n"), /not trusted: DEPTH_ZERO_SELF_SIGNED_CERT$/m)
      }).pipe(Effect.scoped)
  )

  it.live("have an issuer that the client sends, and one of the same name is another", () =>
    Effect.gen(function* () {
      const ca = ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign,cRLSign"]
      certificate("above", { extensions: ca })
      certificate("between", { issuer: "above", extensions: ca })
      certificate("impostor", { subject: "/C=US/O=Test/CN=between", extensions: ca })
      certificate("below", { issuer: "between", extensions: named({}) })
      const asked: Array<string> = []
      const { port } = yield* echoing({
        clientCertificates: {
          ca: [text("above.crt")],
          revocation: {
            check: (_, issuer) =>
              Effect.as(
                Effect.sync(() => asked.push(issuer.x509!.fingerprint256)),
                "good" as const
              )
          }
        }
      })
      assert.isTrue(yield* isLetIn(port, as("below", "between")))
      assert.isTrue(yield* isLetIn(port, as("below", "between", "impostor")))
      // OpenSSL takes the first of that name
      assert.isFalse(yield* isLetIn(port, as("below", "impostor", "between")))
      const { fingerprint256 } = new X509Certificate(text("between.crt"))
      assert.deepStrictEqual(asked, [fingerprint256, fingerprint256])
    }).pipe(Effect.scoped)
  )

  it.live("are known to the request with what was found out, which `decide` may overlook; no session is resumed", () =>
    Effect.gen(function* () {
      const { authority, name } = yield* setUp()
      const revocation = yield* NodeRevocation.make({ crl: "required" })
      const seen: Array<Peer["tls"]> = []
      const tls = yield* withTls({
        clientCertificates: {
          ca: [authority.pem],
          revocation,
          decide: ({ status }) => Effect.succeed(status.startsWith("REVOCATION_UNKNOWN"))
        }
      })
      const { port } = yield* deciding(({ peer }) => Effect.sync(() => void seen.push(peer?.tls)), { tls })
      let session: Buffer | undefined
      for (let i = 0; i < 2; i++) {
        const socket = yield* dial(port, { ...as(name), ...(session !== undefined && { session }) })
        socket.on("session", (it: Buffer) => (session = it))
        session ??= socket.getSession()
        socket.write(upgradeRequest())
        yield* rest(socket)
      }
      assert.match(seen[0]?.clientCertificateStatus ?? "", /^REVOCATION_UNKNOWN: /)
      assert.deepStrictEqual(
        seen.map((it) => it?.isResumed),
        [false, false]
      )
    }).pipe(Effect.scoped)
  )

  it.live("are waited for within the handshake's time, and a client that leaves meanwhile leaves nothing", () =>
    Effect.gen(function* () {
      const { authority, name } = yield* setUp()
      const asked = yield* Deferred.make<void>()
      const interrupted = yield* Deferred.make<void>()
      const messages: Array<string> = []
      const check = Effect.andThen(Deferred.succeed(asked, undefined), Effect.never).pipe(
        Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
      )
      const { port } = yield* echoing(
        {
          clientCertificates: { ca: [authority.pem], revocation: { check: () => check } },
          onStatus: (_, message) => messages.push(message)
        },
        { handshakeTimeout: "1 second" }
      )
      assert.isFalse(yield* isLetIn(port, as(name)))
      yield* Deferred.await(interrupted)
      yield* eventually(
        "it is told",
        Effect.sync(() => messages.some((it) => it.includes("not done within 1 seconds")))
      )
      const socket = yield* dial(port, as(name))
      socket.destroy()
      assert.isFalse(yield* isLetIn(port))
    }).pipe(Effect.scoped)
  )
})
