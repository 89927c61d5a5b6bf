/**
 * wss on the command line: the certificate, clients' certificates, both schemes on one port, and a certificate that changes.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { copyFileSync, rmSync } from "node:fs"
import { once } from "node:events"
import * as tls from "node:tls"
import { WebSocket, type ClientOptions } from "ws"
import * as RawClient from "../proxy/rawClient.ts"
import { certificate, chain, path, read, text, write } from "../tls/openssl.ts"
import { identity, listen } from "../tls/tlsTarget.ts"
import { start } from "./command.ts"
import { until } from "./processes.ts"

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
      assert.match(command.stderr(), /ERROR.* SIGHUP: what was read before stays in use: .*changing\.pem/)
      assert.match((yield* subject(port))!, /CN=other/)
      yield* command.kill("SIGTERM")
      assert.strictEqual((yield* command.ended).code, 0)
    }).pipe(Effect.scoped)
  )

  it.live(
    "a key that became a pipe, and a certificate that is gone, are told at SIGHUP, and nobody waits for them",
    () =>
      Effect.gen(function* () {
        for (const [changed, code] of [
          ["changing.key", "it is no file"],
          ["changing.crt", "ENOENT"]
        ] as const) {
          copyFileSync(path("other.crt"), path("changing.crt"))
          copyFileSync(path("other.key"), path("changing.key"))
          const { command, port } = yield* serving("--cert", path("changing.crt"), "--key", path("changing.key"))
          rmSync(path(changed))
          if (changed === "changing.key") execFileSync("mkfifo", [path(changed)])
          yield* command.kill("SIGHUP")
          yield* until("it is told", () => command.stderr().includes(`/${changed}": ${code}`))
          assert.match((yield* subject(port))!, /CN=other/)
          yield* command.kill("SIGTERM")
          assert.strictEqual((yield* command.ended).code, 0)
          rmSync(path(changed), { force: true })
        }
      }).pipe(Effect.scoped),
    90_000
  )
})

describe("--target-tls", { timeout: 120_000 }, () => {
  const proxying = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
    const command = yield* start(["proxy", "0", ...args])
    const [, port] = /^ready ws:\/\/127\.0\.0\.1:(\d+)$/.exec(yield* command.line(1)) ?? assert.fail()
    const client = yield* RawClient.request(Number(port))
    yield* client.watch.until("an answer", () => client.status !== undefined)
    return { command, client }
  })
  const presented = () => identity("leaf", "middle")

  it.live("is TLS to the target, which must be of --target-ca and for its host or --target-name", () =>
    Effect.gen(function* () {
      const listener = yield* listen(presented())
      const byName = `localhost:${listener.port}`
      const byAddress = `127.0.0.1:${listener.port}`
      const cases = [
        [[byName, "--target-ca", path("root.crt")], 101, ""],
        [[byAddress, "--target-ca", path("root.crt"), "--target-name", "localhost"], 101, ""],
        [[byName], 502, "authority that is not trusted"],
        [[byName, "--target-ca", path("other.crt")], 502, "authority that is not trusted"],
        [[byAddress, "--target-ca", path("root.crt"), "--target-name", "db.example"], 502, "not for db.example"]
      ] as const
      yield* Effect.forEach(
        cases,
        Effect.fnUntraced(function* ([args, status, said]) {
          const { client, command } = yield* proxying("--target-tls", ...args)
          assert.strictEqual(client.status, status, args.join(" "))
          yield* client.reset()
          yield* command.kill("SIGTERM")
          assert.include((yield* command.ended).stderr, said)
        }),
        { concurrency: 2, discard: true }
      )
    }).pipe(Effect.scoped)
  )

  it.live("presents --target-cert, offers --target-alpn, and says of --target-insecure what it is", () =>
    Effect.gen(function* () {
      const clients = { ca: text("root.crt"), requestCert: true, rejectUnauthorized: true }
      const listener = yield* listen({ ...presented(), ...clients, ALPNProtocols: ["postgresql", "mqtt"] })
      const certificate = ["--target-cert", path("client.crt"), "--target-key", path("client.key")]
      const { client, command } = yield* proxying(
        `127.0.0.1:${listener.port}`,
        "--target-tls",
        "--target-insecure",
        ...certificate,
        "--target-alpn",
        "mqtt"
      )
      assert.strictEqual(client.status, 101)
      const { tls } = yield* listener.accept
      assert.strictEqual(tls.alpnProtocol, "mqtt")
      assert.match(tls.getPeerX509Certificate()?.subject ?? "", /CN=client/)
      yield* client.reset()
      yield* command.kill("SIGTERM")
      assert.include((yield* command.ended).stderr, "with TLS that is insecure: its certificate was not verified")
    }).pipe(Effect.scoped)
  )

  it.live("is as well through a firewall over TLS, which must be of --firewall-ca", () =>
    Effect.gen(function* () {
      const listener = yield* listen(presented())
      const url = `https://localhost:${listener.port}`
      const refused = yield* proxying("db.example:5432", "--firewall", url)
      assert.strictEqual(refused.client.status, 502)
      const command = yield* start([
        "proxy",
        "0",
        "db.example:5432",
        "--firewall",
        url,
        "--firewall-ca",
        path("root.crt")
      ])
      const [, port] = /:(\d+)$/.exec(yield* command.line(1)) ?? assert.fail()
      const client = yield* RawClient.request(Number(port))
      const firewall = yield* listener.accept
      yield* firewall.untilReceived(20)
      assert.match(firewall.text, /^CONNECT db\.example:5432 HTTP\/1\.1\r\n/)
      yield* firewall.write(Buffer.from("HTTP/1.1 200 OK\r\n\r\nbanner"))
      yield* client.untilPayload(6)
      assert.strictEqual(client.bytes.toString(), "banner")
    }).pipe(Effect.scoped)
  )
})
