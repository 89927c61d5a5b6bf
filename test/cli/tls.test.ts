/**
 * wss on the command line: the certificate, clients' certificates, both schemes on one port, and a certificate that changes.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { copyFileSync } from "node:fs"
import { once } from "node:events"
import * as tls from "node:tls"
import { WebSocket, type ClientOptions } from "ws"
import { certificate, chain, path, read, text, write } from "../tls/openssl.ts"
import { start } from "./command.ts"

chain()
certificate("client", { issuer: "root" })
certificate("other", { extensions: ["subjectAltName=DNS:localhost"] })
write("both.pem", text("leaf.crt") + text("middle.crt") + text("leaf.key"))
const trusting = { ca: read("root.crt"), servername: "localhost" }

const serving = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
  const command = yield* start(["echo", "0", ...args])
  const line = yield* command.line(1)
  const [, scheme, port] = /^ready (wss?):\/\/127\.0\.0\.1:(\d+)$/.exec(line) ?? assert.fail(line)
  return { command, scheme, port: Number(port) }
})

/** What comes back, or why nothing does. */
const echoed = (url: string, options: ClientOptions & tls.ConnectionOptions = {}): Effect.Effect<string> =>
  Effect.promise(async () => {
    const client = new WebSocket(url, options)
    try {
      await once(client, "open")
      client.send("hello")
      const [data] = await once(client, "message")
      client.close()
      await once(client, "close")
      return String(data)
    } catch (error) {
      return String(error)
    }
  })

const subject = (port: number): Effect.Effect<string | undefined> =>
  Effect.promise(async () => {
    const socket = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false })
    await once(socket, "secureConnect")
    const name = socket.getPeerX509Certificate()?.subject
    socket.destroy()
    return name
  })

describe("--cert", () => {
  it.live("speaks wss with a file that has the key too, and with one in a file of its own", () =>
    Effect.gen(function* () {
      write("public.pem", text("leaf.crt") + text("middle.crt"))
      for (const args of [
        ["--cert", path("both.pem")],
        ["--cert", path("public.pem"), "--key", path("leaf.key")]
      ]) {
        const { port, scheme } = yield* serving(...args)
        assert.strictEqual(scheme, "wss")
        assert.strictEqual(yield* echoed(`wss://127.0.0.1:${port}`, trusting), "hello")
        assert.match(yield* echoed(`ws://127.0.0.1:${port}`), /Unexpected server response: 400/)
      }
    }).pipe(Effect.scoped)
  )

  it.live("with --also-plain it speaks ws on the same port", () =>
    Effect.gen(function* () {
      const { port } = yield* serving("--cert", path("both.pem"), "--also-plain")
      assert.strictEqual(yield* echoed(`wss://127.0.0.1:${port}`, trusting), "hello")
      assert.strictEqual(yield* echoed(`ws://127.0.0.1:${port}`), "hello")
    }).pipe(Effect.scoped)
  )

  it.live("with --tls-min 1.3 it speaks nothing older", () =>
    Effect.gen(function* () {
      const { port } = yield* serving("--cert", path("both.pem"), "--tls-min", "1.3")
      assert.strictEqual(yield* echoed(`wss://127.0.0.1:${port}`, trusting), "hello")
      assert.match(yield* echoed(`wss://127.0.0.1:${port}`, { ...trusting, maxVersion: "TLSv1.2" }), /alert|EPROTO|SSL/)
    }).pipe(Effect.scoped)
  )

  it.live("with --client-ca it lets in only clients of these authorities", () =>
    Effect.gen(function* () {
      const { port } = yield* serving("--cert", path("both.pem"), "--client-ca", path("root.crt"))
      const mine = { cert: text("client.crt"), key: text("client.key") }
      const foreign = { cert: text("other.crt"), key: text("other.key") }
      assert.strictEqual(yield* echoed(`wss://127.0.0.1:${port}`, { ...trusting, ...mine }), "hello")
      assert.notStrictEqual(yield* echoed(`wss://127.0.0.1:${port}`, trusting), "hello")
      assert.notStrictEqual(yield* echoed(`wss://127.0.0.1:${port}`, { ...trusting, ...foreign }), "hello")
    }).pipe(Effect.scoped)
  )

  it.live("SIGHUP has the certificate read again; a broken one is told, and the old one serves", () =>
    Effect.gen(function* () {
      copyFileSync(path("both.pem"), path("changing.pem"))
      const { command, port } = yield* serving("--cert", path("changing.pem"))
      assert.match((yield* subject(port))!, /CN=leaf/)
      write("changing.pem", text("other.crt") + text("other.key"))
      yield* command.kill("SIGHUP")
      yield* Effect.gen(function* () {
        while (!/CN=other/.test((yield* subject(port)) ?? "")) yield* Effect.sleep(20)
      }).pipe(Effect.timeout("10 seconds"))
      write("changing.pem", "broken")
      yield* command.kill("SIGHUP")
      yield* Effect.gen(function* () {
        while (!command.stderr().includes("changing.pem")) yield* Effect.sleep(20)
      }).pipe(Effect.timeout("10 seconds"))
      assert.match((yield* subject(port))!, /CN=other/)
      yield* command.kill("SIGTERM")
      assert.strictEqual((yield* command.ended).code, 0)
    }).pipe(Effect.scoped)
  )
})
