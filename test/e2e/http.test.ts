/**
 * nginx behind the proxy, asked by ApacheBench through the tunnel of `examples/tunnel.ts`: connections by the thousand, which
 * the server ends as soon as it has answered, or keeps.
 */
import { assert, beforeEach, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import { serve } from "../examples/program.ts"
import { needs } from "../installed.ts"
import { type Program, start } from "../started.ts"
import { recipe } from "./recipe.ts"
import { until } from "./until.ts"

const run = promisify(execFile)

/** It serves this folder. */
const nginx = (root: string): Program => ({
  name: "nginx",
  args: (_, file) => ["-c", file, "-p", dirname(file), "-e", "stderr"],
  config: (port) => [
    "daemon off; pid nginx.pid; worker_processes 1;",
    "events { worker_connections 512; }",
    "http {",
    ...["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${name};`),
    "access_log off; keepalive_requests 100000;",
    `server { listen 127.0.0.1:${port}; root ${root}; }`,
    "}"
  ]
})

const started = async (files: Readonly<Record<string, number>>) => {
  await using stack = new AsyncDisposableStack()
  const root = stack.adopt(mkdtempSync(join(tmpdir(), "http-")), (folder) => rmSync(folder, { recursive: true }))
  // nginx reads it as nobody
  chmodSync(root, 0o755)
  for (const [name, size] of Object.entries(files)) writeFileSync(join(root, name), Buffer.alloc(size, "0123456789"))
  const server = stack.use(await start(nginx(root)))
  const proxy = stack.use(await recipe("tcp", { "localhost:80": server.address }))
  const tunnel = stack.use(await serve("tunnel", { URL: `ws://127.0.0.1:${proxy.port}` }))
  const held = stack.move()
  return { proxy, url: tunnel.url.replace("tcp:", "http:"), [Symbol.asyncDispose]: () => held.disposeAsync() }
}

/** What `ab` counts, by its names. */
const bench = async (args: string) => {
  const { stdout } = await run("ab", ["-q", "-s", "30", ...args.split(" ")])
  const counted = [...stdout.matchAll(/^([A-Z][\w -]+):\s+(\d+)/gm)].map((match) => [match[1]!, Number(match[2])])
  return Object.fromEntries(counted) as Readonly<Record<string, number>>
}

const openFiles = (pid: number) => readdirSync(`/proc/${pid}/fd`).length

beforeEach(needs("nginx", "ab"))

describe("HTTP", () => {
  it("answers 1,000 connections, each ended by the server, and keeps none of them", async () => {
    await using system = await started({ page: 20_000 })
    await bench(`-n 1 ${system.url}/page`)
    const before = openFiles(system.proxy.pid)
    const counted = await bench(`-n 1000 -c 50 ${system.url}/page`)
    assert.deepInclude(counted, { "Complete requests": 1000, "Failed requests": 0, "HTML transferred": 20_000_000 })
    assert.notProperty(counted, "Non-2xx responses")
    const left = () => openFiles(system.proxy.pid) <= before
    await until("the end of all connections", left)
  })

  it("answers 5,000 requests on connections that stay", async () => {
    await using system = await started({ page: 2000 })
    const counted = await bench(`-k -n 5000 -c 20 ${system.url}/page`)
    assert.deepInclude(counted, {
      "Complete requests": 5000,
      "Failed requests": 0,
      "Keep-Alive requests": 5000,
      "HTML transferred": 10_000_000
    })
  })

  it("answers with files of 8 MiB that end with their connection", async () => {
    await using system = await started({ file: 8 << 20 })
    const counted = await bench(`-n 10 -c 5 ${system.url}/file`)
    assert.deepInclude(counted, { "Complete requests": 10, "Failed requests": 0, "HTML transferred": 10 * (8 << 20) })
  })
})
