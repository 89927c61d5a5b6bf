/**
 * `--workers` as its user has it: several processes on one port, that start, die and end as one.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { copyFileSync, existsSync, mkdtempSync, rmSync, statSync } from "node:fs"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as tls from "node:tls"
import { fileURLToPath } from "node:url"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { close, shown, text as textFrame } from "../connection/connected.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { balancer, header, wireFrom } from "../server/balancer.ts"
import { ask, connect, upgraded, upgradeRequest } from "../server/wire.ts"
import { certificate, path, text, write } from "../tls/openssl.ts"
import { listening, start } from "./command.ts"
import { untold } from "./mistake.ts"
import { canLook, childrenOf, isThere, until } from "./processes.ts"

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))
const serviceManager = fileURLToPath(new URL("serviceManager.ts", import.meta.url))

const workers = Effect.fnUntraced(function* (count: number, ...args: ReadonlyArray<string>) {
  const running = yield* listening("echo", "0", "--workers", String(count), ...args)
  return { ...running, workers: childrenOf(running.pid) }
})

/** The port of a command that another program starts. */
const startedBy = Effect.fnUntraced(function* (program: string, args: ReadonlyArray<string>) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] })),
    (child) => Effect.sync(() => void child.kill("SIGTERM"))
  )
  const [line] = yield* Effect.promise(() => once(child.stdout, "data"))
  const [, port] = /^ready ws:\/\/127\.0\.0\.1:(\d+)\n$/.exec(String(line)) ?? assert.fail(String(line))
  return Number(port)
})

/** Plays a client's part in an end that the server begins. */
const leave = Effect.fnUntraced(function* (wire: Effect.Success<ReturnType<typeof upgraded>>) {
  const frame = shown(yield* wire.next)
  wire.send(close(1001))
  yield* wire.ended
  wire.end()
  return frame
})

const goingAway = [Opcode.close, 1001, ""]
const inOrder = { code: 0, signal: null, stderr: "" }

const echoes = Effect.fnUntraced(function* (wire: Effect.Success<ReturnType<typeof upgraded>>, word: string) {
  wire.send(textFrame(word))
  assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, word])
})

/** What one more client is told, who goes away then. */
const status = (port: number) => Effect.scoped(Effect.map(ask(port, upgradeRequest()), (answer) => answer.status))

const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "workers-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

describe("--workers", { timeout: 120_000 }, () => {
  it.live("are so many processes on one port, ready once, that take as many connections together as one alone", () =>
    Effect.gen(function* () {
      const { port, stderr, stdout, ...running } = yield* workers(2, "--max-connections", "5")
      if (canLook) assert.strictEqual(running.workers.length, 2)
      const wires = yield* Effect.forEach([1, 2, 3, 4, 5], () => upgraded(port))
      for (const [i, wire] of wires.entries()) yield* echoes(wire, `connection ${i}`)
      assert.strictEqual(yield* status(port), 503)
      // a place that is free is found, whosever it is
      for (const wire of wires) {
        wire.send(close(1000))
        yield* wire.next
        wire.end()
        yield* wire.ended
        yield* Effect.gen(function* () {
          while ((yield* status(port)) !== 101) yield* Effect.sleep("10 millis")
        }).pipe(Effect.timeout("20 seconds"))
      }
      assert.strictEqual(stdout().split("\n").length, 2)
      assert.notInclude(stderr(), "rror")
    })
  )

  it.live(
    "end in order with the first process, also when the terminal tells them so itself, and leave nobody behind",
    () =>
      Effect.gen(function* () {
        const { port, ...running } = yield* workers(2)
        const wires = yield* Effect.forEach([1, 2, 3, 4], () => upgraded(port))
        // Ctrl-C goes to all of a terminal's processes
        yield* running.kill("SIGINT")
        for (const pid of running.workers) process.kill(pid, "SIGINT")
        for (const wire of wires) assert.deepStrictEqual(yield* leave(wire), goingAway)
        const { stdout: _, ...end } = yield* running.ended
        assert.deepStrictEqual(end, inOrder)
        assert.deepStrictEqual(running.workers.filter(isThere), [])
      })
  )

  it.live("are waited for with --drain-timeout, and turn new clients away meanwhile", () =>
    Effect.gen(function* () {
      const { port, ...running } = yield* workers(2, "--drain-timeout", "2s")
      const wires = yield* Effect.forEach([1, 2], () => upgraded(port))
      yield* running.kill("SIGTERM")
      yield* Effect.gen(function* () {
        while ((yield* status(port)) !== 503) yield* Effect.sleep("10 millis")
      }).pipe(Effect.timeout("2 seconds"))
      for (const wire of wires) yield* echoes(wire, "still served")
      for (const wire of wires) assert.deepStrictEqual(yield* leave(wire), goingAway)
      assert.strictEqual((yield* running.ended).code, 0)
    })
  )

  it.live("are gone at once with a second signal", () =>
    Effect.gen(function* () {
      const { port, ...running } = yield* workers(2)
      const wire = yield* upgraded(port)
      yield* running.kill("SIGTERM")
      assert.deepStrictEqual(shown(yield* wire.next), goingAway)
      yield* running.kill("SIGTERM")
      assert.strictEqual((yield* running.ended).code, 143)
      yield* until("the workers are gone", () => !running.workers.some(isThere))
    })
  )

  it.live.runIf(canLook)("are not waited for longer than they may take", () =>
    Effect.gen(function* () {
      const running = yield* workers(2, "--close-timeout", "100ms")
      process.kill(running.workers[0]!, "SIGSTOP")
      yield* running.kill("SIGTERM")
      assert.strictEqual((yield* running.ended).code, 0)
      assert.isFalse(isThere(running.workers[0]!))
    })
  )

  it.live.runIf(canLook)("end in order when the first process is killed", () =>
    Effect.gen(function* () {
      const { port, ...running } = yield* workers(2)
      const wires = yield* Effect.forEach([1, 2], () => upgraded(port))
      yield* running.kill("SIGKILL")
      for (const wire of wires) assert.deepStrictEqual(yield* leave(wire), goingAway)
      yield* until("the workers are gone", () => !running.workers.some(isThere))
    })
  )

  it.live(
    "have a unix socket with its mode, that is taken away in the end, and one in the place of one left behind",
    () =>
      Effect.gen(function* () {
        const file = join(yield* temporary, "socket")
        for (const signal of ["SIGKILL", "SIGTERM"] as const) {
          const running = yield* start(["echo", `unix:${file}`, "--workers", "2", "--unix-listen-mode", "0660"])
          assert.strictEqual(yield* running.line(1), `ready ws+unix:${file}`)
          assert.strictEqual(statSync(file).mode & 0o777, 0o660)
          const answer = yield* Effect.promise(
            () =>
              new Promise<string>((resolve, reject) => {
                const socket = Net.connect(file, () => socket.write(upgradeRequest()))
                socket.setEncoding("latin1").on("error", reject)
                socket.once("data", (data: string) => {
                  socket.destroy()
                  resolve(data.slice(0, 12))
                })
              })
          )
          assert.strictEqual(answer, "HTTP/1.1 101")
          yield* running.kill(signal)
          yield* running.ended
          assert.strictEqual(existsSync(file), signal === "SIGKILL")
        }
      })
  )

  it.live.runIf(canLook)("serve a socket that the first process was given", () =>
    Effect.gen(function* () {
      const port = yield* startedBy(process.execPath, [serviceManager, "echo", "fd:3", "--workers", "2"])
      for (const word of ["one", "two", "three"]) yield* echoes(yield* upgraded(port), word)
    })
  )

  it.live.runIf(canLook)("cut off whom they have no file descriptor for, and serve on when they have", () =>
    Effect.gen(function* () {
      const command = [process.execPath, main, "echo", "0", "--workers", "2"]
      const port = yield* startedBy("sh", ["-c", 'ulimit -n 200; exec "$@"', "sh", ...command])
      yield* Effect.scoped(
        Effect.gen(function* () {
          const exits = yield* Effect.forEach(Array.from({ length: 500 }), () => Effect.exit(upgraded(port)))
          assert.strictEqual(new Set(exits.map(Exit.isSuccess)).size, 2)
        })
      )
      while (Exit.isFailure(yield* Effect.exit(status(port)))) yield* Effect.sleep("10 millis")
      for (const word of ["one", "two", "three"]) yield* echoes(yield* upgraded(port), word)
    }).pipe(Effect.timeout("60 seconds"))
  )

  it.live("read the PROXY protocol, and each holds limits by address for itself", () =>
    Effect.gen(function* () {
      const { port } = yield* workers(2, "--proxy-protocol-from", balancer, "--max-connections-per-address", "1")
      const said = header("198.51.100.7:4711")
      const statuses = yield* Effect.forEach([1, 2, 3], () =>
        Effect.flatMap(wireFrom(balancer, port, said, upgradeRequest()), (wire) =>
          Effect.map(wire.response, ({ status }) => status)
        )
      )
      assert.deepStrictEqual(statuses, [101, 101, 429])
    })
  )

  it.live("say which of them it is in every line of the log, also in one from before they serve", () =>
    Effect.gen(function* () {
      write("tokens", "anns-token-1234567890 ann\n")
      const running = yield* start(["echo", "0.0.0.0:0", "--workers", "2", "--bearer-file", path("tokens")])
      yield* running.line(1)
      yield* running.kill("SIGTERM")
      const lines = (yield* running.ended).stderr.trimEnd().split("\n")
      assert.deepStrictEqual(
        lines.map((line) => /Passwords .* \{ worker: (\d) \}$/.exec(line)?.[1]),
        ["1", "2"]
      )
    })
  )

  it.live("serve the proxy: targets, files and TLS are each worker's", () =>
    Effect.gen(function* () {
      certificate("worker", { extensions: ["subjectAltName=DNS:localhost"] })
      certificate("renewed", { extensions: ["subjectAltName=DNS:localhost"] })
      write("serving.pem", text("worker.crt") + text("worker.key"))
      copyFileSync(path("serving.pem"), path("changing.pem"))
      const target = yield* RawTarget.listen()
      const flags = ["--workers", "2", "--cert", path("changing.pem")]
      const command = yield* start(["proxy", "0", `127.0.0.1:${target.port}`, ...flags])
      const [, port] = /^ready wss:\/\/127\.0\.0\.1:(\d+)$/.exec(yield* command.line(1)) ?? assert.fail()
      const subject = Effect.promise(
        () =>
          new Promise<string>((resolve) => {
            const socket = tls.connect({ port: Number(port), host: "127.0.0.1", rejectUnauthorized: false })
            socket.once("error", String).once("close", () => resolve("none"))
            socket.once("secureConnect", () => {
              resolve(String(socket.getPeerCertificate().subject.CN))
              socket.destroy()
            })
          })
      )
      assert.strictEqual(yield* subject, "worker")
      write("changing.pem", text("renewed.crt") + text("renewed.key"))
      yield* command.kill("SIGHUP")
      // so many in a row are of both workers
      let inARow = 0
      yield* Effect.gen(function* () {
        while (inARow < 8) inARow = (yield* subject) === "renewed" ? inARow + 1 : 0
      }).pipe(Effect.timeout("30 seconds"))
      yield* command.kill("SIGTERM")
      assert.strictEqual((yield* command.ended).code, 0)
    })
  )
})

describe.runIf(canLook)("a worker that dies", { timeout: 120_000 }, () => {
  it.live("takes no other's connections along, and another takes its place", () =>
    Effect.gen(function* () {
      const { port, ...running } = yield* workers(2)
      const wires = yield* Effect.forEach([1, 2, 3, 4], () => upgraded(port))
      process.kill(running.workers[0]!, "SIGKILL")
      yield* until("there are two again", () => {
        const now = childrenOf(running.pid)
        return now.length === 2 && !now.includes(running.workers[0]!)
      })
      const exits = yield* Effect.forEach(wires, (wire) => Effect.exit(echoes(wire, "untouched")))
      assert.deepStrictEqual(exits.map(Exit.isSuccess).toSorted(), [false, false, true, true])
      yield* Effect.forEach([1, 2, 3, 4, 5, 6], () => upgraded(port))
      assert.match(running.stderr(), /WARN.*Worker [12] \(process \d+\) died: SIGKILL; another takes its place\n$/)
    })
  )

  it.live("refuses nobody who comes while there is none", () =>
    Effect.gen(function* () {
      const { port, ...running } = yield* workers(2)
      for (const pid of running.workers) process.kill(pid, "SIGKILL")
      yield* until("both are gone", () => !running.workers.some(isThere))
      yield* echoes(yield* upgraded(port), "there is a new one")
    })
  )

  it.live("hands those that it had not taken yet to another", () =>
    Effect.gen(function* () {
      const { port, ...running } = yield* workers(2)
      const [stuck] = running.workers
      process.kill(stuck!, "SIGSTOP")
      const wires = yield* Effect.forEach(Array.from({ length: 12 }), () => connect(port))
      for (const wire of wires) wire.write(upgradeRequest())
      // all that the other worker has are served by then
      yield* wires[11]!.response
      process.kill(stuck!, "SIGKILL")
      for (const wire of wires.slice(0, 11)) assert.strictEqual((yield* wire.response).status, 101)
    })
  )

  it.live("leaves the others alone when it dies again and again, and is tried on until it works", () =>
    Effect.gen(function* () {
      const { port, ...running } = yield* workers(2)
      const [, other] = running.workers
      const wires = yield* Effect.forEach([1, 2], () => upgraded(port))
      // it has worked by then
      yield* Effect.sleep("5200 millis")
      const killing = yield* Effect.forkScoped(
        Effect.gen(function* () {
          for (;;) {
            for (const pid of childrenOf(running.pid)) if (pid !== other) process.kill(pid, "SIGKILL")
            yield* Effect.sleep("10 millis")
          }
        })
      )
      yield* until("it is failing", () => running.stderr().includes("SIGKILL; another takes its place in 3.2 s"))
      yield* Fiber.interrupt(killing)
      assert.match(
        running.stderr(),
        /Worker [12] \(process \d+\) died: SIGKILL; another takes its place in 1\.6 s: it died 5 times in a row\n/
      )
      const exits = yield* Effect.forEach(wires, (wire) => Effect.exit(echoes(wire, "untouched")))
      assert.deepStrictEqual(exits.map(Exit.isSuccess).toSorted(), [false, true])
      yield* until("there are two again", () => childrenOf(running.pid).length === 2)
      assert.isTrue(isThere(other!))
    })
  )

  it.live("ends all of them when each dies again and again right after its start", () =>
    Effect.gen(function* () {
      const running = yield* workers(2)
      yield* Effect.gen(function* () {
        for (;;) {
          for (const pid of childrenOf(running.pid)) process.kill(pid, "SIGKILL")
          yield* Effect.sleep("10 millis")
        }
      }).pipe(Effect.raceFirst(running.ended))
      const { code, stderr } = yield* running.ended
      assert.strictEqual(code, 1)
      const lines = stderr.trimEnd().split("\n")
      assert.match(lines.at(-1)!, /^effect-websocket: worker [12] died \d+ times in a row .*: SIGKILL$/)
      assert.deepStrictEqual(childrenOf(running.pid), [])
    })
  )
})

describe("a mistake", { timeout: 120_000 }, () => {
  it.live("with several workers is told once, in one line, as without", () =>
    Effect.gen(function* () {
      const { port } = yield* listening("echo", "0")
      write("no.pem", "nothing")
      assert.strictEqual(
        yield* untold([
          [
            ["echo", "0", "--workers", "0"],
            ["--workers", '"0"', "auto"]
          ],
          [
            ["echo", "0", "--workers", "257"],
            ["--workers", "256"]
          ],
          [
            ["proxy", "0", "a:1", "--workers", "many"],
            ["--workers", '"many"']
          ],
          [
            ["echo", "0", "--workers", "4", "--max-connections", "3"],
            ["--max-connections", "divided"]
          ],
          [
            ["proxy", "0", "a:1", "--workers", "2", "--run-once"],
            ["--run-once", "--workers"]
          ],
          [
            ["proxy", "0", "a:1", "--workers", "2", "--run-for", "5"],
            ["--run-for", "--workers"]
          ],
          [
            ["proxy", "0", "a:1", "--workers", "2", "--run-until-idle", "5"],
            ["--run-until-idle", "--workers"]
          ],
          [["echo", String(port), "--workers", "2"], ["port is in use"]],
          [["echo", "0", "--workers", "2", "--cert", path("no.pem")], ["no.pem"]],
          [["proxy", "0", "a:1", "--workers", "2", "--web", "/no/such/folder"], ["--web"]]
        ]),
        ""
      )
    })
  )
})
