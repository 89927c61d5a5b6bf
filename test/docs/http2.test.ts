/**
 * The page about HTTP/2: its command listens, its limits are those that a client is told, and its files are there.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync, readFileSync } from "node:fs"
import { start } from "../cli/command.ts"
import { session } from "../server/http2-client.ts"
import { drain, serving } from "../server/serving.ts"
import { certificate, folder, path, text, write } from "../tls/openssl.ts"

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), "utf8")
const page = read("docs/http2.md")

/** The second column of the row of the limits that begins so. */
const limit = (row: string): string =>
  page
    .split("\n")
    .find((line) => line.startsWith(`| ${row}`))!
    .split("|")[2]!
    .trim()

describe("docs/http2.md", () => {
  it.live("has a command that listens and speaks HTTP/2", () =>
    Effect.gen(function* () {
      certificate("server")
      write("server.pem", text("server.crt"))
      const [, line = ""] = /^effect-websocket (.+)$/m.exec(page) ?? []
      const here: Readonly<Record<string, string>> = {
        "6080": "127.0.0.1:0",
        "/usr/share/novnc": folder,
        "server.pem": path("server.pem"),
        "server.key": path("server.key")
      }
      const running = yield* start(line.split(" ").map((word) => here[word] ?? word))
      const [, port] = /^ready wss:\/\/127\.0\.0\.1:(\d+)$/.exec(yield* running.line(1)) ?? assert.fail("not ready")
      const client = yield* session(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
      assert.isTrue(client.remoteSettings.enableConnectProtocol)
    })
  )

  it.live("says the limits that a client is told", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(drain, { http2: true })
      const { remoteSettings } = yield* session(port)
      assert.strictEqual(String(remoteSettings.maxConcurrentStreams), limit("WebSockets and requests"))
      assert.strictEqual(`${remoteSettings.initialWindowSize! / 1024} KiB`, limit("what is sent ahead"))
      assert.strictEqual(`${remoteSettings.maxHeaderListSize! / 1024} KiB, 100`, limit("the head of a request"))
      assert.include(read("src/node/NodeHttp2.ts"), `Default: ${limit("how long a connection")}.`)
      assert.include(read("src/node/NodeUpgradeListener.ts"), `Default: ${limit("the time for the first")}.`)
    })
  )

  it("links to files that are there", () => {
    const links = [...page.matchAll(/\]\(\.\.\/([^)#]+)\)/g)].map(([, to]) => to!)
    assert.isAbove(links.length, 0)
    for (const to of links) assert.isTrue(existsSync(new URL(`../../${to}`, import.meta.url)), to)
  })
})
