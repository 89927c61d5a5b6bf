/** Before and behind load balancers that are in use, where they are installed, as the page about them says. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import * as tls from "node:tls"
import * as ProxyProtocol from "../../src/protocol/ProxyProtocol.ts"
import { collectingLogs, deciding, echo } from "../server/serving.ts"
import { missing as missingProgram } from "../installed.ts"
import { balancer, connectFrom, line, seen, stranger, trusted, wireFrom } from "../server/balancer.ts"
import { upgradeRequest, Wire } from "../server/wire.ts"
import { Authority } from "../tls/authority.ts"
import { withTls } from "../tls/listening.ts"
import { path, text, write } from "../tls/openssl.ts"
import { identity } from "../tls/tlsTarget.ts"
import * as Balancers from "./balancers.ts"
import { binary, frame } from "./frames.ts"
import * as RawTarget from "./rawTarget.ts"
import { eventually } from "./watch.ts"

/** The header that a target got, of the client that is not a health check. */
const told = (listener: RawTarget.RawTarget) =>
  Effect.flatMap(listener.accept, (target) =>
    eventually("the header", () => {
      const outcome = new ProxyProtocol.Decoder().push(target.bytes)
      if (outcome._tag !== "Header" || outcome.header._tag !== "Inet") return undefined
      return { ...outcome.header, target, size: outcome.size }
    })
  )

/** A client comes from an address that is not the balancer's, by which the two can be told apart. */
const client = stranger

describe.each([["haproxy: tcp"], ["nginx: stream"]])("%s before us", { timeout: 60_000 }, (name) => {
  it.live("says who the client is, who cannot say it itself", (context) =>
    Effect.gen(function* () {
      const absent = Balancers.missing(name)
      if (absent !== undefined) return context.skip(absent)
      const listener = yield* RawTarget.listen()
      const server = yield* Balancers.proxy("tcp", listener)
      const port = yield* Balancers.start(name, { server: server.port })
      const wire = yield* wireFrom(client, port, upgradeRequest(), frame(binary, "hello"))
      assert.strictEqual((yield* wire.response).status, 101)
      const { destination, size, source, target } = yield* told(listener)
      assert.strictEqual(String(source), `${client}:${wire.socket.localPort}`)
      assert.strictEqual(String(destination), `127.0.0.1:${port}`)
      yield* eventually("the client's bytes", () => target.bytes.subarray(size).toString() === "hello")
      // what a client says of itself is behind what the balancer says
      const spoof = yield* wireFrom(client, port, line("192.0.2.1", 1), upgradeRequest())
      assert.strictEqual((yield* spoof.response).status, 400)
      // and past the balancer it is nobody's word
      const past = yield* wireFrom(client, server.port, line("192.0.2.1", 1), upgradeRequest())
      assert.strictEqual((yield* past.response).status, 400)
      assert.strictEqual(listener.connections.length, 1)
      // nor is there a word about the balancer's own connections, which see whether we are there
      assert.notMatch(server.stderr(), /WARN/)
    })
  )
})

describe("haproxy: tls before us", { timeout: 60_000 }, () => {
  it.live("says what it found out in TLS, sealed with a checksum", (context) =>
    Effect.gen(function* () {
      const absent = Balancers.missing("haproxy: tls")
      if (absent !== undefined) return context.skip(absent)
      const authority = new Authority("authority")
      authority.issue("site")
      authority.issue("alice", { extensions: ["extendedKeyUsage=clientAuth"] })
      write("site.pem", text("site.crt") + text("site.key"))
      const listener = yield* RawTarget.listen()
      const server = yield* Balancers.proxy("tcp", listener)
      const port = yield* Balancers.start("haproxy: tls", {
        server: server.port,
        files: { "/etc/haproxy/site.pem": path("site.pem"), "/etc/haproxy/clients.pem": path("authority.crt") }
      })
      const secured = (options: tls.ConnectionOptions) =>
        Effect.gen(function* () {
          const socket = yield* connectFrom(client, port)
          const stream = tls.connect({
            socket,
            ca: authority.pem,
            servername: "localhost",
            ALPNProtocols: ["http/1.1"],
            ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256",
            maxVersion: "TLSv1.2",
            ...options
          })
          new Wire(stream).write(upgradeRequest())
          const { source, tlvs } = yield* told(listener)
          assert.strictEqual(String(source), `${client}:${socket.localPort}`)
          assert.strictEqual(tlvs.authority, "localhost")
          assert.strictEqual(tlvs.alpn, "http/1.1")
          return tlvs.ssl
        })
      const known = yield* secured(identity("alice"))
      assert.deepStrictEqual(known, {
        isTls: true,
        hasCertificate: true,
        hasSessionCertificate: true,
        verify: 0,
        version: "TLSv1.2",
        commonName: "alice",
        cipher: "ECDHE-ECDSA-AES128-GCM-SHA256",
        others: []
      })
      const unknown = yield* secured({})
      // it says that there is nothing wrong with no certificate
      assert.deepStrictEqual([unknown?.hasCertificate, unknown?.verify], [false, 0])
      assert.isFalse(ProxyProtocol.isVerified(unknown!))
    })
  )
})

describe.each([
  ["haproxy: http", "http", "X-Forwarded-For", "192.0.2.1"],
  ["nginx: http", "http", "X-Forwarded-For", "192.0.2.1"],
  ["nginx: forwarded", "forwarded", "Forwarded", 'for="192.0.2.1']
] as const)("%s before us", { timeout: 60_000 }, (name, command, header, invention) => {
  it.live("says who the client is in a header, whatever the client says itself", (context) =>
    Effect.gen(function* () {
      const absent = Balancers.missing(name)
      if (absent !== undefined) return context.skip(absent)
      const listener = yield* RawTarget.listen()
      const server = yield* Balancers.proxy(command, listener)
      const port = yield* Balancers.start(name, { server: server.port })
      for (const headers of [{}, { [header]: invention }]) {
        const wire = yield* wireFrom(client, port, upgradeRequest(headers))
        assert.strictEqual((yield* wire.response).status, 101)
        wire.write(frame(binary, "hello"))
        const { size, source, target } = yield* told(listener)
        // no header has the port
        assert.strictEqual(String(source), `${client}:0`)
        yield* eventually("the client's bytes", () => target.bytes.subarray(size).toString() === "hello")
      }
      const past = yield* wireFrom(client, server.port, upgradeRequest({ [header]: invention }))
      assert.strictEqual((yield* past.response).status, 101)
      assert.strictEqual(String((yield* told(listener)).source), `${client}:${past.socket.localPort}`)
    })
  )
})

describe("haproxy: behind us", { timeout: 60_000 }, () => {
  it.live("takes our word for the client, and hands it on", (context) =>
    Effect.gen(function* () {
      const absent = Balancers.missing("haproxy: behind")
      if (absent !== undefined) return context.skip(absent)
      const listener = yield* RawTarget.listen()
      const haproxy = yield* Balancers.start("haproxy: behind", { target: listener.port })
      for (const version of [undefined, "v1"] as const) {
        const server = yield* Balancers.proxy("send", { port: haproxy }, version)
        const wire = yield* wireFrom(client, server.port, upgradeRequest(), frame(binary, "hello"))
        assert.strictEqual((yield* wire.response).status, 101)
        const { destination, size, source, target } = yield* told(listener)
        assert.strictEqual(String(source), `${client}:${wire.socket.localPort}`)
        assert.strictEqual(String(destination), `127.0.0.1:${server.port}`)
        yield* eventually("the client's bytes", () => target.bytes.subarray(size).toString() === "hello")
      }
    })
  )
})

describe("nginx: behind us", { timeout: 60_000 }, () => {
  it.live("takes our word for the client", (context) =>
    Effect.gen(function* () {
      const absent = Balancers.missing("nginx: behind")
      if (absent !== undefined) return context.skip(absent)
      const nginx = yield* Balancers.start("nginx: behind")
      const server = yield* Balancers.proxy("send", { port: nginx })
      const wire = yield* wireFrom(client, server.port, upgradeRequest())
      assert.strictEqual((yield* wire.response).status, 101)
      wire.write(frame(binary, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
      let answer = ""
      while (!answer.endsWith(client)) answer += Buffer.from((yield* wire.next).payload).toString()
      assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/)
    })
  )
})

describe("curl --haproxy-protocol", { timeout: 60_000 }, () => {
  const curl = (...args: ReadonlyArray<string>) =>
    Effect.callback<{ readonly code: number; readonly stdout: string }>((resume) => {
      const child = execFile("curl", ["--silent", "--show-error", "--max-time", "20", ...args], (error, stdout) =>
        resume(Effect.succeed({ code: typeof error?.code === "number" ? error.code : error === null ? 0 : -1, stdout }))
      )
      return Effect.sync(() => void child.kill())
    })

  it.live.each([["http"], ["https"]] as const)("is understood, over %s, and needed", ([scheme], context) =>
    collectingLogs(() =>
      Effect.gen(function* () {
        const absent = missingProgram("curl")
        if (absent !== undefined) return context.skip(absent)
        const clients: Array<ReturnType<typeof seen>> = []
        const { port } = yield* deciding(
          (open) =>
            Effect.andThen(
              Effect.sync(() => clients.push(seen(open))),
              Effect.flatMap(open.accept, echo)
            ),
          { proxyProtocol: { trusted }, ...(scheme === "https" && { tls: yield* withTls() }) }
        )
        const url = `${scheme}://127.0.0.1:${port}/`
        const asked = yield* curl("--insecure", "--haproxy-protocol", "--write-out", "%{http_code} %{local_port}", url)
        const [, status, localPort] = /(\d+) (\d+)$/.exec(asked.stdout) ?? []
        // it speaks HTTP and no WebSocket
        assert.strictEqual(status, "426")
        assert.isAbove(Number(localPort), 0)
        // an empty reply, or the end within the handshake
        const without = yield* curl("--insecure", url)
        assert.include([35, 52, 56], without.code)
        // curl opens no WebSocket that it would end by itself
        const upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        const headers = [...upgrade, key].flatMap((header) => ["--header", header])
        yield* curl("--insecure", "--haproxy-protocol", "--http1.1", ...headers, "--max-time", "2", url)
        const [open] = clients
        assert.strictEqual(open?.remoteAddress, balancer)
        assert.strictEqual(open?.proxied?.version, 1)
        assert.strictEqual(open?.peer?.remotePort, open?.proxied?.by.remotePort)
      })
    )
  )
})
