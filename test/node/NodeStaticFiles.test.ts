/**
 * Files beside the WebSockets: what is served, how, and above all what is not. Requests are written by hand, since clients
 * tidy the paths that this is about.
 */
import { NodeHttpPlatform, NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HttpServerRequest } from "effect/http"
import { execFile } from "node:child_process"
import { readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs"
import * as Http from "node:http"
import { join } from "node:path"
import { promisify } from "node:util"
import { brotliDecompressSync, gunzipSync } from "node:zlib"
import * as NodeStaticFiles from "../../src/node/NodeStaticFiles.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { shown, text } from "../connection/connected.ts"
import { has } from "../installed.ts"
import * as Watch from "../proxy/watch.ts"
import { ask, connect, upgradeRequest } from "../server/wire.ts"
import { collectingLogs, eventually } from "../server/serving.ts"
import { folder, script, secret, serving, temporary } from "./files.ts"
import { warned } from "./warned.ts"

const request = (path: string, headers: Record<string, string> = {}, method = "GET") =>
  `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("")}\r\n`

/** The answer as its client has it, decoded from chunks but not from compression. */
const fetched = (port: number, path: string, headers: Record<string, string> = {}) =>
  Effect.promise(async () => {
    const request = Http.get({ port, host: "127.0.0.1", path, headers, agent: false })
    const response = await new Promise<Http.IncomingMessage>((resolve, reject) =>
      request.once("response", resolve).once("error", reject)
    )
    const body = Buffer.concat(await response.toArray())
    return { status: response.statusCode, headers: response.headers, body }
  })

describe("the files of a folder", () => {
  it.live("are there with their types, and folders are their index", () =>
    Effect.gen(function* () {
      const port = yield* serving({ root: join(yield* folder, "root") })
      const expected: ReadonlyArray<readonly [path: string, type: string, body: string]> = [
        ["/", "text/html; charset=utf-8", "<!doctype html><title>index</title>\n"],
        ["/?query=/../secret.txt", "text/html; charset=utf-8", "<!doctype html><title>index</title>\n"],
        ["/app/", "text/html; charset=utf-8", "<!doctype html><title>app</title>\n"],
        ["/app/main.js", "text/javascript; charset=utf-8", script],
        ["/app//deep/note.txt", "text/plain; charset=utf-8", "a note\n"],
        ["/link-in.txt", "text/plain; charset=utf-8", "a note\n"],
        ["/a%20name%20with%20spaces%20%26%20%C3%BCmlauts.txt", "text/plain; charset=utf-8", "spaced\n"],
        ["/100%25.txt", "text/plain; charset=utf-8", "percent\n"],
        ["/empty.txt", "text/plain; charset=utf-8", ""],
        ["/image.png", "image/png", "\x89PNG"],
        ["/unknown.bin", "application/octet-stream", "\0\x01"],
        ["http://localhost/empty.txt", "text/plain; charset=utf-8", ""]
      ]
      for (const [path, type, body] of expected) {
        const answer = yield* fetched(port, path)
        assert.deepStrictEqual([path, answer.status, answer.headers["content-type"]], [path, 200, type])
        assert.strictEqual(answer.body.toString("latin1"), body)
        assert.strictEqual(answer.headers["x-content-type-options"], "nosniff")
        assert.strictEqual(answer.headers["cache-control"], "no-cache")
        assert.strictEqual(answer.headers["content-length"], String(body.length))
      }
      const moved = yield* ask(port, request("/app?query"))
      assert.deepStrictEqual([moved.status, moved.headers["location"]], [301, "/app/?query"])
      const away = yield* ask(port, request("//app"))
      assert.deepStrictEqual([away.status, away.headers["location"]], [301, "/app/"])
    })
  )

  it.live("HEAD is the same without the body, and other methods are refused", () =>
    Effect.gen(function* () {
      const port = yield* serving({ root: join(yield* folder, "root") })
      const wire = yield* connect(port)
      wire.write(request("/app/main.js", {}, "HEAD"))
      const head = yield* Effect.promise(async () => {
        let bytes = ""
        for await (const chunk of wire.socket) bytes += chunk
        return bytes
      })
      assert.match(head, new RegExp(`^HTTP/1.1 200 OK\r\n[^]*content-length: ${script.length}\r\n[^]*\r\n\r\n$`, "i"))
      for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"]) {
        const answer = yield* ask(port, request("/app/main.js", {}, method))
        assert.deepStrictEqual([answer.status, answer.headers["allow"]], [405, "GET, HEAD"])
      }
      assert.strictEqual((yield* ask(port, request("*", {}, "OPTIONS"))).status, 405)
    })
  )

  it.live("a client that holds a file asks whether it still is it: by ETag or by date", () =>
    Effect.gen(function* () {
      const root = join(yield* folder, "root")
      const port = yield* serving({ root })
      const first = yield* fetched(port, "/app/main.js")
      const { etag, "last-modified": modified } = first.headers
      for (const headers of [{ "if-none-match": etag! }, { "if-modified-since": modified! }]) {
        const again = yield* fetched(port, "/app/main.js", headers)
        assert.deepStrictEqual([again.status, again.body.length, again.headers["etag"]], [304, 0, etag])
      }
      writeFileSync(join(root, "app/main.js"), "changed")
      const changed = yield* fetched(port, "/app/main.js", { "if-none-match": etag! })
      assert.deepStrictEqual([changed.status, String(changed.body)], [200, "changed"])
      // what is compressed is still recognized
      const squeezed = yield* fetched(port, "/app/", { "accept-encoding": "gzip" })
      const again = yield* fetched(port, "/app/", { "if-none-match": squeezed.headers["etag"]! })
      assert.strictEqual(again.status, 304)
    })
  )

  it.live("ranges are parts, or 416", () =>
    Effect.gen(function* () {
      const port = yield* serving({ root: join(yield* folder, "root") })
      const size = script.length
      const parts: ReadonlyArray<readonly [range: string, from: number, to: number]> = [
        ["bytes=0-9", 0, 10],
        ["bytes=10-", 10, size],
        ["bytes=-5", size - 5, size],
        [`bytes=5-${size * 2}`, 5, size]
      ]
      for (const [range, from, to] of parts) {
        const answer = yield* fetched(port, "/app/main.js", { range, "accept-encoding": "gzip" })
        assert.deepStrictEqual([range, answer.status, answer.headers["content-encoding"]], [range, 206, undefined])
        assert.strictEqual(answer.headers["content-range"], `bytes ${from}-${to - 1}/${size}`)
        assert.strictEqual(String(answer.body), script.slice(from, to))
      }
      const beyond = yield* fetched(port, "/app/main.js", { range: `bytes=${size}-` })
      assert.deepStrictEqual([beyond.status, beyond.headers["content-range"]], [416, `bytes */${size}`])
      for (const range of ["bytes=0-1,5-6", "lines=1-2", "bytes=x-", "bytes=9999999999999999999999-"]) {
        assert.include([200, 416], (yield* fetched(port, "/app/main.js", { range })).status)
      }
    })
  )

  it.live("what compresses is compressed, as the client can take it", () =>
    Effect.gen(function* () {
      const port = yield* serving({ root: join(yield* folder, "root") })
      const gzip = yield* fetched(port, "/app/main.js", { "accept-encoding": "gzip" })
      assert.strictEqual(gzip.headers["content-encoding"], "gzip")
      assert.strictEqual(String(gunzipSync(gzip.body)), script)
      const brotli = yield* fetched(port, "/app/main.js", { "accept-encoding": "gzip, br" })
      assert.strictEqual(brotli.headers["content-encoding"], "br")
      assert.strictEqual(String(brotliDecompressSync(brotli.body)), script)
      for (const { headers } of [gzip, brotli]) assert.match(headers["vary"]!, /accept-encoding/i)
      const none = yield* fetched(port, "/app/main.js", { "accept-encoding": "gzip;q=0, br;q=0" })
      assert.deepStrictEqual([none.headers["content-encoding"], String(none.body)], [undefined, script])
      const image = yield* fetched(port, "/image.png", { "accept-encoding": "gzip" })
      assert.strictEqual(image.headers["content-encoding"], undefined)
    })
  )

  it.live("curl has them whole, compressed and in part", (context) =>
    Effect.gen(function* () {
      if (!has("curl")) return context.skip("curl is not installed")
      const port = yield* serving({ root: join(yield* folder, "root") })
      const curl = (...args: ReadonlyArray<string>) =>
        Effect.promise(async () => (await promisify(execFile)("curl", ["-sS", "--max-time", "20", ...args])).stdout)
      const url = `http://127.0.0.1:${port}`
      assert.strictEqual(yield* curl(`${url}/app/main.js`), script)
      assert.strictEqual(yield* curl("--compressed", `${url}/app/main.js`), script)
      assert.strictEqual(yield* curl("-r", "7-12", `${url}/app/main.js`), script.slice(7, 13))
      assert.strictEqual(yield* curl("-L", `${url}/app`), "<!doctype html><title>app</title>\n")
      assert.match(yield* curl("-I", `${url}/`), /^HTTP\/1.1 200 OK/)
      assert.notInclude(yield* curl("--path-as-is", `${url}/../secret.txt`), secret)
    })
  )
})

/** Spellings of what must not be served. */
const attempts: Array<string> = [
  "../secret.txt app/../../secret.txt app/beside/secret.txt folder-out/secret.txt link-out.txt .. .",
  ".hidden app/../.hidden .git/config git/config empty/.dot link-to-hidden.txt stolen/ empty/ index.html/..",
  "device loop loop/x folder-out/ folder-out folder-out/root-beside/secret.txt app/main.js/ app/main.js/x no/such/file",
  "../root-beside/secret.txt ..\\secret.txt app\\..\\..\\secret.txt index.html\0 \0 %2e%2e/secret.txt",
  "....//secret.txt ..;/secret.txt ~/secret.txt C:/secret.txt file:///etc/passwd proc/self/environ"
].flatMap((line) => line.split(" "))
attempts.push("x".repeat(300), "x/".repeat(1500))

/** The same, with some of its characters escaped once or twice. */
const spellings = (path: string): ReadonlyArray<string> => {
  const hex = (char: string) => [...Buffer.from(char)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("")
  const each = (pattern: RegExp, by: (char: string) => string) => path.replace(pattern, by)
  const bare = each(/[^\x21-\x7e]/g, hex)
  return [
    bare,
    each(/[./\\]|[^\x21-\x7e]/g, hex),
    each(/[./\\]|[^\x21-\x7e]/g, (char) => hex(char).toUpperCase()),
    each(/[.]|[^\x21-\x7e]/g, hex),
    each(/[/]|[^\x21-\x7e]/g, hex),
    each(/[./\\]|[^\x21-\x7e]/g, (char) => hex(char).replaceAll("%", "%25")),
    // overlong UTF-8
    each(/\./g, () => "%c0%ae").replace(/[^\x21-\x7e]/g, hex),
    each(/\//g, () => "%c0%af").replace(/[^\x21-\x7e]/g, hex)
  ]
}

describe("what is outside or hidden", () => {
  it.live(
    "is not served, however it is asked for, and is the same as what is not there",
    () =>
      Effect.gen(function* () {
        const port = yield* serving({ root: join(yield* folder, "root") })
        const targets = new Set(
          attempts.flatMap((attempt) =>
            spellings(attempt).flatMap((path) => [
              `/${path}`,
              `//${path}`,
              `/app/../${path}`,
              `/app/%2e%2e/${path}`,
              path
            ])
          )
        )
        const absent = yield* ask(port, request("/no-such-file"))
        assert.strictEqual(absent.status, 404)
        const wrong: Array<string> = []
        yield* Effect.forEach(
          targets,
          (target) =>
            Effect.map(ask(port, request(target)), ({ body, status }) => {
              const isRefused = (status === 404 && body === absent.body) || status === 400
              // a folder of ours is told its slash, and an index may be what is asked for
              const isOurs = (status === 301 || status === 200) && !body.includes(secret) && !body.includes("root:")
              if (!isRefused && !isOurs) wrong.push(`${target}: ${status} ${body.slice(0, 50)}`)
              if (body.includes(secret)) wrong.push(`${target} was served`)
            }),
          { concurrency: 16, discard: true }
        )
        assert.deepStrictEqual(wrong, [])
        assert.isAbove(targets.size, 500)
        // to the letter
        for (const attempt of attempts) {
          const target = `/${spellings(attempt)[0]}`
          const { status } = yield* ask(port, request(target))
          assert.deepStrictEqual([target.slice(0, 80), status], [target.slice(0, 80), 404])
        }
        // longer than a file system takes
        assert.strictEqual((yield* ask(port, request(`/${"x/".repeat(3000)}`))).status, 404)
      }),
    60_000
  )

  it.live("random paths give no secret and no 500", () =>
    Effect.gen(function* () {
      const port = yield* serving({ root: join(yield* folder, "root") })
      const pieces = [
        "..",
        ".",
        "%2e",
        "%2E%2e",
        "/",
        "%2f",
        "\\",
        "%5c",
        "%00",
        "root",
        "root-beside",
        "secret.txt",
        "app"
      ]
      const more = [
        "index.html",
        "folder-out",
        "git",
        "%",
        "%zz",
        "%c3",
        "?",
        "#",
        ";",
        "%ff",
        "~",
        "+",
        "deep",
        "beside"
      ]
      const all = [...pieces, ...more]
      let seed = 1
      const next = (n: number) => (seed = (seed * 48271) % 2147483647) % n
      const targets = Array.from(
        { length: 800 },
        () => `/${Array.from({ length: 1 + next(9) }, () => all[next(all.length)]!).join("")}`
      )
      yield* Effect.forEach(
        targets,
        (target) =>
          Effect.map(ask(port, request(target)), ({ body, status }) => {
            assert.notInclude(body, secret, target)
            assert.include([200, 301, 400, 404], status, target)
          }),
        { concurrency: 16, discard: true }
      )
    })
  )
})

describe.concurrent("beside the WebSockets", () => {
  it.live("files and WebSockets share a connection, and a WebSocket is not timed out like an answer", () =>
    Effect.gen(function* () {
      const port = yield* serving({ root: join(yield* folder, "root"), stallTimeout: "1 second" })
      const wire = yield* connect(port)
      wire.write("GET /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n")
      assert.strictEqual((yield* wire.response).status, 200)
      wire.write(upgradeRequest())
      assert.strictEqual((yield* wire.response).status, 101)
      yield* Effect.sleep("2500 millis")
      wire.send(text("still here"))
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "still here"])
    })
  )

  it.live("a stall may take longer than a timer of Node's", () =>
    Effect.gen(function* () {
      const warnings = yield* warned
      const port = yield* serving({ root: join(yield* folder, "root"), stallTimeout: "60 days" })
      assert.strictEqual((yield* ask(port, request("/index.html"))).status, 200)
      assert.notInclude(yield* warnings, "TimeoutOverflowWarning")
    })
  )

  it.live("an upgrade behind a request in one segment is not timed out either", () =>
    Effect.gen(function* () {
      const port = yield* serving({ root: join(yield* folder, "root"), stallTimeout: "1 second" })
      const wire = yield* connect(port)
      wire.write(`GET /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n${upgradeRequest()}`)
      assert.strictEqual((yield* wire.response).status, 200)
      assert.strictEqual((yield* wire.response).status, 101)
      // Node keeps HTTP connections for 5 seconds
      yield* Effect.sleep("7 seconds")
      wire.send(text("still here"))
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "still here"])
    })
  )

  it.live("more requests than are taken at a time get 503, and there is room again when answers are through", () =>
    Effect.gen(function* () {
      const root = join(yield* folder, "root")
      writeFileSync(join(root, "big.bin"), Buffer.alloc(32 * 1024 * 1024))
      const port = yield* serving({ root, maxRequests: 2 })
      const slow = yield* Effect.forEach([1, 2], () =>
        Effect.tap(connect(port), (wire) => Effect.sync(() => wire.write(request("/big.bin"))))
      )
      yield* eventually(
        "both are being answered",
        Effect.map(ask(port, request("/")), ({ status }) => status === 503)
      )
      for (const wire of slow) wire.reset()
      yield* eventually(
        "there is room again",
        Effect.map(ask(port, request("/")), ({ status }) => status === 200)
      )
    })
  )

  it.live("1000 are answered at a time unless told", () =>
    Effect.gen(function* () {
      const app = yield* NodeStaticFiles.make({ root: join(yield* folder, "root"), stallTimeout: "Infinity" })
      const posted = HttpServerRequest.fromWeb(new Request("http://localhost/", { method: "POST" }))
      const status = Effect.map(
        Effect.provideService(app, HttpServerRequest.HttpServerRequest, posted),
        (_) => _.status
      )
      // the scope of a request is open as long as its answer is not sent
      const together = Effect.scoped(Effect.replicateEffect(status, 1001))
      for (let i = 0; i < 2; i++) {
        const statuses = yield* together
        assert.deepStrictEqual([statuses.indexOf(503), statuses.length], [1000, 1001])
      }
    }).pipe(Effect.provide([NodeServices.layer, NodeHttpPlatform.layer]))
  )

  it.live("a client that takes nothing of its answer is cut off, and the file is closed", () =>
    Effect.gen(function* () {
      const root = join(yield* folder, "root")
      writeFileSync(join(root, "big.bin"), Buffer.alloc(32 * 1024 * 1024))
      const port = yield* serving({ root, stallTimeout: "3 seconds" })
      const isOpen = () =>
        readdirSync("/proc/self/fd").some((fd) => {
          try {
            return readlinkSync(`/proc/self/fd/${fd}`).includes(root)
          } catch {
            return false
          }
        })
      const wire = yield* connect(port)
      wire.write(request("/big.bin"))
      yield* Watch.eventually("the file is open", isOpen)
      yield* Watch.eventually("the file is closed", () => !isOpen(), 20_000)
      assert.isBelow(wire.socket.bytesRead, 1024 * 1024)
    })
  )

  it.live("a folder that is not there, or is a file, is told when it begins", () =>
    Effect.gen(function* () {
      const outside = yield* temporary
      writeFileSync(join(outside, "file"), "")
      for (const root of [join(outside, "nowhere"), join(outside, "file")]) {
        const error = yield* Effect.flip(
          Effect.scoped(
            Layer.build(Layer.provide(NodeStaticFiles.layer({ root }), NodeWebSocketServer.layerHttp({ port: 0 })))
          )
        )
        assert.strictEqual(error._tag, "StaticFilesError")
        assert.include(error.message, root)
      }
    })
  )

  it.live("a file that goes while it is served costs its own request", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const root = join(yield* folder, "root")
        const port = yield* serving({ root })
        rmSync(join(root, "app/main.js"))
        assert.strictEqual((yield* ask(port, request("/app/main.js"))).status, 404)
        rmSync(root, { recursive: true })
        assert.strictEqual((yield* ask(port, request("/"))).status, 404)
        assert.deepStrictEqual(
          logs.filter(({ level }) => level === "Error"),
          []
        )
      })
    )
  )
})
