/**
 * Each of websockify's options on the real command line, as its user types it: what it says, what it does, and what a client
 * sees of it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, lstatSync, readFileSync, writeFileSync } from "node:fs"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import WS from "ws"
import { rows } from "../../src/cli/websockifyOptions.ts"
import { has } from "../installed.ts"
import { temporary } from "../node/files.ts"
import { ask } from "../server/wire.ts"
import { certificate, chain, path, read, text, write } from "../tls/openssl.ts"
import { run, start } from "./command.ts"

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

/** A TCP service that sends back what comes, on a port or a path. */
const service = (
  options: Net.ListenOptions = { host: "127.0.0.1", port: 0 }
): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const server = Net.createServer((socket) => socket.on("error", () => {}).pipe(socket)).listen(options)
        await once(server, "listening")
        return server
      }),
      (server) => Effect.sync(() => server.close())
    ),
    (server) => `127.0.0.1:${(server.address() as Net.AddressInfo).port}`
  )

/** Starts it and waits until it takes connections. */
const websockify = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
  const running = yield* start(args)
  const line = yield* running.line(1)
  const url = /^ready (.+)$/.exec(line)?.[1] ?? assert.fail(line)
  return { ...running, url, port: Number(/:(\d+)$/.exec(url)?.[1]) }
})

const open = (url: string, options: WS.ClientOptions = {}): Effect.Effect<WS, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const socket = new WS(url, options)
      await once(socket, "open")
      return socket
    }),
    (socket) => Effect.sync(() => socket.terminate())
  )

const said = (socket: WS, what: string) =>
  Effect.promise(async () => {
    socket.send(what)
    const [data] = await once(socket, "message")
    return String(data)
  })

/** What comes back of a word, or why nothing does. */
const echoed = (url: string, options: WS.ClientOptions = {}): Effect.Effect<string> =>
  Effect.promise(async () => {
    const socket = new WS(url, options)
    try {
      await once(socket, "open")
      socket.send("hello")
      const [data] = await once(socket, "message")
      socket.close()
      await once(socket, "close")
      return String(data)
    } catch (error) {
      return String(error)
    } finally {
      socket.terminate()
    }
  })

const curl = (...args: ReadonlyArray<string>) =>
  Effect.promise(async () => (await promisify(execFile)("curl", ["-sS", "--max-time", "20", ...args])).stdout)

const eventually = Effect.fnUntraced(function* (what: string, holds: () => boolean) {
  for (let i = 0; i < 1000; i++) {
    if (holds()) return
    yield* Effect.sleep(20)
  }
  return yield* Effect.die(new Error(`waited 20 seconds until ${what}`))
})

/** What is refused, in one line, before anything listens. */
const refused = (words: ReadonlyArray<string>, ...args: ReadonlyArray<string>) =>
  Effect.map(run(...args), ({ code, stderr, stdout }) => {
    assert.deepStrictEqual([code, stdout, stderr.split("\n").length], [1, "", 2], stderr)
    for (const word of ["effect-websocket: ", ...words]) assert.include(stderr, word)
  })

let isMade = false

/** The files of TLS, made once: a process may be reading them already. */
const tlsFiles = () => {
  if (!isMade) {
    chain()
    certificate("client", { issuer: "root" })
    write("both.pem", text("leaf.crt") + text("middle.crt") + text("leaf.key"))
    write("public.pem", text("leaf.crt") + text("middle.crt"))
  }
  isMade = true
  return { ca: read("root.crt"), servername: "localhost" }
}

type Try = Effect.Effect<unknown, never, Scope.Scope>
const over = { code: 0, signal: null } as const

/** How each option is tried. */
const tries: Readonly<Record<string, Try>> = {
  verbose: Effect.gen(function* () {
    const { port, stderr, url } = yield* websockify("-v", "127.0.0.1:0", yield* service())
    assert.strictEqual(yield* echoed(`${url}/some/path?token=hush`), "hello")
    yield* eventually("the end is told", () => /DEBUG.*Closed/.test(stderr()))
    assert.match(stderr(), /DEBUG.*\/some\/path.*127\.0\.0\.1/)
    assert.notInclude(stderr(), "hush")
    assert.isAbove(port, 0)
  }),
  traffic: Effect.gen(function* () {
    const { stderr, stdout, url } = yield* websockify("127.0.0.1:0", yield* service(), "--traffic")
    assert.strictEqual(yield* echoed(url), "hello")
    assert.match(stderr(), /^effect-websocket: note: --traffic .*\n$/)
    assert.strictEqual(stdout().split("\n").length, 2)
  }),
  record: Effect.gen(function* () {
    const file = join(yield* temporary, "session")
    const args = ["127.0.0.1:0", yield* service(), "--record", file]
    const { stderr, url } = yield* websockify(...args, "--record-limit", "1MiB")
    assert.strictEqual(yield* echoed(url), "hello")
    yield* eventually(
      "it is recorded",
      () => existsSync(`${file}.1`) && readFileSync(`${file}.1`, "utf8").includes("EOF")
    )
    const recorded = readFileSync(`${file}.1`, "utf8")
    assert.match(recorded, /\n'\}\d+\}hello',\n'\{\d+\{hello',\n'EOF'\];\n$/)
    assert.include(stderr(), "recorded")
    yield* refused(["--record", "/no/such"], "127.0.0.1:0", "a:1", "--record", "/no/such/session")
    yield* refused(["--record-limit", "10MiB", "much"], "127.0.0.1:0", "a:1", "--record=x", "--record-limit=much")
    yield* refused(["--record-limit", "--record"], "127.0.0.1:0", "a:1", "--record-limit=1MiB")
  }),
  daemon: Effect.andThen(
    refused(["--daemon", "service manager"], "-D", "0", "localhost:5900"),
    refused(["--daemon", "service manager"], "0", "localhost:5900", "--daemon")
  ),
  "run-once": Effect.gen(function* () {
    const dead = "127.0.0.1:1"
    const refusing = yield* websockify("127.0.0.1:0", dead, "--run-once")
    assert.match(yield* echoed(refusing.url), /502/)
    const running = yield* websockify("127.0.0.1:0", yield* service(), "--run-once")
    assert.strictEqual((yield* ask(running.port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")).status, 426)
    const first = yield* open(running.url)
    assert.strictEqual(yield* said(first, "one"), "one")
    assert.match(yield* echoed(running.url), /503/)
    assert.strictEqual(yield* said(first, "two"), "two")
    first.close()
    const { code, signal, stdout } = yield* running.ended
    assert.deepStrictEqual([code, signal, stdout.split("\n").length], [over.code, over.signal, 2])
    // whoever was refused was none
    assert.match(yield* echoed(refusing.url), /502/)
  }),
  timeout: Effect.gen(function* () {
    const running = yield* websockify("127.0.0.1:0", yield* service(), "--timeout", "6")
    const socket = yield* open(running.url)
    // it listens no more, and the connection goes on
    while (!/ECONNREFUSED/.test(yield* echoed(running.url))) yield* Effect.sleep(100)
    assert.strictEqual(yield* said(socket, "still there"), "still there")
    socket.close()
    assert.strictEqual((yield* running.ended).code, 0)
  }),
  "idle-timeout": Effect.gen(function* () {
    const running = yield* websockify("127.0.0.1:0", yield* service(), "--idle-timeout", "5")
    const socket = yield* open(running.url)
    yield* Effect.sleep("7 seconds")
    assert.strictEqual(yield* said(socket, "still there"), "still there")
    socket.close()
    assert.strictEqual((yield* running.ended).code, 0)
  }),
  cert: Effect.gen(function* () {
    const trusting = tlsFiles()
    const { port } = yield* websockify("127.0.0.1:0", yield* service(), "--cert", path("both.pem"))
    assert.strictEqual(yield* echoed(`wss://127.0.0.1:${port}`, trusting), "hello")
    assert.strictEqual(yield* echoed(`ws://127.0.0.1:${port}`), "hello")
  }),
  key: Effect.gen(function* () {
    const trusting = tlsFiles()
    const args = ["--cert", path("public.pem"), "--key", path("leaf.key")]
    const { port } = yield* websockify("127.0.0.1:0", yield* service(), ...args)
    assert.strictEqual(yield* echoed(`wss://127.0.0.1:${port}`, trusting), "hello")
  }),
  "key-password": refused(["--cert-password-env"], "0", "a:1", "--cert", "c", "--key-password", "hush"),
  password: refused(["--cert-password-env"], "0", "a:1", "--password=hush"),
  "ssl-only": Effect.gen(function* () {
    const trusting = tlsFiles()
    yield* refused(["--ssl-only", "--cert"], "0", "a:1", "--ssl-only")
    const { port } = yield* websockify("127.0.0.1:0", yield* service(), "--ssl-only", "--cert", path("both.pem"))
    assert.strictEqual(yield* echoed(`wss://127.0.0.1:${port}`, trusting), "hello")
    assert.match(yield* echoed(`ws://127.0.0.1:${port}`), /Error/)
  }),
  "verify-client": Effect.gen(function* () {
    const trusting = tlsFiles()
    const target = yield* service()
    const { port, stderr } = yield* websockify("127.0.0.1:0", target, "--cert", path("both.pem"), "--verify-client")
    const mine = { cert: text("client.crt"), key: text("client.key") }
    // trusted by nobody whom the system trusts
    for (const shown of [{}, mine]) {
      assert.match(yield* echoed(`wss://127.0.0.1:${port}`, { ...trusting, ...shown }), /Error/)
    }
    assert.match(yield* echoed(`ws://127.0.0.1:${port}`), /Error/)
    assert.include(stderr(), "note: --verify-client")
  }),
  cafile: Effect.gen(function* () {
    const trusting = tlsFiles()
    const args = ["--cert", path("both.pem"), "--verify-client", "--cafile", path("root.crt")]
    const { port } = yield* websockify("127.0.0.1:0", yield* service(), ...args)
    const mine = { cert: text("client.crt"), key: text("client.key") }
    assert.strictEqual(yield* echoed(`wss://127.0.0.1:${port}`, { ...trusting, ...mine }), "hello")
    assert.match(yield* echoed(`wss://127.0.0.1:${port}`, trusting), /Error/)
    assert.match(yield* echoed(`ws://127.0.0.1:${port}`), /Error/)
  }),
  "ssl-version": Effect.gen(function* () {
    const trusting = tlsFiles()
    yield* refused(["tlsv1_2", "sslv3"], "0", "a:1", "--cert", path("both.pem"), "--ssl-version", "sslv3")
    const args = ["--cert", path("both.pem"), "--ssl-version", "tlsv1_3"]
    const { port } = yield* websockify("127.0.0.1:0", yield* service(), ...args)
    assert.strictEqual(yield* echoed(`wss://127.0.0.1:${port}`, trusting), "hello")
    const old = { ...trusting, maxVersion: "TLSv1.2" } as const
    assert.match(yield* echoed(`wss://127.0.0.1:${port}`, old), /Error/)
  }),
  "ssl-ciphers": Effect.gen(function* () {
    const trusting = tlsFiles()
    const args = ["--cert", path("both.pem"), "--ssl-ciphers", "ECDHE+AESGCM"]
    const { port } = yield* websockify("127.0.0.1:0", yield* service(), ...args)
    const offering = (ciphers: string) =>
      echoed(`wss://127.0.0.1:${port}`, { ...trusting, maxVersion: "TLSv1.2", ciphers } as WS.ClientOptions)
    assert.strictEqual(yield* offering("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"), "hello")
    assert.match(yield* offering("ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"), /Error/)
  }),
  "ssl-target": Effect.gen(function* () {
    tlsFiles()
    const secured = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const options = { cert: text("both.pem"), key: text("leaf.key") }
        const server = Tls.createServer(options, (socket) => socket.on("error", () => {}).pipe(socket))
        await once(server.listen(0, "127.0.0.1"), "listening")
        return server
      }),
      (server) => Effect.sync(() => server.close())
    )
    const target = `localhost:${(secured.address() as Net.AddressInfo).port}`
    const { url } = yield* websockify("127.0.0.1:0", target, "--ssl-target", "--target-ca", path("root.crt"))
    assert.strictEqual(yield* echoed(url), "hello")
    // whom the system does not trust is no target
    const careful = yield* websockify("--ssl-target", "127.0.0.1:0", target)
    assert.match(yield* echoed(careful.url), /502/)
  }),
  "unix-listen": Effect.gen(function* () {
    const socket = join(yield* temporary, "ws.sock")
    const { kill, ended, url } = yield* websockify("--unix-listen", socket, yield* service())
    assert.strictEqual(url, `ws+unix:${socket}`)
    assert.strictEqual(yield* echoed(`ws+unix:${socket}:/`), "hello")
    assert.strictEqual(lstatSync(socket).mode & 0o777, 0o600)
    if (has("curl")) assert.match(yield* curl("--unix-socket", socket, "-i", "http://localhost/"), /^HTTP\/1.1 426 /)
    yield* refused([socket, "somebody listens"], `--unix-listen=${socket}`, "a:1")
    yield* kill("SIGTERM")
    assert.deepStrictEqual([(yield* ended).code, existsSync(socket)], [0, false])
    writeFileSync(socket, "a file")
    yield* refused([socket, "left alone"], "--unix-listen", socket, "a:1")
    assert.strictEqual(readFileSync(socket, "utf8"), "a file")
  }),
  "unix-listen-mode": Effect.gen(function* () {
    const socket = join(yield* temporary, "ws.sock")
    yield* websockify("--unix-listen", socket, "--unix-listen-mode", "660", yield* service())
    assert.strictEqual(lstatSync(socket).mode & 0o777, 0o660)
    yield* refused(["--unix-listen-mode", "0660", "rw"], "--unix-listen=/x", "--unix-listen-mode=rw", "a:1")
    yield* refused(["--unix-listen-mode", "unix:PATH"], "127.0.0.1:0", "--unix-listen-mode=660", "a:1")
  }),
  "unix-target": Effect.gen(function* () {
    const folder = yield* temporary
    yield* service({ path: join(folder, "target.sock") })
    const one = yield* websockify("127.0.0.1:0", "--unix-target", join(folder, "target.sock"))
    assert.strictEqual(yield* echoed(one.url), "hello")
    const both = join(folder, "ws.sock")
    yield* websockify("--unix-listen", both, "--unix-target", join(folder, "target.sock"))
    assert.strictEqual(yield* echoed(`ws+unix:${both}:/`), "hello")
    const none = yield* websockify("127.0.0.1:0", "--unix-target", join(folder, "nobody.sock"))
    assert.match(yield* echoed(none.url), /502/)
  }),
  inetd: Effect.gen(function* () {
    yield* refused(["fd:0", "listens"], "--inetd", "a:1")
    if (!has("python3")) return
    // what a service manager does: a socket that listens, and then the program in its own place
    const manager = `import os, socket, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(5); os.dup2(s.fileno(), 0)
os.execv(sys.argv[1], sys.argv[1:])`
    const args = ["--inetd", yield* service(), "--idle-timeout", "5"]
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn("python3", ["-c", manager, process.execPath, main, ...args], { stdio: ["ignore", "pipe", "inherit"] })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const exited = once(child, "exit")
    const [line] = yield* Effect.promise(() => once(child.stdout, "data"))
    const url = /^ready (ws:.*)\n$/.exec(String(line))?.[1] ?? assert.fail(String(line))
    assert.strictEqual(yield* echoed(url), "hello")
    assert.deepStrictEqual(yield* Effect.promise(() => exited), [0, null])
  }),
  web: Effect.gen(function* () {
    const folder = yield* temporary
    writeFileSync(join(folder, "vnc.html"), "<title>a page</title>")
    const { port, url } = yield* websockify("--web", folder, "127.0.0.1:0", yield* service())
    const get = (path: string) => ask(port, `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`)
    const page = yield* get("/vnc.html")
    assert.deepStrictEqual([page.status, page.body], [200, "<title>a page</title>"])
    assert.strictEqual((yield* get("/")).status, 404)
    assert.strictEqual((yield* get("/../etc/passwd")).status, 404)
    assert.strictEqual(yield* echoed(`${url}/websockify`, { origin: `http://127.0.0.1:${port}` }), "hello")
    if (has("curl")) assert.include(yield* curl(`http://127.0.0.1:${port}/vnc.html`), "a page")
    yield* refused(["--web", "/no/such/folder"], "127.0.0.1:0", "a:1", "--web", "/no/such/folder")
  }),
  "file-only": Effect.gen(function* () {
    const { port } = yield* websockify("127.0.0.1:0", "a:1", "--file-only", "--web", yield* temporary)
    assert.strictEqual((yield* ask(port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")).status, 404)
  }),
  "no-parent": Effect.gen(function* () {
    const { port } = yield* websockify("127.0.0.1:0", "a:1", "--no-parent", "--web", yield* temporary)
    assert.strictEqual((yield* ask(port, "GET /.. HTTP/1.1\r\nHost: x\r\n\r\n")).status, 404)
  }),
  "wrap-mode": Effect.andThen(
    refused(["--wrap-mode", "target"], "0", "a:1", "--wrap-mode", "respawn"),
    refused(["-- COMMAND", "target"], "0", "--", "sleep", "1")
  ),
  "prefer-ipv6": Effect.gen(function* () {
    const isThere = yield* Effect.callback<boolean>((resume) => {
      const probe = Net.createServer().once("error", () => resume(Effect.succeed(false)))
      probe.listen(0, "::1", () => probe.close(() => resume(Effect.succeed(true))))
    })
    // a machine without IPv6 has none to prefer
    if (!isThere) return
    const { url } = yield* websockify("-6", "0", yield* service())
    assert.match(url, /^ws:\/\/\[::1\]:/)
    assert.strictEqual(yield* echoed(url), "hello")
  }),
  libserver: Effect.gen(function* () {
    const { url } = yield* websockify("127.0.0.1:0", yield* service(), "--libserver")
    assert.strictEqual(yield* echoed(url), "hello")
  }),
  "target-config": Effect.gen(function* () {
    const file = join(yield* temporary, "targets")
    writeFileSync(file, `# a comment\nmine: ${yield* service()}\n`)
    const { url } = yield* websockify("127.0.0.1:0", "--target-config", file)
    assert.strictEqual(yield* echoed(`${url}/?token=mine`), "hello")
    assert.match(yield* echoed(`${url}/?token=other`), /40[134]/)
    assert.match(yield* echoed(url), /40[0134]/)
  }),
  "token-plugin": Effect.gen(function* () {
    const folder = yield* temporary
    const file = join(folder, "targets")
    writeFileSync(file, `mine: ${yield* service()}\n`)
    yield* Effect.forEach(
      ["TokenFile", "ReadOnlyTokenFile"],
      Effect.fnUntraced(function* (plugin) {
        const { url } = yield* websockify("127.0.0.1:0", "--token-plugin", plugin, "--token-source", file)
        assert.strictEqual(yield* echoed(`${url}/?token=mine`), "hello")
        assert.match(yield* echoed(`${url}/?token=other`), /40[134]/)
      }),
      { concurrency: 2, discard: true }
    )
    yield* service({ path: join(folder, "one") })
    const sockets = ["--token-plugin=UnixDomainSocketDirectory", `--token-source=${folder}`]
    const { url } = yield* websockify("127.0.0.1:0", ...sockets)
    assert.strictEqual(yield* echoed(`${url}/?token=one`), "hello")
    yield* refused(["--token-plugin", "my.Class", "TokenFile"], "0", "--token-plugin", "my.Class")
  }),
  "token-source": Effect.andThen(
    refused(["--token-source", "--token-plugin"], "0", "--token-source", "x"),
    refused(["--token-source", "/no/such"], "0", "--token-plugin=TokenFile", "--token-source", "/no/such/file")
  ),
  "host-token": Effect.gen(function* () {
    const file = join(yield* temporary, "targets")
    writeFileSync(file, `mine: ${yield* service()}\n`)
    const args = ["--token-plugin", "TokenFile", "--token-source", file, "--host-token"]
    const { url } = yield* websockify("127.0.0.1:0", ...args)
    assert.strictEqual(yield* echoed(url, { headers: { host: "mine" } }), "hello")
    assert.match(yield* echoed(url), /40[134]/)
  }),
  "auth-plugin": Effect.gen(function* () {
    yield* refused(["--auth-plugin", "my.Class", "BasicHTTPAuth"], "127.0.0.1:0", "a:1", "--auth-plugin", "my.Class")
    const origins = ["--auth-plugin", "ExpectOrigin", "--auth-source", "https://a.example https://b.example"]
    const { url } = yield* websockify("127.0.0.1:0", yield* service(), ...origins)
    for (const origin of ["https://a.example", "https://b.example"]) {
      assert.strictEqual(yield* echoed(url, { origin }), "hello")
    }
    assert.match(yield* echoed(url, { origin: "https://c.example" }), /403/)
    assert.match(yield* echoed(url), /403/)
  }),
  "auth-source": Effect.gen(function* () {
    yield* refused(["--auth-source", "--auth-plugin"], "127.0.0.1:0", "a:1", "--auth-source", "user:hush")
    const basic = ["--auth-plugin", "BasicHTTPAuth", "--auth-source", "user:hush"]
    const { stderr, url } = yield* websockify("127.0.0.1:0", yield* service(), ...basic)
    const as = (user: string) => ({ headers: { authorization: `Basic ${btoa(user)}` } })
    assert.strictEqual(yield* echoed(url, as("user:hush")), "hello")
    assert.match(yield* echoed(url, as("user:other")), /401/)
    assert.match(yield* echoed(url), /401/)
    assert.notInclude(stderr(), "hush")
  }),
  "web-auth": Effect.gen(function* () {
    yield* refused(["--web-auth", "--web"], "127.0.0.1:0", "a:1", "--web-auth")
    const folder = yield* temporary
    writeFileSync(join(folder, "vnc.html"), "<title>a page</title>")
    const basic = ["--auth-plugin", "BasicHTTPAuth", "--auth-source", "user:hush", "--web", folder]
    const statuses = (port: number) =>
      Effect.forEach(["", `Authorization: Basic ${btoa("user:hush")}\r\n`], (header) =>
        Effect.map(ask(port, `GET /vnc.html HTTP/1.1\r\nHost: x\r\n${header}\r\n`), ({ status }) => status)
      )
    const guarded = yield* websockify("127.0.0.1:0", "a:1", ...basic, "--web-auth")
    assert.deepStrictEqual(yield* statuses(guarded.port), [401, 200])
    const shown = yield* websockify("127.0.0.1:0", "a:1", ...basic)
    assert.deepStrictEqual(yield* statuses(shown.port), [200, 200])
  }),
  heartbeat: Effect.gen(function* () {
    yield* refused(["--heartbeat", "seconds"], "0", "a:1", "--heartbeat", "often")
    const { url } = yield* websockify("127.0.0.1:0", yield* service(), "--heartbeat", "1")
    const socket = yield* open(url)
    yield* Effect.promise(() => once(socket, "ping"))
    yield* Effect.promise(() => once(socket, "ping"))
    assert.strictEqual(yield* said(socket, "still there"), "still there")
  }),
  "log-file": Effect.gen(function* () {
    const file = join(yield* temporary, "log")
    yield* refused(["--log-file", "/no/such"], "127.0.0.1:0", "a:1", "--log-file", "/no/such/file")
    const running = yield* websockify("127.0.0.1:0", "127.0.0.1:1", "--log-file", file)
    assert.match(yield* echoed(running.url), /502/)
    yield* eventually("it is logged", () => readFileSync(file, "utf8").includes("127.0.0.1:1"))
    assert.include(running.stderr(), "127.0.0.1:1")
    assert.strictEqual(lstatSync(file).mode & 0o777, 0o600)
  }),
  syslog: refused(["--syslog", "logger"], "0", "a:1", "--syslog", "/dev/log"),
  "legacy-syslog": refused(["--legacy-syslog", "logger"], "0", "a:1", "--legacy-syslog")
}

const ofTls = new Set([
  "cert",
  "key",
  "ssl-only",
  "verify-client",
  "cafile",
  "ssl-version",
  "ssl-ciphers",
  "ssl-target"
])

describe.concurrent("websockify's option", () => {
  for (const { option } of rows) {
    const how = tries[option]
    it.live(
      `--${option}`,
      (context) => {
        if (ofTls.has(option) && !has("openssl")) return context.skip("openssl is not installed")
        return how ?? Effect.die(new Error("nobody tries it"))
      },
      // some start several processes
      150_000
    )
  }
})

describe("websockify's addresses", () => {
  it.live("are proxy's, and a port alone is noted as this machine's own", () =>
    Effect.gen(function* () {
      const { stderr, url } = yield* websockify("0", yield* service())
      assert.match(url, /^ws:\/\/127\.0\.0\.1:/)
      assert.match(stderr(), /^effect-websocket: note: .*0\.0\.0\.0:0.*\n$/)
      assert.strictEqual(yield* echoed(url), "hello")
      yield* refused(["host:port", "nonsense"], "0", "nonsense")
      yield* refused(["6080 localhost:5900", "6080 alone"], "6080")
      yield* refused(["65535"], "70000", "localhost:5900")
    })
  )
})
