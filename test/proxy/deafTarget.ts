/**
 * A target that never answers: a listener in a process that is stopped, its queue of connections full, so that the system
 * drops every further attempt and whoever dials waits.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import * as Net from "node:net"
import { Timer } from "../../src/node/internal/timers.ts"
import { Target } from "../../src/proxy/Target.ts"

const program = `
  const server = require("node:net").createServer()
  server.listen({ host: "127.0.0.1", port: 0, backlog: 1 }, () => console.log(server.address().port))
`

const started = Effect.callback<readonly [ChildProcess, number]>((resume) => {
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] })
  child.stdout.once("data", (line: Buffer) => {
    child.kill("SIGSTOP")
    resume(Effect.succeed([child, Number(line.toString())]))
  })
})

/** Connects, or gives up after a while: then the queue is full. */
const knock = (port: number): Effect.Effect<Net.Socket | undefined> =>
  Effect.callback((resume) => {
    const socket = Net.connect({ host: "127.0.0.1", port })
    const timer = new Timer(150, () => {
      socket.destroy()
      resume(Effect.succeed(undefined))
    })
    socket.on("error", () => {})
    socket.once("connect", () => {
      timer.stop()
      resume(Effect.succeed(socket))
    })
  })

export const make: Effect.Effect<Target, never, Scope.Scope> = Effect.gen(function* () {
  const sockets: Array<Net.Socket> = []
  const [, port] = yield* Effect.acquireRelease(started, ([child]) =>
    Effect.sync(() => {
      for (const socket of sockets) socket.destroy()
      child.kill("SIGKILL")
    })
  )
  for (let socket = yield* knock(port); socket !== undefined; socket = yield* knock(port)) sockets.push(socket)
  return new Target({ host: "127.0.0.1", port })
})
