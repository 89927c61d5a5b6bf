/**
 * Systems that are in use, as `installed.ts` finds them: each a process of its own on a port of this machine, stopped at the
 * end with all that it started.
 */
import { Effect } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { find } from "./installed.ts"
import { eventually } from "./proxy/watch.ts"

export interface Program {
  readonly name: string
  /** Where it is. Default: where `find` finds its name. */
  readonly path?: string
  /** `file` has its configuration, and lies in a folder that is its own. */
  readonly args: (port: number, file: string) => ReadonlyArray<string>
  /** Its configuration, if it wants a file. */
  readonly config?: (port: number, file: string) => ReadonlyArray<string>
  /** What ends it. Default: SIGKILL, for one that has nothing to clean up. */
  readonly signal?: NodeJS.Signals
}

export interface Started extends AsyncDisposable {
  readonly port: number
  /** `127.0.0.1:PORT` */
  readonly address: string
  readonly pid: number
  /** Its configuration, in a folder that is its own. */
  readonly file: string
  /** The lines that it has printed by now. */
  readonly printed: ReadonlyArray<string>
  /** Waits for a line that it prints, and gives what was found. */
  readonly prints: (line: RegExp) => Promise<RegExpExecArray>
}

/** A port that was free a moment ago. */
const freePort = () =>
  new Promise<number>((resolve) => {
    const server = Net.createServer().listen({ host: "127.0.0.1", port: 0 }, () => {
      // net.Server gives an AddressInfo for a port
      const { port } = server.address() as Net.AddressInfo
      server.close(() => resolve(port))
    })
  })

const accepts = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = Net.connect({ host: "127.0.0.1", port })
    const done = (accepted: boolean) => {
      socket.destroy()
      resolve(accepted)
    }
    socket.once("connect", () => done(true)).once("error", () => done(false))
  })

/** A program of several processes is a group of its own. */
const alive = (group: number): boolean => {
  try {
    process.kill(-group, 0)
    return true
  } catch {
    return false
  }
}

const end = async ({ name, signal = "SIGKILL" }: Program, { pid: group }: ChildProcess): Promise<void> => {
  if (group === undefined || !alive(group)) return
  process.kill(-group, signal)
  await Effect.runPromise(eventually(`the end of ${name}`, () => !alive(group), 30_000))
}

/** Starts it and waits until it accepts: on a port that is free, or on this one, where it was before. */
export const start = async (program: Program, before?: number): Promise<Started> => {
  const { args, config, name, path = find(name)! } = program
  const folder = mkdtempSync(join(tmpdir(), `${name}-`))
  const file = join(folder, "config")
  const printed: Array<string> = []
  // somebody else may take the port first
  for (let attempt = 0; attempt < 3; attempt++) {
    const port = before ?? (await freePort())
    if (config !== undefined) writeFileSync(file, `${config(port, file).join("\n")}\n`)
    const child = spawn(path, args(port, file), { stdio: ["ignore", "pipe", "pipe"], detached: true })
    for (const input of [child.stdout, child.stderr])
      createInterface({ input }).on("line", (line) => printed.push(line))
    while (child.exitCode === null && child.signalCode === null) {
      if (await accepts(port)) {
        return {
          port,
          address: `127.0.0.1:${port}`,
          pid: child.pid!,
          file,
          printed,
          prints: (line) =>
            Effect.runPromise(
              eventually(
                `${name} to print ${line}`,
                () => line.exec(printed.find((text) => line.test(text)) ?? "") ?? false
              )
            ),
          [Symbol.asyncDispose]: async () => {
            await end(program, child)
            rmSync(folder, { recursive: true, force: true })
          }
        }
      }
      await new Promise((resolve) => {
        setTimeout(resolve, 20)
      })
    }
  }
  rmSync(folder, { recursive: true, force: true })
  throw new Error(`${name} does not start: ${printed.slice(-5).join("; ")}`)
}
