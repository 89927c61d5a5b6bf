/**
 * The command line's `echo`, in a process of its own as an operator runs it.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { Target } from "../suite.ts"

const main = fileURLToPath(new URL("../../../src/cli/main.ts", import.meta.url))

export const startCommandLine = async (): Promise<Target> => {
  const child = spawn(process.execPath, [main, "echo", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] })
  const exited = once(child, "exit")
  for await (const line of createInterface({ input: child.stdout })) {
    const match = /^ready ws:\/\/(.+):(\d+)$/.exec(line)
    if (match === null) continue
    return {
      host: match[1]!,
      port: Number(match[2]),
      stop: async () => {
        child.kill("SIGTERM")
        const [code] = await exited
        if (code !== 0) throw new Error(`echo exited with ${code} after SIGTERM`)
      }
    }
  }
  throw new Error("echo ended without a ready line")
}
