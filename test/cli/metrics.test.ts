/**
 * `--metrics`: what is counted, for who watches a server, of one process and of several.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { close, text } from "../connection/connected.ts"
import { ask, upgraded } from "../server/wire.ts"
import { listening, type Running } from "./command.ts"
import { untold } from "./mistake.ts"
import { canLook, childrenOf, until } from "./processes.ts"

/** The port that it is said to be at. */
const portOf = Effect.fnUntraced(function* ({ stderr }: Running) {
  const said = () => /Metrics are at http:\/\/127\.0\.0\.1:(\d+)\/metrics/.exec(stderr())
  yield* until("it says where the metrics are", () => said() !== null)
  return Number(said()![1])
})

const scrape = (port: number, request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") =>
  Effect.scoped(ask(port, request))

/** The values of the lines that it consists of; chunks of a body are lines of their own. */
const values = (port: number) =>
  Effect.map(
    Effect.promise(async () => (await fetch(`http://127.0.0.1:${port}/metrics`)).text()),
    (body) => new Map(body.split("\n").map((line) => line.split(" ") as [string, string]))
  )

/** Waits until the numbers are these, and says what they are if they never are. */
const eventually = (port: number, expected: Readonly<Record<string, string>>) =>
  Effect.suspend(() => {
    let now = new Map<string, string>()
    const look = Effect.gen(function* () {
      while (!Object.entries(expected).every(([name, value]) => now.get(name) === value)) {
        yield* Effect.sleep("20 millis")
        now = yield* values(port)
      }
      return now
    })
    const never = Effect.sync(() => assert.fail(`never ${JSON.stringify(expected)}: ${JSON.stringify([...now])}`))
    return Effect.timeoutOrElse(look, { duration: "30 seconds", orElse: () => never })
  })

const client = Effect.fnUntraced(function* (port: number) {
  const wire = yield* upgraded(port)
  wire.send(text("12345"))
  yield* wire.next
  return wire
})

const part = (wire: Effect.Success<ReturnType<typeof client>>) =>
  Effect.gen(function* () {
    wire.send(close(1000))
    yield* wire.next
    wire.end()
    yield* wire.ended
  })

describe("--metrics", { timeout: 120_000 }, () => {
  it.live("tells what one process counts, to GET /metrics and nothing else", () =>
    Effect.gen(function* () {
      const running = yield* listening("echo", "0", "--metrics", "0")
      const port = yield* portOf(running)
      const [one, two] = [yield* client(running.port), yield* client(running.port)]
      yield* eventually(port, { websocket_connections: "2" })
      yield* part(one)
      const now = yield* eventually(port, { websocket_connections: "1", 'websocket_closes_total{key="1000"}': "1" })
      assert.isFalse(now.has("websocket_workers"))
      yield* part(two)
      const answer = yield* scrape(port)
      assert.strictEqual(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
      for (const [request, status] of [
        ["GET / HTTP/1.1", 404],
        ["GET /metrics/more HTTP/1.1", 404],
        ["POST /metrics HTTP/1.1", 405],
        ["GET /metrics?x=1 HTTP/1.1", 200]
      ] as const) {
        const { headers, ...got } = yield* scrape(port, `${request}\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
        assert.strictEqual(got.status, status, request)
        assert.strictEqual(headers["allow"], status === 405 ? "GET, HEAD" : undefined)
      }
      yield* running.kill("SIGTERM")
      assert.strictEqual((yield* running.ended).code, 0)
    })
  )

  it.live.runIf(canLook)("tells what all workers count, and what those counted that died", () =>
    Effect.gen(function* () {
      const running = yield* listening("echo", "0", "--metrics", "0", "--workers", "2")
      const port = yield* portOf(running)
      const wires = yield* Effect.forEach([1, 2, 3, 4], () => client(running.port))
      yield* eventually(port, { websocket_workers: "2", websocket_connections: "4" })
      yield* part(wires[0]!)
      yield* part(wires[1]!)
      // four messages in frames of 11 bytes, and two Close frames of 8
      const counted = { websocket_received_bytes_total: "60", 'websocket_closes_total{key="1000"}': "2" }
      yield* eventually(port, { ...counted, websocket_connections: "2" })
      const before = childrenOf(running.pid)
      process.kill(before[0]!, "SIGKILL")
      // the other has a connection, and the dead one's are gone with it
      yield* eventually(port, {
        websocket_workers: "2",
        websocket_worker_restarts_total: "1",
        websocket_connections: "1",
        'websocket_closes_total{key="1000"}': "2"
      })
      // one that ends in order tells all that it counted
      process.kill(before[1]!, "SIGTERM")
      const last = wires[3]!
      yield* last.next
      last.send(close(1001))
      last.end()
      yield* eventually(port, {
        websocket_workers: "2",
        websocket_worker_restarts_total: "2",
        websocket_connections: "0",
        'websocket_closes_total{key="1000"}': "2",
        'websocket_closes_total{key="1001"}': "1"
      })
      yield* running.kill("SIGTERM")
      assert.strictEqual((yield* running.ended).code, 0)
    })
  )

  it.live("is told where it cannot be", () =>
    Effect.gen(function* () {
      const { port } = yield* listening("echo", "0")
      assert.strictEqual(
        yield* untold([
          [
            ["echo", "0", "--metrics", "here"],
            ["--metrics", '"here"']
          ],
          [
            ["echo", "0", "--metrics", "unix:/tmp/x"],
            ["--metrics", "unix"]
          ],
          [["echo", "0", "--metrics", String(port)], ["port is in use"]],
          [["echo", "0", "--workers", "2", "--metrics", String(port)], ["port is in use"]]
        ]),
        ""
      )
    })
  )
})
