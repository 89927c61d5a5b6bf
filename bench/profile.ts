/**
 * `node --conditions=source bench/profile.ts ROW [--seconds S] [--top N] [--server ours|ws|net] [--keep FILE]`: loads one
 * server with a row, samples its CPU in the measured time only, and prints where the self time went: by group (native
 * code and the engine, Node's internals, effect, this project, other packages) and by function. The sampler
 * takes a system call made outside of JavaScript (every read of a socket) for idle time; what `/proc` counts beyond the
 * samples, these and other threads' work, is the line "unsampled". Samples gather at system calls,
 * so read the split of user and system time first: it is exact.
 */
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { reasonOf, sleep, within } from "./agent.ts"
import { measure } from "./measure.ts"
import { detail } from "./report.ts"
import { rows } from "./rows.ts"
import type { Row, ServerName } from "./rows.ts"
import { cpuParts } from "./server.ts"
import type { Server } from "./server.ts"

interface CpuProfile {
  readonly nodes: ReadonlyArray<{
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }>
  readonly samples: ReadonlyArray<number>
  readonly timeDeltas: ReadonlyArray<number>
}
type Frame = CpuProfile["nodes"][number]["callFrame"]

/** Whether there is a measured time in which a server is under load. */
const isProfiled = ({ kind }: Row): boolean => kind !== "idle" && kind !== "start" && kind !== "churn"

const project = new URL("..", import.meta.url).href

const groupOf = ({ functionName, url }: Frame): string => {
  if (functionName === "(garbage collector)") return "collector"
  if (url === "") return "native"
  if (url.startsWith("node:")) return "node"
  if (/\/node_modules\/(effect|@effect)\//.test(url)) return "effect"
  return url.startsWith(`${project}src/`) || url.startsWith(`${project}dist/`) ? "ours" : "other"
}

const placeOf = ({ functionName, url, lineNumber }: Frame): string => {
  const name = functionName === "" ? "(anonymous)" : functionName
  const file = url.replace(project, "").replace(/^.*node_modules\//, "")
  return url === "" ? name : `${name} ${file}:${lineNumber + 1}`
}

/** Sums sampled microseconds by key, greatest first. */
const tally = (profile: CpuProfile, keyOf: (frame: Frame) => string): ReadonlyArray<readonly [string, number]> => {
  const keys = new Map<number, string>()
  for (const { id, callFrame } of profile.nodes) {
    if (callFrame.functionName !== "(idle)") keys.set(id, keyOf(callFrame))
  }
  const totals = new Map<string, number>()
  profile.samples.forEach((id, index) => {
    const key = keys.get(id)
    if (key !== undefined) totals.set(key, (totals.get(key) ?? 0) + (profile.timeDeltas[index] ?? 0))
  })
  return [...totals].toSorted(([, a], [, b]) => b - a)
}

const print = (entries: ReadonlyArray<readonly [string, number]>, total: number): void => {
  for (const [key, microseconds] of entries) {
    const share = ((100 * microseconds) / total).toFixed(1).padStart(5)
    console.log(`${share} % ${(microseconds / 1000).toFixed(0).padStart(6)} ms  ${key}`)
  }
}

const appears = async (path: string): Promise<void> => {
  while (!existsSync(path)) await sleep(0.05)
}

/** Our commands run as modules, so that what is Effect's and what is ours can be told apart. */
const useModules = ({ http2 }: Row): void => {
  const command = (role: string): string => `node src/cli/main.ts ${role}${http2 === true ? " --http2" : ""}`
  process.env["BENCH_ECHO"] ??= `${command("echo")} 127.0.0.1:0`
  process.env["BENCH_PROXY"] ??= `${command("proxy")} 127.0.0.1:0 {TARGET}`
  process.env["BENCH_TUNNEL"] ??= `${command("tunnel")} 127.0.0.1:0 ws://{TARGET}/`
}

const main = async (): Promise<void> => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: "string", default: "4" },
      top: { type: "string", default: "40" },
      server: { type: "string", default: "ours" },
      keep: { type: "string" }
    }
  })
  const row = rows.find(({ name }) => name === positionals[0])
  if (row === undefined || !isProfiled(row)) {
    const names = rows.filter(isProfiled).map(({ name }) => name)
    throw new Error(`expected a row to profile, one of: ${names.join(" ")}`)
  }
  const name = (["ours", "ws", "net"] as const).find((known) => known === values.server)
  if (name === undefined) throw new Error(`--server: expected ours, ws or net, got ${values.server}`)
  useModules(row)
  await profileRow(row, name, Number(values.seconds), Number(values.top), values.keep)
}

const profileRow = async (
  row: Row,
  name: ServerName,
  seconds: number,
  top: number,
  keep: string | undefined
): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), "bench-profile-"))
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, "server.cpuprofile")
  const toggle = async ({ pid }: Server, appearing: string): Promise<void> => {
    process.kill(pid, "SIGUSR2")
    await within(30, () => "the server's profiler did not answer", appears(appearing))
  }
  let before = { user: 0, system: 0, main: 0 }
  let after = before
  const run = await measure(row, [name], {
    seconds,
    nodeArguments: ["--import", fileURLToPath(new URL("profiler.ts", import.meta.url))],
    environment: { BENCH_PROFILE: path },
    begin: async (server) => {
      await toggle(server, `${path}.started`)
      before = cpuParts(server.pid)
    },
    end: (server) => {
      after = cpuParts(server.pid)
      return toggle(server, path)
    }
  })
  const part = (of: keyof typeof before): string => `${(after[of] - before[of]).toFixed(2)} s`
  if (keep !== undefined) copyFileSync(path, keep)
  const profile = JSON.parse(readFileSync(path, "utf8")) as CpuProfile
  const groups = tally(profile, groupOf)
  const sampled = groups.reduce((sum, [, microseconds]) => sum + microseconds, 0)
  const total = Math.max(sampled, (run[name]?.cpu.server ?? 0) * 1e6)
  console.log(`${row.title}, under the profiler\n${detail(row, 1, name, run[name])}`)
  console.log(`  user ${part("user")}, system ${part("system")}; main thread ${part("main")}\n\nself time by group`)
  print([...groups, ["unsampled (socket reads, polling, other threads)", total - sampled]], total)
  console.log("\nself time by function")
  print(tally(profile, (frame) => `${groupOf(frame).padEnd(9)} ${placeOf(frame)}`).slice(0, top), total)
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(130))
main().catch((error: unknown) => {
  console.error(reasonOf(error))
  process.exit(2)
})
