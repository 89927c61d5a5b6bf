/**
 * What a browser makes of the demonstration, an echo and a proxy.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import type { Browser } from "playwright-core"
import { launch } from "./chromium.ts"
import { command } from "./command.ts"

let browser: Browser

beforeAll(async () => {
  browser = await launch()
})
afterAll(() => browser.close())

describe("Chromium", () => {
  it("opens the page of the demonstration and gets its line back", async () => {
    await using demo = await command()
    const page = await browser.newPage()
    await page.goto(`http://127.0.0.1:${demo.port}/`)
    await page.getByText("connected", { exact: true }).waitFor()
    await page.getByLabel("a line").fill("hello from a browser")
    await page.getByRole("button").click()
    await page.locator("#log").getByText("hello from a browser").waitFor()
    assert.include(
      (await page.locator("#log").textContent()) ?? "",
      "Hello. Type a line and it comes back.\nhello from"
    )
    await page.close()
  })

  it("echoes text and binary, small and of 16 MiB, compressed, and closes with its own code", async () => {
    await using echo = await command("echo", "127.0.0.1:0")
    const page = await browser.newPage()
    const result = await page.evaluate(
      (url) =>
        new Promise<unknown>((resolve, reject) => {
          const socket = new WebSocket(url)
          const large = new Uint8Array(16 * 1024 * 1024).map((_, i) => i * 7)
          const sent = ["κόσμε", "x".repeat(100_000), large] as const
          let at = 0
          socket.binaryType = "arraybuffer"
          socket.addEventListener("open", () => sent.forEach((message) => socket.send(message)))
          socket.addEventListener("error", () => reject(new Error("the WebSocket failed")))
          socket.addEventListener("message", ({ data }) => {
            const expected = sent[at++]!
            const same =
              typeof expected === "string"
                ? data === expected
                : new Uint8Array(data as ArrayBuffer).every((byte, i) => byte === expected[i])
            if (!same) reject(new Error(`message ${at} came back otherwise`))
            if (at === sent.length) socket.close(4321, "enough")
          })
          socket.addEventListener("close", ({ code, wasClean }) =>
            resolve({ code, wasClean, extensions: socket.extensions, at })
          )
        }),
      `ws://127.0.0.1:${echo.port}`
    )
    assert.deepInclude(result, { code: 4321, wasClean: true, at: 3 })
    assert.include((result as { readonly extensions: string }).extensions, "permessage-deflate")
    await page.close()
  })

  it("is refused from a page of another origin, until that is named", async () => {
    await using demo = await command()
    const page = await browser.newPage()
    await page.goto(`http://127.0.0.1:${demo.port}/`)
    const origin = `http://127.0.0.1:${demo.port}`
    const connects = (port: number) =>
      page.evaluate(
        (url) =>
          new Promise<boolean>((resolve) => {
            const socket = new WebSocket(url)
            socket.addEventListener("open", () => resolve(true))
            socket.addEventListener("close", () => resolve(false))
          }),
        `ws://127.0.0.1:${port}`
      )
    {
      await using proxy = await command("proxy", "127.0.0.1:0", `127.0.0.1:${demo.port}`)
      assert.isFalse(await connects(proxy.port))
    }
    {
      await using proxy = await command("proxy", "127.0.0.1:0", `127.0.0.1:${demo.port}`, "--origin", origin)
      assert.isTrue(await connects(proxy.port))
    }
    await page.close()
  })
})
