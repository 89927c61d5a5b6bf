/**
 * The access log in a file.
 */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Exit, Schema, Scope } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmdirSync,
  statSync
} from "node:fs"
import { fileURLToPath } from "node:url"
import * as NodeAccessLog from "../../src/node/NodeAccessLog.ts"
import * as AccessLogEntry from "../../src/server/AccessLogEntry.ts"
import { collectingLogs, eventually } from "../server/serving.ts"
import { folder } from "./folder.ts"

const entry = (path: string): AccessLogEntry.Entry => ({
  event: "closed",
  id: "one",
  at: DateTime.makeUnsafe("2026-11-23T10:00:00.123Z"),
  client: "192.0.2.1",
  path,
  annotations: { target: "db:5432" },
  elapsed: 12,
  code: 1000,
  reason: 'a "reason"\n',
  wasClean: true,
  received: 1,
  sent: 2
})

const linesOf = (file: string) => readFileSync(file, "utf8").split("\n").slice(0, -1)

describe("the file", () => {
  it.live("has a line for each entry, which reads as what was written", () =>
    Effect.gen(function* () {
      const file = (yield* folder)("access.log")
      const log = yield* NodeAccessLog.make({ file })
      yield* log.write(entry("/a"))
      yield* log.write({ event: "gone", id: "two", at: entry("").at, path: "/b", annotations: {}, elapsed: 0 })
      yield* eventually(
        "they are written",
        Effect.sync(() => linesOf(file).length === 2)
      )
      assert.strictEqual(
        linesOf(file)[0],
        '{"event":"closed","id":"one","at":"2026-11-23T10:00:00.123Z","client":"192.0.2.1","path":"/a",' +
          '"annotations":{"target":"db:5432"},"elapsed":12,"code":1000,"reason":"a \\"reason\\"\\n","wasClean":true,' +
          '"received":1,"sent":2}'
      )
      const read = yield* Schema.decodeEffect(AccessLogEntry.FromJson)(linesOf(file)[0]!)
      assert.deepStrictEqual(read, entry("/a"))
      assert.strictEqual((yield* Schema.decodeEffect(AccessLogEntry.FromJson)(linesOf(file)[1]!)).event, "gone")
      assert.strictEqual(statSync(file).mode & 0o777, 0o600)
    })
  )

  it.live("has all when the scope ends", () =>
    Effect.gen(function* () {
      const file = (yield* folder)("access.log")
      const scope = yield* Scope.make()
      const log = yield* Scope.provide(NodeAccessLog.make({ file }), scope)
      yield* log.write(entry("/a"))
      assert.deepStrictEqual(linesOf(file), [])
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(linesOf(file).length, 1)
    })
  )

  it.live("is written at once when a thousand lines wait", () =>
    Effect.gen(function* () {
      const file = (yield* folder)("access.log")
      const log = yield* NodeAccessLog.make({ file })
      for (let i = 0; i < 1001; i++) yield* log.write(entry(`/${i}`))
      assert.strictEqual(linesOf(file).length, 1000)
    })
  )

  it.live("may be rotated", () =>
    Effect.gen(function* () {
      const at = yield* folder
      const file = at("access.log")
      const log = yield* NodeAccessLog.make({ file })
      const size = () => statSync(file, { throwIfNoEntry: false })?.size ?? 0
      for (const path of ["/a", "/b"]) {
        yield* log.write(entry(path))
        yield* eventually(
          "it is written",
          Effect.sync(() => size() > 0)
        )
        renameSync(file, at(path))
        assert.strictEqual(linesOf(at(path)).length, 1)
      }
    })
  )

  it.effect("that cannot be written fails at once", () =>
    Effect.gen(function* () {
      const file = (yield* folder)("none", "access.log")
      const error = yield* Effect.flip(NodeAccessLog.make({ file }))
      assert.strictEqual(error.message, `cannot write the access log ${file}: ENOENT`)
    })
  )

  it.live("that cannot be written for a while loses what came meanwhile, and the log says so, once", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const at = yield* folder
        const file = at("access.log")
        const log = yield* NodeAccessLog.make({ file })
        renameSync(file, at("before"))
        mkdirSync(file)
        for (let i = 0; i < 2000; i++) yield* log.write(entry("/a"))
        yield* eventually(
          "it is told",
          Effect.sync(() => logs.length === 1)
        )
        rmdirSync(file)
        for (let i = 0; i < 1000; i++) yield* log.write(entry("/b"))
        yield* eventually(
          "it is told",
          Effect.sync(() => logs.length === 2)
        )
        assert.match(logs[0]!.text, /cannot write the access log .*: EISDIR/)
        assert.match(logs[1]!.text, /is written again; 2000 lines are lost/)
        assert.strictEqual(linesOf(file).length, 1000)
      })
    )
  )

  it.live("that cannot be written to the end loses what came, and the log says how much", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const file = (yield* folder)("access.log")
        const scope = yield* Scope.make()
        const log = yield* Scope.provide(NodeAccessLog.make({ file }), scope)
        renameSync(file, `${file}.before`)
        mkdirSync(file)
        for (let i = 0; i < 3; i++) yield* log.write(entry("/a"))
        yield* Scope.close(scope, Exit.void)
        assert.lengthOf(logs, 2)
        assert.match(logs[0]!.text, /cannot write the access log .*: EISDIR/)
        assert.match(logs[1]!.text, /The end of the access log .* is missing; lost lines: 3/)
      })
    )
  )

  it.live("that takes a part of the lines, as a full disk does, has no other line behind a torn one", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const file = (yield* folder)("pipe")
        // it takes 64 KiB, and then nothing until somebody reads
        execFileSync("mkfifo", [file])
        const reader = yield* Effect.acquireRelease(
          Effect.sync(() => openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)),
          (reader) => Effect.sync(() => closeSync(reader))
        )
        let text = ""
        const read = () => {
          const bytes = Buffer.alloc(1024 * 1024)
          text += bytes.toString("latin1", 0, readSync(reader, bytes))
        }
        const log = yield* NodeAccessLog.make({ file })
        for (let i = 0; i < 1000; i++) yield* log.write(entry("/a"))
        read()
        for (let i = 0; i < 100; i++) yield* log.write(entry("/b"))
        yield* eventually(
          "it is told",
          Effect.sync(() => logs.length === 2)
        )
        read()
        const whole = text.split("\n").filter((line) => line.startsWith("{") && line.endsWith("}"))
        const paths = whole.map((line) => (JSON.parse(line) as { readonly path: string }).path)
        const isB = (path: string) => path === "/b"
        assert.strictEqual(paths.filter(isB).length, 100)
        const lost = 1100 - paths.length
        assert.isAbove(lost, 0)
        assert.match(logs[0]!.text, /EAGAIN/)
        assert.match(logs[1]!.text, new RegExp(`is written again; ${lost} lines are lost`))
      })
    )
  )
})

/** What a process with so many entries for its standard output is, and what it has printed. */
const printing = (entries: number) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const program = fileURLToPath(new URL("./stdoutLog.ts", import.meta.url))
        const child = spawn(process.execPath, [program, String(entries)])
        return { child, closed: once(child, "close") }
      }),
      ({ child, closed }) =>
        Effect.promise(() => {
          child.kill("SIGKILL")
          return closed
        })
    ),
    ({ child, closed }) => {
      let stderr = ""
      let stdout = ""
      child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
      return {
        child,
        closed: Effect.promise(() => closed),
        read: () => child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text)),
        stderr: () => stderr,
        ids: () => [...stdout.matchAll(/^\{.*"id":"(\d+)".*\}$/gm)].map(([, id]) => Number(id))
      }
    }
  )

/** A process takes its time to start; the test's own is the limit. */
const until = (holds: () => boolean) => Effect.repeat(Effect.sleep("10 millis"), { until: holds })

describe("the standard output", { timeout: 60_000 }, () => {
  it.live("has every line, in order, although its reader falls behind", () =>
    Effect.gen(function* () {
      const { child, closed, ids, read, stderr } = yield* printing(2000)
      // more waits than a pipe holds
      yield* until(() => stderr() !== "")
      read()
      // all are read
      yield* until(() => ids().length === 2000)
      child.stdin.end()
      yield* closed
      assert.deepStrictEqual(
        ids(),
        Array.from({ length: 2000 }, (_, i) => i)
      )
      assert.strictEqual(stderr(), "written\n")
    })
  )

  it.live("loses what is more than it may hold for its reader, and the log says so, once", () =>
    Effect.gen(function* () {
      const { child, closed, ids, read, stderr } = yield* printing(6000)
      // more waits than may
      yield* until(() => stderr().includes("written"))
      read()
      // what is held is read
      yield* until(() => stderr().includes("is written again"))
      child.stdin.end()
      yield* closed
      const lost = 6000 - ids().length
      assert.isAbove(lost, 1000)
      assert.match(stderr(), /ERROR .*: cannot write the access log on stdout: EAGAIN\n/)
      assert.include(stderr(), `is written again; ${lost} lines are lost`)
      assert.lengthOf(stderr().trimEnd().split("\n"), 3)
    })
  )

  it.live("is given up when the end comes and nobody reads", () =>
    Effect.gen(function* () {
      const { child, closed, ids, read, stderr } = yield* printing(2000)
      // more waits than a pipe holds
      yield* until(() => stderr() !== "")
      child.stdin.end()
      // it is told
      yield* until(() => stderr().includes("is missing"))
      read()
      yield* closed
      assert.include(stderr(), `is missing; lost lines: ${2000 - ids().length}`)
    })
  )
})
