import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { writeFileSync } from "node:fs"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { close, shown } from "../connection/connected.ts"
import { folder } from "../node/folder.ts"
import { eventually } from "../server/serving.ts"
import { ask, connect, upgraded, upgradeRequest } from "../server/wire.ts"
import { listening, type Running } from "./command.ts"

/** How a process ends, and after how many milliseconds. */
const ending = (running: Running) =>
  Effect.map(Effect.timed(running.ended), ([duration, { code, signal, stderr }]) => ({
    millis: Duration.toMillis(duration),
    end: { code, signal, stderr }
  }))

const inOrder = { code: 0, signal: null, stderr: "" }

describe.concurrent("SIGTERM and SIGINT", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it.live(
      `${signal} closes open connections with 1001 and exits with 0 when they are closed`,
      () =>
        Effect.gen(function* () {
          const running = yield* listening("echo", "0")
          const wires = yield* Effect.forEach([1, 2, 3], () => upgraded(running.port))
          yield* running.kill(signal)
          for (const wire of wires) {
            assert.deepStrictEqual(shown(yield* wire.next), [Opcode.close, 1001, ""])
            wire.send(close(1001))
            yield* wire.ended
            wire.end()
          }
          const { end, millis } = yield* ending(running)
          assert.deepStrictEqual(end, inOrder)
          assert.isBelow(millis, 2000)
        }),
      20_000
    )

    it.live(
      `a second ${signal} exits at once, whoever has not answered`,
      () =>
        Effect.gen(function* () {
          const running = yield* listening("echo", "0")
          const wire = yield* upgraded(running.port)
          yield* running.kill(signal)
          assert.deepStrictEqual(shown(yield* wire.next), [Opcode.close, 1001, ""])
          yield* running.kill(signal)
          const { end, millis } = yield* ending(running)
          assert.deepStrictEqual(end, { ...inOrder, code: signal === "SIGINT" ? 130 : 143 })
          assert.isBelow(millis, 1000)
        }),
      20_000
    )
  }

  it.live(
    "clients that do not answer, do not read, or are in the middle of their handshake hold the exit up for closeTimeout at most",
    () =>
      Effect.gen(function* () {
        const running = yield* listening("echo", "0", "--close-timeout", "300ms")
        yield* upgraded(running.port)
        const full = yield* upgraded(running.port)
        for (let i = 0; i < 64; i++) full.send({ opcode: Opcode.binary, payload: new Uint8Array(256 * 1024) })
        yield* connect(running.port)
        const half = yield* connect(running.port)
        half.write("GET / HTTP/1.1\r\nHost:")
        yield* Effect.sleep("200 millis")
        yield* running.kill("SIGTERM")
        const { end, millis } = yield* ending(running)
        assert.deepStrictEqual(end, inOrder)
        assert.isBelow(millis, 3000)
      }),
    20_000
  )

  it.live(
    "with --drain-timeout connections go on, and new ones get 503, until the deadline",
    () =>
      Effect.gen(function* () {
        const running = yield* listening("echo", "0", "--drain-timeout", "500ms")
        const wire = yield* upgraded(running.port)
        yield* running.kill("SIGTERM")
        yield* Effect.sleep("100 millis")
        assert.strictEqual((yield* ask(running.port, upgradeRequest())).status, 503)
        wire.send({ opcode: Opcode.text, payload: Buffer.from("still served") })
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "still served"])
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.close, 1001, ""])
        wire.send(close(1001))
        wire.end()
        assert.deepStrictEqual((yield* ending(running)).end, inOrder)
      }),
    20_000
  )
})

describe.concurrent("SIGHUP", () => {
  const times = (log: string) => log.split("SIGHUP: there are no files").length - 1

  for (const [who, flags] of [
    ["a process alone", []],
    ["workers", ["--workers", "2"]]
  ] as const) {
    it.live(
      `ends nothing of ${who} where nothing is read again, and is told once`,
      () =>
        Effect.gen(function* () {
          const running = yield* listening("echo", "0", ...flags)
          const wire = yield* upgraded(running.port)
          yield* running.kill("SIGHUP")
          yield* eventually(
            "it is told",
            Effect.sync(() => times(running.stderr()) > 0)
          )
          wire.send({ opcode: Opcode.text, payload: Buffer.from("still served") })
          assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "still served"])
          wire.socket.destroy()
          yield* running.kill("SIGTERM")
          const { code, stderr } = yield* running.ended
          assert.deepStrictEqual([code, times(stderr)], [0, 1])
        }),
      20_000
    )
  }

  it.live(
    "has passwords and tokens read again",
    () =>
      Effect.gen(function* () {
        const at = yield* folder
        const file = at("tokens")
        writeFileSync(file, "first-token-1234567890 ann\n")
        const running = yield* listening("echo", "0", "--bearer-file", file)
        const statusOf = (token: string) =>
          Effect.map(
            ask(running.port, upgradeRequest({ Authorization: `Bearer ${token}` })),
            (response) => response.status
          )
        assert.strictEqual(yield* statusOf("first-token-1234567890"), 101)
        writeFileSync(file, "other-token-1234567890 ann\n")
        yield* running.kill("SIGHUP")
        yield* eventually(
          "the new token is known",
          Effect.map(statusOf("other-token-1234567890"), (status) => status === 101)
        )
        assert.strictEqual(yield* statusOf("first-token-1234567890"), 401)
        assert.strictEqual(times(running.stderr()), 0)
      }),
    20_000
  )
})
