/**
 * The end of the proxy itself: SIGTERM to the command line, with connections open, held back, half closed and being opened.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as CommandLine from "./commandLine.ts"
import { soon, unhurried } from "./connected.ts"
import * as DeafTarget from "./deafTarget.ts"
import * as Frames from "./frames.ts"
import * as Pattern from "./pattern.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import { heldBack } from "./tcp.ts"
import { pass, timed } from "./watch.ts"

interface Started {
  readonly proxy: CommandLine.CommandLine
  readonly client: RawClient.RawClient
  readonly target: RawTarget.TargetConnection
}

const started = Effect.fnUntraced(function* (
  flags: ReadonlyArray<string> = [],
  options: RawTarget.Options = {}
): Effect.fn.Return<Started, never, Scope.Scope> {
  const listener = yield* RawTarget.listen(options)
  const proxy = yield* CommandLine.proxy(listener, ...flags)
  const client = yield* RawClient.open(proxy.port)
  const target = yield* listener.accept
  return { proxy, client, target }
})

/** What a polite client and a polite target do when they are told of the end. */
const politely = ({ client, target }: Started) =>
  Effect.gen(function* () {
    yield* client.watch.until("a Close", () => client.closeCode !== undefined, soon)
    yield* client.sendClose(client.closeCode)
    yield* client.until("end", soon)
    yield* client.end()
    yield* target.until("end", soon)
    yield* target.end()
  })

describe.concurrent("SIGTERM", { timeout: 30_000 }, () => {
  it.live("open connections get Close 1001, their targets what is left and FIN, and the exit code is 0", () =>
    Effect.gen(function* () {
      const all = yield* started()
      const { client, proxy, target } = all
      yield* client.send(Frames.binary, "hello")
      yield* target.untilReceived(5)
      yield* proxy.signal("SIGTERM")
      yield* politely(all)
      assert.deepStrictEqual(yield* proxy.exit(), { code: 0, signal: null })
      yield* target.until("closed", soon)
      yield* client.until("closed", soon)
      assert.deepStrictEqual(client.log, ["open", "close 1001", "end", "closed"])
      assert.deepStrictEqual(target.log, ["end", "closed"])
      assert.strictEqual(target.text, "hello")
      assert.deepStrictEqual(proxy.errors, [])
    })
  )

  it.live("SIGINT does the same", () =>
    Effect.gen(function* () {
      const all = yield* started()
      yield* all.proxy.signal("SIGINT")
      yield* politely(all)
      assert.deepStrictEqual(yield* all.proxy.exit(), { code: 0, signal: null })
      assert.strictEqual(all.client.closeCode, 1001)
    })
  )

  it.live("without connections it exits at once", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const proxy = yield* CommandLine.proxy(listener, "--drain-timeout", "30s")
      yield* proxy.signal("SIGTERM")
      assert.deepStrictEqual(yield* proxy.exit(soon), { code: 0, signal: null })
    })
  )

  it.live("during --drain-timeout connections go on, upgrades get 503, and the last end ends it", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* started(["--drain-timeout", "30s"])
      yield* proxy.signal("SIGTERM")
      const attempt = Effect.scoped(
        Effect.flatMap(RawClient.request(proxy.port), (late) => late.watch.until("an answer", () => late.status, soon))
      )
      // the signal takes its time to arrive
      assert.strictEqual(yield* Effect.repeat(attempt, { until: (status) => status !== 101 }), 503)
      yield* client.send(Frames.binary, "ping")
      yield* target.untilReceived(4)
      yield* target.write(Buffer.from("pong"))
      yield* client.untilPayload(4)
      assert.isUndefined(proxy.exited)
      yield* client.sendClose(1000)
      yield* client.until("end", soon)
      yield* client.end()
      yield* target.until("end", soon)
      yield* target.end()
      assert.deepStrictEqual(yield* proxy.exit(soon), { code: 0, signal: null })
      assert.strictEqual(client.closeCode, 1000)
    })
  )

  it.live("at the end of --drain-timeout they get Close 1001", () =>
    Effect.gen(function* () {
      const all = yield* started(["--drain-timeout", "500ms"])
      const [, millis] = yield* timed(Effect.andThen(all.proxy.signal("SIGTERM"), politely(all)))
      assert.isAtLeast(millis, 490)
      assert.strictEqual(all.client.closeCode, 1001)
      assert.deepStrictEqual(yield* all.proxy.exit(soon), { code: 0, signal: null })
    })
  )

  it.live("a second signal exits at once", () =>
    Effect.gen(function* () {
      const { client, proxy } = yield* started(["--close-timeout", "60s"])
      yield* proxy.signal("SIGTERM")
      yield* client.until("close 1001", soon)
      assert.isUndefined(proxy.exited)
      yield* proxy.signal("SIGTERM")
      const { code, signal } = yield* proxy.exit(soon)
      assert.isTrue(code === 143 || signal === "SIGTERM", `code ${code}, signal ${signal}`)
    })
  )

  it.live("clients and targets that do nothing hold it up for the close timeouts and no longer", () =>
    Effect.gen(function* () {
      const { client, proxy } = yield* started(["--close-timeout", "300ms"])
      yield* proxy.signal("SIGTERM")
      yield* client.until("close 1001", soon)
      const [exit, millis] = yield* timed(proxy.exit())
      assert.deepStrictEqual(exit, { code: 0, signal: null })
      assert.isBelow(millis, unhurried)
    })
  )

  it.live(
    "a target that reads nothing holds it up for the close timeouts and no longer, and the client is told before",
    () =>
      Effect.gen(function* () {
        const { client, proxy } = yield* started(["--close-timeout", "300ms"], { paused: true })
        const sending = yield* Effect.forkChild(client.sendAll(new Pattern.Source(1)), { startImmediately: true })
        yield* heldBack(client)
        yield* proxy.signal("SIGTERM")
        const [exit, millis] = yield* timed(proxy.exit(15_000))
        yield* Fiber.join(sending)
        assert.deepStrictEqual(exit, { code: 0, signal: null })
        assert.strictEqual(client.closeCode, 1001)
        assert.isBelow(millis, unhurried)
      }),
    30_000
  )

  it.live(
    "a client that reads nothing holds it up for the close timeouts and no longer",
    () =>
      Effect.gen(function* () {
        const { client, proxy, target } = yield* started(["--close-timeout", "300ms"])
        client.pause()
        const sending = yield* Effect.forkChild(target.writeAll(new Pattern.Source(1)), { startImmediately: true })
        yield* heldBack(target)
        yield* proxy.signal("SIGTERM")
        const [exit, millis] = yield* timed(proxy.exit(15_000))
        yield* Fiber.join(sending)
        assert.deepStrictEqual(exit, { code: 0, signal: null })
        assert.isBelow(millis, unhurried)
      }),
    30_000
  )

  it.live(
    "a target gets all that was accepted from the client, also while it is sending itself",
    () =>
      Effect.gen(function* () {
        const all = yield* started()
        const { client, proxy, target } = all
        client.sink = () => {}
        const source = new Pattern.Source(1)
        const talking = yield* Effect.forkChild(target.writeAll(source), { startImmediately: true })
        target.pause()
        const total = 300_000
        yield* client.sendAll(Pattern.pieces(2, total))
        // the proxy has long read it: it sends on what the target says, and the target's system holds it
        yield* pass(200)
        yield* proxy.signal("SIGTERM")
        yield* client.until("close 1001", soon)
        yield* client.sendClose(1001)
        yield* client.end()
        yield* pass(100)
        const checker = new Pattern.Checker(2)
        target.sink = (chunk) => checker.push(chunk)
        target.resume()
        yield* target.watch.until("the end", () => target.over, soon)
        source.stop()
        yield* Fiber.join(talking)
        assert.strictEqual(checker.fault, undefined)
        assert.strictEqual(checker.received, total)
        assert.strictEqual(target.log[0], "end", "the target's FIN is no reset")
        yield* target.end()
        assert.deepStrictEqual(yield* proxy.exit(15_000), { code: 0, signal: null })
      }),
    30_000
  )

  it.live("a target that has not read it all when the close timeout passes still gets it, and FIN", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* started(["--close-timeout", "300ms"], { paused: true })
      const total = 50_000
      yield* client.sendAll(Pattern.pieces(4, total))
      yield* client.send(Frames.ping, "")
      yield* client.until("pong", soon)
      yield* proxy.signal("SIGTERM")
      yield* client.until("close 1001", soon)
      yield* client.sendClose(1001)
      yield* client.until("end", soon)
      yield* client.end()
      assert.deepStrictEqual(yield* proxy.exit(), { code: 0, signal: null })
      target.resume()
      yield* target.watch.until("the end", () => target.over, soon)
      assert.strictEqual(target.received, total)
      assert.deepStrictEqual(target.log, ["end"])
    })
  )

  it.live("what the client sends before it learns of the end reaches the target", () =>
    Effect.gen(function* () {
      const all = yield* started()
      const { client, proxy, target } = all
      const source = new Pattern.Source(3, 1000)
      const sending = yield* Effect.forkChild(
        Effect.forEach(source, (piece) => Effect.andThen(client.send(Frames.binary, piece), pass(1)), {
          discard: true
        }),
        { startImmediately: true }
      )
      yield* target.untilReceived(50_000)
      yield* proxy.signal("SIGTERM")
      yield* client.until("close 1001", soon)
      source.stop()
      yield* Fiber.join(sending)
      yield* politely(all)
      assert.strictEqual(target.received, source.sent)
      assert.isTrue(target.bytes.equals(Pattern.bytes(3, source.sent)))
      assert.deepStrictEqual(yield* proxy.exit(), { code: 0, signal: null })
    })
  )

  it.live("a request whose target is still being dialled gets 503", () =>
    Effect.gen(function* () {
      const proxy = yield* CommandLine.proxy(yield* DeafTarget.make, "--dial-timeout", "30s")
      const client = yield* RawClient.request(proxy.port)
      // it is being dialled: nothing says so, but the proxy answers others meanwhile
      const other = yield* RawClient.request(proxy.port, { headers: ["Origin: https://elsewhere.example"] })
      yield* other.until("403", soon)
      yield* other.end()
      assert.strictEqual(client.received, 0)
      yield* proxy.signal("SIGTERM")
      yield* client.until("503", soon)
      yield* client.end()
      assert.deepStrictEqual(yield* proxy.exit(), { code: 0, signal: null })
    })
  )
})
