/**
 * Firewalls that are in use, where they are installed: each a process of its own on a port of this machine, gone with the
 * scope and all that it started.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Installed from "../installed.ts"
import { secret, user } from "./firewall.ts"
import { eventually } from "./watch.ts"

export interface Program {
  readonly name: string
  readonly args: (port: number, file: string) => ReadonlyArray<string>
  /** Its configuration, if it wants a file. */
  readonly config?: (port: number) => ReadonlyArray<string>
}

/** SOCKS5. */
export const microsocks: Program = {
  name: "microsocks",
  args: (port) => ["-i", "127.0.0.1", "-p", String(port)]
}

export const microsocksWithUser: Program = {
  name: "microsocks",
  args: (port) => ["-i", "127.0.0.1", "-p", String(port), "-u", user, "-P", secret]
}

/** HTTP. */
export const tinyproxy: Program = {
  name: "tinyproxy",
  args: (_, file) => ["-d", "-c", file],
  config: (port) => [`Port ${port}`, "Listen 127.0.0.1", "Allow 127.0.0.1", "Timeout 60", "MaxClients 20"]
}

export const tinyproxyWithUser: Program = {
  ...tinyproxy,
  config: (port) => [...tinyproxy.config!(port), `BasicAuth ${user} ${secret}`]
}

/** SOCKS4 and SOCKS5. */
export const danted: Program = {
  name: "danted",
  args: (_, file) => ["-f", file],
  config: (port) => [
    "logoutput: /dev/null",
    `internal: 127.0.0.1 port = ${port}`,
    "external: 127.0.0.1",
    "clientmethod: none",
    "socksmethod: none",
    ...(process.getuid?.() === 0 ? ["user.privileged: root", "user.notprivileged: nobody"] : []),
    "client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }",
    "socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }"
  ]
}

/** Why it cannot run here, if so. */
export const missing = ({ name }: Program): string | undefined => Installed.missing(name)

/** A port that was free a moment ago. */
const freePort = Effect.callback<number>((resume) => {
  const server = Net.createServer().listen({ host: "127.0.0.1", port: 0 }, () => {
    const { port } = server.address() as Net.AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

const accepts = (port: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const socket = Net.connect({ host: "127.0.0.1", port })
    const done = (accepted: boolean) => {
      socket.destroy()
      resume(Effect.succeed(accepted))
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

const end = (child: ChildProcess): Effect.Effect<unknown> =>
  Effect.suspend(() => {
    const group = child.pid
    if (group === undefined || !alive(group)) return Effect.void
    process.kill(-group, "SIGKILL")
    return eventually("the firewall's end", () => !alive(group))
  })

/** Starts it and waits until it accepts; gives its port. */
export const start = (program: Program): Effect.Effect<number, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "firewall-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    )
    const file = join(folder, "config")
    // somebody else may take the port first
    for (let attempt = 0; attempt < 3; attempt++) {
      const port = yield* freePort
      if (program.config !== undefined) writeFileSync(file, `${program.config(port).join("\n")}\n`)
      const child = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn(Installed.find(program.name)!, program.args(port, file), { stdio: "ignore", detached: true })
        ),
        end
      )
      while (child.exitCode === null) {
        if (yield* accepts(port)) return port
        yield* Effect.sleep(20)
      }
    }
    return yield* Effect.die(new Error(`${program.name} does not start`))
  })
