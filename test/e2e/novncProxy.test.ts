/**
 * noVNC's own script that starts websockify, and finds us under that name: what a program types that was written for websockify.
 */
import { beforeEach, describe, expect, it } from "vitest"
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { once } from "node:events"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { WebSocket } from "ws"
import { lacking, needs } from "../installed.ts"
import { start } from "../started.ts"

const script = "/usr/share/novnc/utils/novnc_proxy"
const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

describe("noVNC's novnc_proxy", () => {
  beforeEach(needs("bash", "ps"))
  beforeEach((context) => {
    if (!existsSync(script)) context.skip(lacking("novnc is not installed"))
  })

  it("starts us as websockify: the page, the WebSocket beside it, a heartbeat and a recording", async () => {
    const folder = mkdtempSync(join(tmpdir(), "novnc-proxy-"))
    const target = Net.createServer((socket) => socket.on("error", () => {}).pipe(socket)).listen(0, "127.0.0.1")
    try {
      await once(target, "listening")
      const { port } = target.address() as Net.AddressInfo
      writeFileSync(join(folder, "websockify"), `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`)
      chmodSync(join(folder, "websockify"), 0o755)
      const record = join(folder, "session")
      const path = `PATH=${folder}:${process.env["PATH"]}`
      const flags = ["--heartbeat", "1", "--idle-timeout", "600", "--record", record]
      await using proxy = await start({
        name: "env",
        args: (listen) => [path, script, "--listen", `${listen}`, "--vnc", `127.0.0.1:${port}`, ...flags],
        signal: "SIGTERM"
      })
      const origin = `http://${proxy.address}`
      const page = await fetch(`${origin}/vnc.html`)
      expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"])
      expect(await page.text()).toContain("noVNC")
      expect((await fetch(`${origin}/core/rfb.js`)).status).toBe(200)
      const socket = new WebSocket(`ws://${proxy.address}/websockify`, ["binary"], { origin })
      await once(socket, "open")
      expect(socket.protocol).toBe("binary")
      socket.send("RFB 003.008\n")
      const [data] = await once(socket, "message")
      expect(String(data)).toBe("RFB 003.008\n")
      await once(socket, "ping")
      socket.close()
      await once(socket, "close")
      await expect.poll(() => existsSync(`${record}.1`) && readFileSync(`${record}.1`, "utf8")).toContain("'EOF'];")
    } finally {
      target.close()
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
