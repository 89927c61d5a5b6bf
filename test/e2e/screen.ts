/**
 * VNC servers with pictures on their screens, and pages with noVNC that show them.
 */
import { execFile, spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join, normalize } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import type { Page } from "playwright-core"
import { find } from "../installed.ts"
import type { Program, Started } from "../started.ts"
import { until } from "./until.ts"

const run = promisify(execFile)
const width = 320
const height = 240

export const vnc: Program = {
  name: "Xtigervnc",
  // it has a lock and a socket among everybody's files
  signal: "SIGTERM",
  args: (port) =>
    `-displayfd 1 -rfbport ${port} -localhost -SecurityTypes None -geometry ${width}x${height} -depth 24 -nolisten tcp`.split(
      " "
    )
}

/** A picture: rows of eight pixels that fill the screen, each in one of two colours. */
export interface Picture {
  readonly rows: ReadonlyArray<number>
  readonly colours: readonly [clear: string, set: string]
}

/** None is its own mirror image, upright or upside down. */
export const first: Picture = { rows: [1, 3, 7, 15, 31, 63, 127, 0x55], colours: ["#0040c0", "#ff8000"] }
export const second: Picture = { rows: [0x0f, 0x2f, 1, 0, 0xc3, 0, 0x99, 8], colours: ["#101010", "#20e0a0"] }

/** The display that a server says it is. */
const displayOf = async (server: Started) => `:${(await server.prints(/^\d+$/))[0]}`

/** A file of this name, for as long as it is used. */
export const temporary = (name: string, text: string) => {
  const folder = mkdtempSync(join(tmpdir(), "vnc-"))
  const path = join(folder, name)
  writeFileSync(path, text)
  return { path, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
}

export const draw = async (server: Started, { colours, rows }: Picture) => {
  const bytes = rows.map((row) => `0x${row.toString(16)}`).join(", ")
  using file = temporary(
    "picture.xbm",
    `#define p_width 8\n#define p_height 8\nstatic char p_bits[] = {\n${bytes} };\n`
  )
  const args = ["-display", await displayOf(server), "-bitmap", file.path, "-bg", colours[0], "-fg", colours[1]]
  await run(find("xsetroot")!, args)
}

/** `xev` over the whole screen, which tells what comes to it from keyboards and pointers. */
export const watchInput = async (server: Started) => {
  const args = `-display ${await displayOf(server)} -geometry ${width}x${height}+0+0`
  const events = "-event expose -event keyboard -event button"
  const child = spawn(find("xev")!, `${args} ${events}`.split(" "), { stdio: ["ignore", "pipe", "inherit"] })
  let text = ""
  createInterface({ input: child.stdout }).on("line", (line) => (text += `${line}\n`))
  const hears = (what: RegExp) => until(`${what} in ${text}`, () => what.test(text))
  await hears(/Expose event/)
  return {
    hears,
    [Symbol.dispose]: () => void child.kill("SIGKILL")
  }
}

/**
 * The page of the recipe. `url` is where the proxy is, or what is taken for a WebSocket; what happens to the connection is in
 * `events`.
 */
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

const folder = fileURLToPath(new URL("../../node_modules/@novnc/novnc", import.meta.url))

/** A web server with the page at `/` and noVNC's modules. */
export const web = async () => {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url!, "http://localhost").pathname))
    const file = join(folder, path)
    if (path === "/") return response.setHeader("content-type", "text/html").end(page)
    if (!existsSync(file)) return response.writeHead(404).end()
    return response.setHeader("content-type", "text/javascript").end(readFileSync(file))
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
export const shows = (page: Page, picture: Picture) =>
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
