/**
 * A VNC server behind the proxy and noVNC in a browser: the one from npm in a page of ours, and Debian's with its own pages.
 */
import { afterAll, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import type { Browser } from "playwright-core"
import { lacking, needs } from "../installed.ts"
import { start } from "../started.ts"
import { launch } from "./chromium.ts"
import { origin, recipe } from "./recipe.ts"
import { draw, first, second, shows, temporary, vnc, watchInput, web } from "./screen.ts"
import { until } from "./until.ts"

let browser: Browser
beforeAll(async () => {
  browser = await launch()
})
afterAll(() => browser.close())
beforeEach(needs("Xtigervnc", "xsetroot", "xev"))

describe("noVNC from npm", () => {
  it("shows the screen, takes keys and clicks to it, says goodbye, and comes back after a restart", async () => {
    await using files = await web()
    await using stack = new AsyncDisposableStack()
    const server = stack.use(await start(vnc))
    await using proxy = await recipe("vnc", { "localhost:5900": server.address, [origin]: files.origin })
    const page = await browser.newPage()
    await page.goto(files.origin)
    const url = `ws://127.0.0.1:${proxy.port}`
    const connect = () => page.evaluate(`window.connect(${JSON.stringify(url)})`)
    const happens = (...events: ReadonlyArray<string>) =>
      page.waitForFunction(`JSON.stringify(window.events) === ${JSON.stringify(JSON.stringify(events))}`)

    await draw(server, first)
    // noVNC looks first at what the browser can decode
    await page.waitForFunction("window.connect !== undefined")
    await connect()
    await happens("connect")
    await shows(page, first)
    // and what changes later
    await draw(server, second)
    await shows(page, second)

    {
      using input = await watchInput(server)
      await page.locator("canvas").click({ position: { x: 123, y: 45 } })
      await input.hears(/ButtonPress[^]*root:\(123,45\)[^]*button 1[^]*ButtonRelease/)
      await page.keyboard.press("a")
      await page.keyboard.press("Shift+Q")
      await page.keyboard.press("Escape")
      await input.hears(/KeyPress[^]*keysym 0x61, a\)[^]*KeyRelease[^]*keysym 0x51, Q\)[^]*keysym 0xff1b, Escape\)/)
    }

    await page.evaluate("window.rfb.disconnect()")
    await happens("connect", "disconnect")
    // the first was whoever looked whether it accepts
    const goodbyes = () => server.printed.filter((line) => line.includes("Clean disconnection")).length
    await until("the end of the connection to the server", () => goodbyes() === 2)
    await connect()
    await happens("connect", "disconnect", "connect")
    await shows(page, second)

    await server[Symbol.asyncDispose]()
    await happens("connect", "disconnect", "connect", "disconnect")
    // nobody is there
    await connect()
    await happens("connect", "disconnect", "connect", "disconnect", "lost")
    const again = stack.use(await start(vnc, server.port))
    await draw(again, first)
    await connect()
    await happens("connect", "disconnect", "connect", "disconnect", "lost", "connect")
    await shows(page, first)
    await page.close()
  })

  it("plays back a session that was recorded", async () => {
    await using files = await web()
    await using server = await start(vnc)
    using file = temporary("session", "")
    await using proxy = await recipe(
      "vnc",
      { "localhost:5900": server.address, [origin]: files.origin },
      "--record",
      file.path
    )
    const open = async () => {
      const page = await browser.newPage()
      await page.goto(files.origin)
      await page.waitForFunction("window.connect !== undefined")
      return page
    }
    const live = await open()
    await draw(server, first)
    await live.evaluate(`window.connect("ws://127.0.0.1:${proxy.port}")`)
    await shows(live, first)
    await draw(server, second)
    await shows(live, second)
    await live.close()
    const recorded = () => readFileSync(`${file.path}.1`, "utf8")
    await until("the end of the recording", () => recorded().includes("'EOF'"))

    const playing = await open()
    await playing.addScriptTag({ content: recorded() })
    await playing.evaluate(`
      window.connect(window.channel = { readyState: "open", protocol: "", send() {}, close() {},
        binaryType: "", onopen: null, onmessage: null, onerror: null, onclose: null })`)
    await playing.waitForFunction("window.channel.onmessage !== null")
    await playing.evaluate(`
      for (const [, bytes] of VNC_frame_data.map((frame) => /^{\\d+{([^]*)$/.exec(frame)).filter(Boolean))
        window.channel.onmessage({ data: Uint8Array.from(bytes, (char) => char.charCodeAt(0)).buffer })`)
    await shows(playing, second)
    await playing.close()
  })
})

describe("Debian's noVNC, served by the proxy", () => {
  beforeEach((context) => {
    if (!existsSync("/usr/share/novnc")) context.skip(lacking("novnc is not installed"))
  })

  it.for([
    ["vnc.html?autoconnect=true", "plain"],
    // which is not worth it for what VNC sends, but is asked for
    ["vnc_lite.html", "compressed"]
  ] as const)("shows the screen in its own %s, %s", async ([path, how]) => {
    await using server = await start(vnc)
    await using proxy = await recipe(
      "vnc-web",
      { "localhost:5900": server.address },
      ...(how === "plain" ? [] : ["--compress"])
    )
    await draw(server, first)
    const page = await browser.newPage()
    await page.goto(`http://127.0.0.1:${proxy.port}/${path}`)
    await shows(page, first)
    await draw(server, second)
    await shows(page, second)
    await page.close()
  })

  it("shows the screen that its token stands for, and none without one", async () => {
    await using office = await start(vnc)
    await using lab = await start(vnc)
    using tokens = temporary("tokens.txt", `office: ${office.address}\nlab: ${lab.address}\n`)
    await using proxy = await recipe("vnc-tokens", { "tokens.txt": tokens.path })
    await draw(office, first)
    await draw(lab, second)
    const visit = async (token: string) => {
      const page = await browser.newPage()
      await page.goto(`http://127.0.0.1:${proxy.port}/vnc_lite.html?path=?token=${token}`)
      return page
    }
    const pages = await Promise.all(["office", "lab", "attic"].map(visit))
    await shows(pages[0]!, first)
    await shows(pages[1]!, second)
    await pages[2]!.getByText("Something went wrong, connection is closed").waitFor()
    for (const page of pages) await page.close()
  })
})
