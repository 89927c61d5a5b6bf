/**
 * HTTP/2 with peers of other makes: a browser, whose WebSockets share the connection of their page, and curl.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { promisify } from "node:util"
import type { Browser } from "playwright-core"
import * as Identities from "../../src/tls/Identities.ts"
import { deciding, echo } from "../server/serving.ts"
import { identity } from "../tls/listening.ts"
import { certificate, path, text, write } from "../tls/openssl.ts"
import { launch } from "./chromium.ts"
import { command } from "./command.ts"

const run = promisify(execFile)

certificate("here", { extensions: ["subjectAltName=DNS:localhost,IP:127.0.0.1"] })
write("here.pem", text("here.crt") + text("here.key"))
mkdirSync(path("web"))
writeFileSync(path("web/index.html"), "<!doctype html><title>a page</title>")
const tls = ["--cert", path("here.pem"), "--http2"]

describe("Chromium", () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launch("--ignore-certificate-errors")
  })
  afterAll(() => browser.close())

  /** Opens WebSockets from a page of the same server, each of which sends and gets 1 MiB and closes; gives what they saw. */
  const visit = async (port: number, count: number) => {
    const page = await browser.newPage()
    await page.goto(`https://localhost:${port}/`)
    const protocol = await page.evaluate(() => {
      const [entry] = performance.getEntriesByType("navigation")
      return entry instanceof PerformanceResourceTiming ? entry.nextHopProtocol : "none"
    })
    const results = await page.evaluate(
      ({ count, port }) =>
        Promise.all(
          Array.from(
            { length: count },
            (_, which) =>
              new Promise<{ readonly same: boolean; readonly code: number; readonly wasClean: boolean }>((resolve) => {
                const socket = new WebSocket(`wss://localhost:${port}/${which}`)
                const sent = new Uint8Array(1024 * 1024).map((_, i) => i * 7 + which)
                const came: Array<number> = []
                socket.binaryType = "arraybuffer"
                socket.addEventListener("open", () => socket.send(sent))
                socket.addEventListener("message", ({ data }) => {
                  for (const byte of new Uint8Array(data as ArrayBuffer)) came.push(byte)
                  if (came.length >= sent.length) socket.close(4321, "enough")
                })
                socket.addEventListener("close", ({ code, wasClean }) =>
                  resolve({ same: came.every((byte, i) => byte === sent[i]) && came.length > 0, code, wasClean })
                )
              })
          )
        ),
      { count, port }
    )
    await page.close()
    return { protocol, results }
  }
  const well = { same: true, code: 4321, wasClean: true }

  it.live("opens its WebSockets on the connection of the page", () =>
    Effect.gen(function* () {
      const seen: Array<readonly [version: string, port: number | undefined]> = []
      const { port } = yield* deciding(
        (open) => {
          seen.push([open.request.httpVersion, open.peer?.remotePort])
          return Effect.flatMap(open.accept, echo)
        },
        {
          http2: true,
          compression: true,
          tls: { identities: Identities.one(yield* identity("here", { extensions: ["subjectAltName=DNS:localhost"] })) }
        }
      )
      const { protocol, results } = yield* Effect.promise(() => visit(port, 20))
      assert.strictEqual(protocol, "h2")
      assert.deepStrictEqual(
        results,
        Array.from({ length: 20 }, () => well)
      )
      assert.deepStrictEqual([...new Set(seen.map(([version]) => version))], ["2.0"])
      assert.strictEqual(new Set(seen.map(([, port]) => port)).size, 1)
    })
  )

  it("of the command line, to a TCP target, beside the files that it serves", async () => {
    const target = createServer((socket) => void socket.on("error", () => {}).pipe(socket)).listen(0, "127.0.0.1")
    try {
      await new Promise((resolve) => target.once("listening", resolve))
      const { port } = target.address() as { readonly port: number }
      await using proxy = await command("proxy", "127.0.0.1:0", `127.0.0.1:${port}`, "--web", path("web"), ...tls)
      const { protocol, results } = await visit(proxy.port, 5)
      assert.strictEqual(protocol, "h2")
      assert.deepStrictEqual(
        results,
        Array.from({ length: 5 }, () => well)
      )
    } finally {
      target.close()
    }
  })
})

describe("curl", () => {
  it("gets files over HTTP/2, and over HTTP/1.1 where it asks for that", async () => {
    await using proxy = await command("proxy", "127.0.0.1:0", "127.0.0.1:9", "--web", path("web"), ...tls)
    const url = `https://127.0.0.1:${proxy.port}/index.html`
    for (const [flag, version] of [
      ["--http2", "2"],
      ["--http1.1", "1.1"]
    ] as const) {
      const { stdout } = await run("curl", ["-sk", flag, "-w", " %{http_version} %{response_code}", url])
      assert.strictEqual(stdout, `<!doctype html><title>a page</title> ${version} 200`)
    }
    // without TLS it has to know
    await using plain = await command("proxy", "127.0.0.1:0", "127.0.0.1:9", "--web", path("web"), "--http2")
    const known = ["-s", "--http2-prior-knowledge", "-w", " %{http_version}"]
    const { stdout } = await run("curl", [...known, `http://127.0.0.1:${plain.port}/`])
    assert.strictEqual(stdout, "<!doctype html><title>a page</title> 2")
  })
})
