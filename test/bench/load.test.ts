/**
 * The load generator of the benchmark, against servers that are wrong in one way: a number that it gives can be believed
 * only if it notices.
 */
import { assert, describe, it } from "@effect/vitest"
import { start } from "../../bench/agent.ts"
import type { LoadCommands, LoadOptions } from "../../bench/load.ts"
import { startServer } from "../../bench/server.ts"

const seconds = 30

/** A server of a few words: `serve` has the body of its connection listener, with `socket` in it and `state` for all. */
const withServer = async <A>(
  serve: string,
  options: Pick<LoadOptions, "mode">,
  use: (call: ReturnType<typeof start<LoadCommands>>["call"]) => Promise<A>
): Promise<A> => {
  const program = `
    const state = {}
    const server = require("node:net").createServer({ noDelay: true }, (socket) => { socket.on("error", () => {}); ${serve} })
    server.listen(0, "127.0.0.1", () => console.log("ready tcp://127.0.0.1:" + server.address().port))`
  await using server = await startServer(["node", "-e", program])
  await using load = start<LoadCommands>("load.ts")
  const { host, pid, port, scheme } = server
  const whole: LoadOptions = { scheme, host, port, boundaries: true, size: 100, depth: 2, ...options }
  await load.call("prepare", { server: pid, options: whole }, seconds)
  await load.call("open", 4, seconds)
  return await use(load.call)
}

const failure = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "none",
    (error: unknown) => (error instanceof Error ? error.message : String(error))
  )

const echo = `socket.pipe(socket)`
const broadcast = `
  state.all = [...(state.all ?? []), socket]
  socket.on("data", (data) => { for (const each of state.all) each.write(data) })`
/** As many messages as there should be, but the last connection's goes to the first. */
const astray = broadcast.replace("of state.all", "of [state.all[0], ...state.all.slice(0, -1)]")
/** For a while, nothing is answered. */
const stall = `
  socket.on("data", (data) => {
    state.until ??= performance.now() + 400
    setTimeout(() => socket.write(data), Math.max(0, state.until - performance.now()))
  })`

describe("the load generator", () => {
  it("charges a server that stalls for all messages that were due meanwhile", async () => {
    await withServer(stall, { mode: "latency" }, async (call) => {
      const count = await call("run", { seconds: 1, width: 0, rate: 200 }, seconds)
      const { p50, p99 } = await call("latencies", undefined, seconds)
      assert.isAbove(count, 50)
      assert.isAbove(p99, 0.3)
      assert.isAtMost(p50, p99)
      // asked again, it knows of none
      assert.strictEqual((await call("latencies", undefined, seconds)).p99, 0)
    })
  })

  it("has one message in flight over all connections where they take turns", async () => {
    const oneAtATime = `socket.on("data", (data) => {
      if (data.length > 100 || state.busy) return socket.destroy()
      state.busy = true
      setImmediate(() => { state.busy = false; socket.write(data) })
    })`
    const count = await withServer(oneAtATime, { mode: "turns" }, (call) =>
      call("run", { seconds: 0.3, width: 0 }, seconds)
    )
    assert.isAbove(count, 4)
  })

  it("counts a broadcast when all connections have it, and tells of one that has another's", async () => {
    const run = (serve: string) =>
      withServer(serve, { mode: "broadcast" }, (call) => call("run", { seconds: 0.3, width: 0 }, seconds))
    // four connections, two messages in flight
    assert.strictEqual((await run(broadcast)) % 8, 0)
    assert.match(await failure(run(astray)), /did not get each/)
  })

  it("exchanges as many messages as are asked for on connections that are new", async () => {
    const counting = `
      state.bytes ??= 0
      socket.on("data", (data) => { if ((state.bytes += data.length) <= 8 * 3 * 100) socket.write(data) })`
    await withServer(counting, { mode: "idle" }, async (call) => {
      await call("exchange", 3, seconds)
      await call("open", 4, seconds)
      await call("exchange", 3, seconds)
    })
  })

  it("opens and closes exactly so many connections", async () => {
    assert.strictEqual(
      await withServer(echo, { mode: "handshake" }, (call) =>
        call("run", { seconds: 0, width: 3, count: 20 }, seconds)
      ),
      20
    )
  })
})
