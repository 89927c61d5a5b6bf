/**
 * The command line's proxy in a process of its own: started with flags, stopped with the scope, and measured from outside.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { Watch } from "./watch.ts"

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

/** Why the memory of a process cannot be read here, if so. */
export const noMemory = existsSync("/proc/self/status") ? undefined : "there is no /proc/PID/status here"

const statusField = (pid: number, name: string): number => {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))
  return Number(match?.[1]) * 1024
}

export interface Exited {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class CommandLine {
  port = 0
  exited: Exited | undefined
  readonly errors: Array<string> = []
  readonly watch = new Watch(() => `port ${this.port}, ${JSON.stringify(this.exited)}, ${this.errors.join("")}`)
  readonly child: ChildProcess

  constructor(args: ReadonlyArray<string>) {
    const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] })
    this.child = child
    createInterface({ input: child.stdout }).on("line", (line) => {
      const match = /^ready wss?:\/\/.*:(\d+)$/.exec(line)
      if (match !== null) this.port = Number(match[1])
      this.watch.changed()
    })
    child.stderr.on("data", (chunk: Buffer) => this.errors.push(chunk.toString()))
    child.on("exit", (code, signal) => {
      this.exited = { code, signal }
      this.watch.changed()
    })
  }

  signal(signal: NodeJS.Signals): Effect.Effect<void> {
    return Effect.sync(() => void this.child.kill(signal))
  }

  exit(millis?: number): Effect.Effect<Exited> {
    return this.watch.until("the exit", () => this.exited, millis)
  }

  /** Resident memory now, in bytes. */
  get residentBytes(): number {
    return statusField(this.child.pid!, "VmRSS")
  }

  /** Open files and sockets now. */
  get openFiles(): ReadonlyArray<string> {
    return process.getBuiltinModule("node:fs").readdirSync(`/proc/${this.child.pid}/fd`)
  }
}

/** Starts `proxy 0 TARGET FLAGS` and waits until it listens. */
export const proxy = (
  target: { readonly port: number },
  ...flags: ReadonlyArray<string>
): Effect.Effect<CommandLine, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new CommandLine(["proxy", "0", `127.0.0.1:${target.port}`, ...flags])),
    (commandLine) =>
      Effect.suspend(() => {
        if (commandLine.exited !== undefined) return Effect.void
        commandLine.child.kill("SIGKILL")
        return Effect.asVoid(commandLine.exit())
      })
  ).pipe(Effect.tap((_) => _.watch.until("ready", () => _.port !== 0, 20_000)))
