/**
 * The command line as its user has it: a process with arguments, whose two outputs, exit code and signals are all that a
 * test sees of it. A process that is still there when the scope ends is killed.
 */
import { Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  /** What was printed so far. */
  readonly stdout: () => string
  readonly stderr: () => string
  /** Waits for the `n`th line of the output; fails if the process ends before it. */
  readonly line: (n: number) => Effect.Effect<string>
  readonly kill: (signal: NodeJS.Signals) => Effect.Effect<void>
  readonly ended: Effect.Effect<Ended>
  readonly pid: number
}

/** Starts a command, in this process' environment and more. With `"closed"` its standard output has no reader from the start. */
export const start = (
  args: ReadonlyArray<string>,
  output: "read" | "closed" = "read",
  env: Readonly<Record<string, string>> = {}
): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const child = spawn(process.execPath, [main, ...args], {
          stdio: ["ignore", "pipe", "pipe"],
          env: { ...process.env, ...env }
        })
        // 'close' comes when the process has ended and its output has been read
        return { child, closed: once(child, "close") }
      }),
      ({ child, closed }) =>
        Effect.promise(async () => {
          if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL")
          await closed
        })
    ),
    ({ child, closed }) => {
      let stdout = ""
      let stderr = ""
      child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text))
      child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
      if (output === "closed") child.stdout.destroy()
      const lines = () => stdout.split("\n").slice(0, -1)
      return {
        stdout: () => stdout,
        stderr: () => stderr,
        pid: child.pid!,
        kill: (signal) => Effect.sync(() => void child.kill(signal)),
        line: (n) =>
          Effect.promise(async () => {
            while (lines().length < n) {
              const next = once(child.stdout, "data").then(() => true)
              if (!(await Promise.race([next, closed.then(() => false)])) && lines().length < n) {
                throw new Error(`the process ended without line ${n} of its output: ${stderr}`)
              }
            }
            return lines()[n - 1]!
          }),
        ended: Effect.promise(async () => {
          const [code, signal] = await closed
          return { code, signal, stdout, stderr }
        })
      }
    }
  )

/** Runs a command that ends by itself. */
export const run = (...args: ReadonlyArray<string>): Effect.Effect<Ended> =>
  Effect.scoped(Effect.flatMap(start(args), (running) => running.ended))

/** Starts a command that listens, and waits until it does. */
export const listening = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
  const running = yield* start(args)
  const line = yield* running.line(1)
  const match = /^ready ws:\/\/(.+):(\d+)$/.exec(line)
  if (match === null) return yield* Effect.die(new Error(`this is no ready line: ${line}`))
  return { ...running, host: match[1]!, port: Number(match[2]), url: line.slice("ready ".length) }
})
