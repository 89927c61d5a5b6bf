/**
 * A VNC server behind the proxy and noVNC in a browser: the one from npm in a page of ours, and Debian's with its own pages.
 */
import { afterAll, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFile, spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { extname, join, normalize } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import type { Browser, Page } from "playwright-core"
import { find, lacking, needs } from "../installed.ts"
import { eventually } from "../proxy/watch.ts"
import { type Program, type Started, start } from "../started.ts"
import { launch } from "./chromium.ts"
import { origin, recipe } from "./recipe.ts"

const run = promisify(execFile)
const width = 320
const height = 240

const vnc: Program = {
  name: "Xtigervnc",
  // it has a lock and a socket among everybody's files
  signal: "SIGTERM",
  args: (port) =>
    `-displayfd 1 -rfbport ${port} -localhost -SecurityTypes None -geometry ${width}x${height} -depth 24 -nolisten tcp`.split(
      " "
    )
}

/** A picture: rows of eight pixels that fill the screen, each in one of two colours. */
interface Picture {
  readonly rows: ReadonlyArray<number>
  readonly colours: readonly [clear: string, set: string]
}

/** None is its own mirror image, upright or upside down. */
const first: Picture = { rows: [1, 3, 7, 15, 31, 63, 127, 0x55], colours: ["#0040c0", "#ff8000"] }
const second: Picture = { rows: [0x0f, 0x2f, 1, 0, 0xc3, 0, 0x99, 8], colours: ["#101010", "#20e0a0"] }

/** The display that a server says it is. */
const displayOf = async (server: Started) => `:${(await server.prints(/^\d+$/))[0]}`

/** A file of this name, for as long as it is used. */
const temporary = (name: string, text: string) => {
  const folder = mkdtempSync(join(tmpdir(), "vnc-"))
  const path = join(folder, name)
  writeFileSync(path, text)
  return { path, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
}

const draw = async (server: Started, { colours, rows }: Picture) => {
  const bytes = rows.map((row) => `0x${row.toString(16)}`).join(", ")
  using file = temporary(
    "picture.xbm",
    `#define p_width 8\n#define p_height 8\nstatic char p_bits[] = {\n${bytes} };\n`
  )
  const args = ["-display", await displayOf(server), "-bitmap", file.path, "-bg", colours[0], "-fg", colours[1]]
  await run(find("xsetroot")!, args)
}

/** `xev` over the whole screen, which tells what comes to it from keyboards and pointers. */
const watchInput = async (server: Started) => {
  const args = `-display ${await displayOf(server)} -geometry ${width}x${height}+0+0`
  const events = "-event expose -event keyboard -event button"
  const child = spawn(find("xev")!, `${args} ${events}`.split(" "), { stdio: ["ignore", "pipe", "inherit"] })
  let text = ""
  createInterface({ input: child.stdout }).on("line", (line) => (text += `${line}\n`))
  const hears = (what: RegExp) => Effect.runPromise(eventually(`${what} in ${text}`, () => what.test(text)))
  await hears(/Expose event/)
  return {
    hears,
    [Symbol.dispose]: () => void child.kill("SIGKILL")
  }
}

/** The page of the recipe. `url` is where the proxy is; what happens to the connection is in `events`. */
const page = `<!doctype html>
<meta charset="utf-8">
<div id="screen"></div>
<script type="module">
  import RFB from "/core/rfb.js"

  window.events = []
  window.connect = (url) => {
    const rfb = new RFB(document.getElementById("screen"), url)
    window.rfb = rfb
    rfb.addEventListener("connect", () => window.events.push("connect"))
    rfb.addEventListener("disconnect", ({ detail }) => window.events.push(detail.clean ? "disconnect" : "lost"))
  }
</script>
`

const types: Readonly<Record<string, string>> = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".svg": "image/svg+xml"
}

/** A web server with the page at `/` and the files of a folder. */
const web = async (folder: string) => {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url!, "http://localhost").pathname))
    const file = join(folder, path)
    if (path === "/") return response.setHeader("content-type", "text/html").end(page)
    if (!existsSync(file)) return response.writeHead(404).end()
    return response
      .setHeader("content-type", types[extname(file)] ?? "application/octet-stream")
      .end(readFileSync(file))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  return {
    origin: `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  }
}

/** Waits until the canvas of the page is this picture, to the pixel. */
const shows = (page: Page, picture: Picture) =>
  page.waitForFunction(
    ({ height, picture: { colours, rows }, width }) => {
      const canvas = document.querySelector("canvas")
      if (canvas?.width !== width || canvas.height !== height) return false
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, width, height)
      const rgb = colours.map((colour) => Number.parseInt(colour.slice(1), 16))
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const at = (y * width + x) * 4
          const pixel = (data[at]! << 16) | (data[at + 1]! << 8) | data[at + 2]!
          if (pixel !== rgb[(rows[y % 8]! >> (x % 8)) & 1]) return false
        }
      }
      return true
    },
    { width, height, picture },
    { polling: 50 }
  )

let browser: Browser
beforeAll(async () => {
  browser = await launch()
})
afterAll(() => browser.close())
beforeEach(needs("Xtigervnc", "xsetroot", "xev"))

describe("noVNC from npm", () => {
  const folder = fileURLToPath(new URL("../../node_modules/@novnc/novnc", import.meta.url))

  it("shows the screen, takes keys and clicks to it, says goodbye, and comes back after a restart", async () => {
    await using files = await web(folder)
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
    await Effect.runPromise(eventually("the end of the connection to the server", () => goodbyes() === 2))
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
