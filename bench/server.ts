/**
 * A server under measurement: started from a command in its own process, up when it prints `ready ws://HOST:PORT` (or
 * `wss://`, `tcp://`, `tls://`), measured from Linux `/proc` (with its children, if it has any), stopped at the end. CPU seconds are the
 * greater of the process's tick counters (they keep threads that have ended) and the sum of its threads' run time in
 * nanoseconds (they have the resolution): each is never more than the truth.
 */
import { spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { stop, track, within } from "./agent.ts"

/** What is spoken to a server: WebSocket or the bare bytes, each with or without TLS. */
export type Scheme = "ws" | "wss" | "tcp" | "tls"

const isScheme = (text: string | undefined): text is Scheme =>
  text === "ws" || text === "wss" || text === "tcp" || text === "tls"

export interface Server extends AsyncDisposable {
  readonly pid: number
  readonly scheme: Scheme
  readonly host: string
  readonly port: number
  /** Why the server is gone, if it is, with its last words. */
  readonly obituary: () => string
}

const project = fileURLToPath(new URL("..", import.meta.url))
const ticksPerSecond = 100
const startSeconds = 20
const lastLines = 20

const read = (path: string): string => {
  try {
    return readFileSync(path, "latin1")
  } catch {
    return ""
  }
}

const threadsOf = (pid: number): ReadonlyArray<string> => {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
}

/** The process and all its living descendants. */
const family = (pid: number): ReadonlyArray<number> => {
  const children = threadsOf(pid).flatMap((thread) => read(`/proc/${pid}/task/${thread}/children`).split(" "))
  return [pid, ...children.filter((child) => child.trim() !== "").flatMap((child) => family(Number(child)))]
}

/** utime, stime, and the same of children waited for, in seconds: fields 14 to 17, the second is in parentheses. */
const tickSeconds = (pid: number): ReadonlyArray<number> => {
  const stat = read(`/proc/${pid}/stat`)
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return fields.slice(11, 15).map((ticks) => Number(ticks) / ticksPerSecond)
}

const threadSeconds = (pid: number, thread: number | string): number =>
  Number(read(`/proc/${pid}/task/${thread}/schedstat`).split(" ")[0] ?? 0) / 1e9

const cpuOf = (pid: number): number => {
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = tickSeconds(pid)
  const threads = threadsOf(pid).reduce((total, thread) => total + threadSeconds(pid, thread), 0)
  return Math.max(threads, user + system) + childUser + childSystem
}

/** CPU seconds of one process in parts: user and system time, and the main thread's, which runs JavaScript. */
export const cpuParts = (pid: number): { readonly user: number; readonly system: number; readonly main: number } => {
  const [user = 0, system = 0] = tickSeconds(pid)
  return { user, system, main: threadSeconds(pid, pid) }
}

const sum = (pid: number, of: (pid: number) => number): number =>
  family(pid).reduce((total, member) => total + of(member), 0)

const statusKilobytes =
  (field: string) =>
  (pid: number): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(read(`/proc/${pid}/status`))?.[1] ?? 0)

/** CPU seconds since the process began, all threads and children. */
export const cpuSeconds = (pid: number): number => sum(pid, cpuOf)

/** Resident memory now, and at its greatest, in bytes. */
export const residentBytes = (pid: number): number => 1024 * sum(pid, statusKilobytes("VmRSS"))
export const peakResidentBytes = (pid: number): number => 1024 * sum(pid, statusKilobytes("VmHWM"))

/**
 * Runs a command (words; `node` is this very Node) in the project's root, with `nodeArguments` put after `node`, and
 * waits until it is up.
 */
export const startServer = async (
  command: ReadonlyArray<string>,
  nodeArguments: ReadonlyArray<string> = [],
  environment: Readonly<Record<string, string>> = {}
): Promise<Server> => {
  const [program = "", ...words] = command
  const isNode = program === "node"
  if (!isNode && nodeArguments.length > 0) throw new Error(`expected a "node ..." command, got ${program}`)
  const child: ChildProcess = track(
    spawn(isNode ? process.execPath : program, isNode ? [...nodeArguments, ...words] : words, {
      cwd: project,
      env: { ...process.env, NODE_ENV: "production", ...environment },
      stdio: ["ignore", "pipe", "pipe"]
    })
  )
  const lines: Array<string> = []
  let gone: string | undefined
  const lastWords = () => lines.filter((line) => !/^(at |Node\.js |[\^{}]|code: |requireStack: )/.test(line)).slice(-5)
  const obituary = () => (gone === undefined ? "" : `; ${[gone, ...lastWords()].join("; ")}`)

  const ready = new Promise<RegExpExecArray>((resolve, reject) => {
    for (const output of [child.stdout, child.stderr]) {
      let partial = ""
      output?.setEncoding("utf8").on("data", (text: string) => {
        const parts = (partial + text).split("\n")
        partial = parts.pop()?.slice(-1000) ?? ""
        for (const line of parts) {
          const match = /ready (wss?|tcp|tls):\/\/(\[[^\]]+\]|[^:/\s]+):(\d+)/.exec(line)
          if (match !== null) resolve(match)
          if (line.trim() !== "") lines.push(line.trim())
        }
        lines.splice(0, lines.length - lastLines)
      })
    }
    child.on("error", (error) => {
      gone = `the server could not start: ${error.message}`
      reject(new Error(gone))
    })
    child.on("close", (code, signal) => {
      gone ??= `the server exited with ${signal ?? code}`
      reject(new Error(`not ready${obituary()}`))
    })
  })
  ready.catch(() => {})

  try {
    const [, scheme, host, port] = await within(startSeconds, () => "the server printed no ready line", ready)
    return {
      pid: child.pid ?? 0,
      scheme: isScheme(scheme) ? scheme : "ws",
      host: (host ?? "").replace(/^\[|\]$/g, ""),
      port: Number(port),
      obituary,
      [Symbol.asyncDispose]: () => stop(child, 2)
    }
  } catch (error) {
    await stop(child, 0)
    throw error
  }
}
