/**
 * How a browser shows who it is: a token among the subprotocols of its WebSockets, and a password for the page and for them.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { hashSync } from "bcryptjs"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Browser, Page } from "playwright-core"
import { launch } from "./chromium.ts"
import { command } from "./command.ts"

const folder = mkdtempSync(join(tmpdir(), "admission-"))
const file = (name: string, content: string): string => {
  writeFileSync(join(folder, name), content)
  return join(folder, name)
}

let browser: Browser

beforeAll(async () => {
  browser = await launch()
})
afterAll(async () => {
  await browser.close()
  rmSync(folder, { recursive: true, force: true })
})

/** What a WebSocket of the page is: open with a subprotocol and its echo, or closed with a code. */
const echoed = (page: Page, url: string, protocols: ReadonlyArray<string>): Promise<string> =>
  page.evaluate(
    ([url, protocols]) =>
      new Promise<string>((resolve) => {
        const socket = new WebSocket(url, [...protocols])
        socket.addEventListener("open", () => socket.send("hello"))
        socket.addEventListener("message", ({ data }) => resolve(`${socket.protocol} ${data}`))
        socket.addEventListener("close", ({ code }) => resolve(`closed with ${code}`))
      }),
    [url, protocols] as const
  )

describe("Chromium", () => {
  it("comes in with a token among its subprotocols, beside another one or alone", async () => {
    const tokens = file("tokens", "a-token-1234567890 ann\n")
    await using echo = await command(
      "echo",
      "127.0.0.1:0",
      "--bearer-file",
      tokens,
      "--bearer-from",
      "subprotocol:bearer."
    )
    const page = await browser.newPage()
    const url = `ws://127.0.0.1:${echo.port}`
    assert.strictEqual(await echoed(page, url, ["binary", "bearer.a-token-1234567890"]), "binary hello")
    assert.strictEqual(await echoed(page, url, ["bearer.a-token-1234567890", "binary"]), "binary hello")
    assert.strictEqual(await echoed(page, url, ["bearer.a-token-1234567890"]), "bearer.a-token-1234567890 hello")
    assert.strictEqual(await echoed(page, url, ["binary", "bearer.another-1234567890"]), "closed with 1006")
    assert.strictEqual(await echoed(page, url, ["binary"]), "closed with 1006")
    await page.close()
  })

  it("asks for a password once, for the page and its WebSockets", async () => {
    const users = file("users", `ann:${hashSync("right", 5)}\n`)
    file("index.html", "<h1>a page</h1>\n")
    await using echo = await command("echo", "127.0.0.1:0")
    const args = ["--text", "--web", folder, "--htpasswd", users, "--web-auth"]
    await using proxy = await command("proxy", "127.0.0.1:0", `127.0.0.1:${echo.port}`, ...args)
    const at = `127.0.0.1:${proxy.port}`
    const stranger = await browser.newPage()
    assert.strictEqual((await stranger.goto(`http://${at}/`).catch(() => undefined))?.status() ?? 401, 401)
    await stranger.close()
    const context = await browser.newContext({ httpCredentials: { username: "ann", password: "right" } })
    const page = await context.newPage()
    assert.strictEqual((await page.goto(`http://${at}/`))?.status(), 200)
    // the target is no WebSocket, and hears its bytes as they are: what it answers is HTTP's 400
    assert.include(await echoed(page, `ws://${at}`, []), "400")
    await context.close()
  })
})
