/**
 * The command line in a process of its own, as an operator runs it.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

export interface Command extends AsyncDisposable {
  readonly port: number
  readonly pid: number
}

/** Starts it and waits until it says where it listens; ended with SIGTERM, it must exit with 0. */
export const command = async (...args: ReadonlyArray<string>): Promise<Command> => {
  const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "inherit"] })
  const exited = once(child, "exit")
  for await (const line of createInterface({ input: child.stdout })) {
    const port = /(?:ready|open) \w+:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1]
    if (port === undefined) continue
    child.stdout.resume()
    return {
      port: Number(port),
      pid: child.pid!,
      [Symbol.asyncDispose]: async () => {
        child.kill("SIGTERM")
        const [code] = await exited
        if (code !== 0) throw new Error(`exit code ${code} after SIGTERM`)
      }
    }
  }
  throw new Error("it ended before it listened")
}
