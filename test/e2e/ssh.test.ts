/**
 * OpenSSH behind the proxy, reached through the tunnel of `examples/tunnel.ts`.
 */
import { afterAll, assert, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import { execFile, execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { serve } from "../examples/program.ts"
import { needs } from "../installed.ts"
import { type Program, start } from "../started.ts"
import { recipe } from "./recipe.ts"

const run = promisify(execFile)

let folder: string
const key = (name: string) => join(folder, name)

const server: Program = {
  name: "sshd",
  args: (_, file) => ["-D", "-e", "-f", file],
  config: (port) => [
    `Port ${port}`,
    "ListenAddress 127.0.0.1",
    `HostKey ${key("host")}`,
    `AuthorizedKeysFile ${key("client.pub")}`,
    "PidFile none",
    "StrictModes no",
    "UsePAM no"
  ]
}

beforeEach(needs("sshd", "ssh", "ssh-keygen"))
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ssh-"))
  for (const name of ["host", "client"]) {
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key(name)])
  }
  // where the administrator's sshd goes once it is separated from its privileges; its service makes it
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 })
})
afterAll(() => rmSync(folder, { recursive: true }))

const sha256 = (bytes: Buffer | string) => createHash("sha256").update(bytes).digest("hex")

describe("ssh", () => {
  it("runs a command, and carries 32 MiB there and back", async () => {
    await using sshd = await start(server)
    await using proxy = await recipe("ssh", { "localhost:22": sshd.address })
    await using tunnel = await serve("tunnel", { URL: `ws://127.0.0.1:${proxy.port}` })
    const options = `-F none -i ${key("client")} -p ${new URL(tunnel.url).port} -o IdentitiesOnly=yes -o BatchMode=yes`
    const known = `-o StrictHostKeyChecking=no -o UserKnownHostsFile=${key("known")}`
    const bytes = Buffer.alloc(32 << 20, Buffer.from(Uint8Array.from({ length: 251 }, (_, i) => i)))
    const session = run("ssh", [...`${options} ${known}`.split(" "), "127.0.0.1", "tee >(sha256sum >&2)"], {
      encoding: "buffer",
      maxBuffer: bytes.length
    })
    session.child.stdin?.end(bytes)
    const { stderr, stdout } = await session
    assert.isTrue(bytes.equals(stdout))
    assert.include(stderr.toString(), sha256(bytes))
    // it has met the server's own key and no other
    assert.include(readFileSync(key("known"), "utf8"), readFileSync(key("host.pub"), "utf8").split(" ")[1]!)
  })
})
