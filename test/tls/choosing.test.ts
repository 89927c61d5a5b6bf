/** A server that looks at the ClientHello, and chooses the certificate by it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { generateKeyPairSync } from "node:crypto"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import * as tls from "node:tls"
import { Certificate } from "../../src/tls/Certificate.ts"
import * as CertificateStore from "../../src/tls/CertificateStore.ts"
import * as ClientHello from "../../src/tls/ClientHello.ts"
import * as Choosing from "../../src/tls/internal/choosing.ts"
import * as TlsSettings from "../../src/tls/TlsSettings.ts"
import { certificate, text } from "./openssl.ts"

const load = (name: string) => CertificateStore.load({ type: 7, store: text(`${name}.key`) + text(`${name}.crt`) })

/** Answers a connection once its hello is whole, however its bytes come. */
const serve = (choose: (hello: ClientHello.ClientHello) => tls.SecureContext) => (socket: Socket) => {
  const reader = new ClientHello.Reader()
  const look = (chunk: Buffer | string) => {
    const outcome = reader.push(Buffer.from(chunk))
    if (outcome._tag === "NeedMore") return
    socket.off("data", look)
    socket.pause()
    if (outcome._tag === "NotTls") {
      socket.end(ClientHello.alertRecord(outcome.alert))
      return
    }
    socket.unshift(reader.received)
    const secure = new tls.TLSSocket(socket, { isServer: true, secureContext: choose(outcome.hello) })
    secure.on("error", () => {})
    secure.end("x")
  }
  socket.on("error", () => {})
  socket.on("data", look)
}

const listen = (choose: (hello: ClientHello.ClientHello) => tls.SecureContext) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly port: number; readonly close: () => void }>((resume) => {
      const server = createServer(serve(choose))
      server.listen(0, "127.0.0.1", () => {
        // a TCP server's address is one of IP
        const { port } = server.address() as AddressInfo
        resume(Effect.succeed({ port, close: () => void server.close() }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

const presented = (port: number, options: tls.ConnectionOptions) =>
  Effect.tryPromise(
    () =>
      new Promise<string | undefined>((resolve, reject) => {
        const socket = tls.connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ...options })
        socket.on("error", reject)
        socket.resume()
        socket.on("end", () => {
          const names = socket.getPeerCertificate().subject.CN
          resolve([names].flat()[0])
          socket.destroy()
        })
      })
  )

const modern: ClientHello.ClientHello = {
  legacyVersion: 0x0303,
  supportedVersions: [0x0304, 0x0303],
  cipherSuites: [0x1301, 0xc02b, 0xc02f],
  signatureAlgorithms: [0x0403, 0x0804],
  certificateSignatureAlgorithms: [],
  supportedGroups: [0x001d],
  serverName: undefined,
  alpnProtocols: [],
  extensions: []
}

const latticeKeys = () => {
  try {
    return (["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"] as const).map((kind) => generateKeyPairSync(kind).publicKey)
  } catch {
    // of OpenSSL 3.5 and later
    return []
  }
}

describe("choosing a certificate by the ClientHello", () => {
  const keys = latticeKeys()
  it.runIf(keys.length > 0)("one of ML-DSA is for who speaks TLS 1.3 and takes its signatures", () => {
    for (const [i, publicKey] of keys.entries()) {
      const certificate = new Certificate({ publicKey })
      const signatureAlgorithms = [0x0904 + i, 0x0403]
      assert.isTrue(Choosing.isUsable(certificate, { ...modern, signatureAlgorithms }))
      assert.isFalse(Choosing.isUsable(certificate, modern))
      const old = { ...modern, supportedVersions: [0x0303], signatureAlgorithms }
      assert.isFalse(Choosing.isUsable(certificate, old))
    }
  })

  it.effect("by what the client can verify, and by the name that it asks for", () =>
    Effect.gen(function* () {
      certificate("choose-rsa", { kind: "rsa2048" })
      certificate("choose-ec", { kind: "p256" })
      certificate("choose-name", { kind: "p256" })
      const contextOf = Effect.fnUntraced(function* (name: string) {
        return tls.createSecureContext(TlsSettings.identity(yield* load(name)))
      })
      const [rsa, ec, named] = yield* Effect.all([
        contextOf("choose-rsa"),
        contextOf("choose-ec"),
        contextOf("choose-name")
      ])
      const { port } = yield* listen((hello) => {
        if (hello.serverName === "named.example") return named!
        return ClientHello.signatureAlgorithmNames(hello).some((name) => name.includes("ecdsa")) ? ec! : rsa!
      })
      assert.strictEqual(yield* presented(port, {}), "choose-ec")
      assert.strictEqual(yield* presented(port, { sigalgs: "rsa_pss_rsae_sha256" }), "choose-rsa")
      assert.strictEqual(yield* presented(port, { servername: "named.example" }), "choose-name")
    })
  )

  it.effect("what is no TLS gets an alert", () =>
    Effect.gen(function* () {
      const { port } = yield* listen(() => tls.createSecureContext({}))
      const answer = yield* Effect.callback<Buffer>((resume) => {
        const chunks: Array<Buffer> = []
        const socket = connect(port, "127.0.0.1")
        socket.on("data", (chunk) => chunks.push(Buffer.from(chunk)))
        socket.on("end", () => resume(Effect.succeed(Buffer.concat(chunks))))
        socket.write("GET / HTTP/1.1\r\n\r\n")
      })
      assert.deepStrictEqual([...answer], [...ClientHello.alertRecord("UnexpectedMessage")])
    })
  )
})
