/**
 * Redis behind the proxy: clients that speak TCP come to it through the tunnel of `examples/tunnel.ts`.
 */
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { afterAll, assert, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redis from "effect/persistence/Redis"
import { execFileSync } from "node:child_process"
import { once } from "node:events"
import { createClient, RESP_TYPES } from "redis"
import { WebSocket } from "ws"
import { serve } from "../examples/program.ts"
import { has, needs } from "../installed.ts"
import { certificate, path } from "../tls/openssl.ts"
import { type Program, start, type Started } from "../started.ts"
import type { Command } from "./command.ts"
import { recipe } from "./recipe.ts"
import { until } from "./until.ts"

const server: Program = {
  name: "redis-server",
  args: (port, file) =>
    `--port ${port} --bind 127.0.0.1 --unixsocket ${file}.sock --appendonly no --save`.split(" ").concat("")
}

/** Redis, the proxy in front of it, and the tunnel that leads there. */
const started = async (
  proxyOf = (redis: Started): Promise<Command> => recipe("redis", { "localhost:6379": redis.address })
) => {
  await using stack = new AsyncDisposableStack()
  const redis = stack.use(await start(server))
  const proxy = stack.use(await proxyOf(redis))
  const url = `ws://127.0.0.1:${proxy.port}`
  const tunnel = stack.use(await serve("tunnel", { URL: url }))
  const held = stack.move()
  return { redis, url, tunnel, [Symbol.asyncDispose]: () => held.disposeAsync() }
}

const connect = async (url: string) => {
  const client = createClient({ url: url.replace("tcp:", "redis:"), socket: { reconnectStrategy: false } })
  client.on("error", () => {})
  await client.connect()
  return Object.assign(client, { [Symbol.dispose]: () => client.destroy() })
}

/** Commands in Redis' own protocol, through a WebSocket and nothing else. */
const direct = async (url: string) => {
  const socket = new WebSocket(url)
  const closed = once(socket, "close")
  let text = ""
  socket.on("message", (data: Buffer) => (text += data.toString("latin1")))
  await once(socket, "open")
  return {
    socket,
    closed,
    until: (what: string) => until(`${what} in ${text.slice(-200)}`, () => text.includes(what))
  }
}

const MiB = 1024 * 1024

beforeEach(needs("redis-server"))

describe("Redis", () => {
  let system: Awaited<ReturnType<typeof started>>
  beforeAll(async () => {
    if (has("redis-server")) system = await started()
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  it("answers a pipeline of 10,000 commands in their order", async () => {
    using client = await connect(system.tunnel.url)
    const count = 10_000
    const answers = await Promise.all(Array.from({ length: count }, (_, i) => client.incrBy("sum", i)))
    let sum = 0
    assert.deepStrictEqual(
      answers,
      Array.from({ length: count }, (_, i) => (sum += i))
    )
  })

  it("stores a value of 32 MiB and gives it back", async () => {
    using client = await connect(system.tunnel.url)
    const value = Buffer.alloc(32 * MiB, Buffer.from(Uint8Array.from({ length: 251 }, (_, i) => i)))
    await client.set("large", value)
    const back = await client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer }).get("large")
    assert.isTrue(value.equals(back!))
  })

  it("tells subscribers what is published, each message once and in order", async () => {
    using publisher = await connect(system.tunnel.url)
    const count = 2000
    const expected = Array.from({ length: count }, (_, i) => `message ${i} ✓`)
    const subscribers = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const client = await connect(system.tunnel.url)
        const heard: Array<string> = []
        await client.subscribe("news", (message) => heard.push(message))
        return { client, heard }
      })
    )
    await Promise.all(expected.map((message) => publisher.publish("news", message)))
    for (const { client, heard } of subscribers) {
      await until("the messages", () => heard.length >= count)
      assert.deepStrictEqual(heard, expected)
      client.destroy()
    }
  })

  it("is watched with MONITOR while others work, and nothing is left out", async () => {
    using client = await connect(system.tunnel.url)
    using watcher = await connect(system.tunnel.url)
    const seen: Array<string> = []
    await watcher.monitor((line) => seen.push(String(line)))
    const count = 5000
    await Promise.all(Array.from({ length: count }, (_, i) => client.set(`key-${i}`, "value")))
    await until("the last command", () => seen.length >= count)
    assert.deepStrictEqual(
      seen.map((line) => /"key-\d+"/.exec(line)?.[0]),
      Array.from({ length: count }, (_, i) => `"key-${i}"`)
    )
  })

  it("serves an Effect program as it would over TCP", async () => {
    const program = Effect.gen(function* () {
      const redis = yield* Redis.Redis
      yield* redis.send("SET", "greeting", "hello")
      return yield* redis.send<string>("GET", "greeting")
    })
    const layer = NodeRedis.layer({ url: system.tunnel.url.replace("tcp:", "redis:") })
    assert.strictEqual(await Effect.runPromise(Effect.provide(program, layer)), "hello")
  })
})

describe("Redis started for one test", () => {
  it("ends its connections with 1000 when it ends, and whoever waits is told", async () => {
    await using system = await started()
    using client = await connect(system.tunnel.url)
    const waiting = assertRejects(client.blPop("nothing", 0))
    const { closed, socket, until } = await direct(system.url)
    socket.send("PING\r\n")
    await until("+PONG")
    await system.redis[Symbol.asyncDispose]()
    const [code] = await closed
    assert.strictEqual(code, 1000)
    await waiting
  })

  it("killed before it has read everything, it is a failure: 1011", async () => {
    await using system = await started()
    const { closed, socket, until } = await direct(system.url)
    socket.send("PING\r\n")
    await until("+PONG")
    process.kill(system.redis.pid, "SIGSTOP")
    socket.send(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$${32 * MiB}\r\n`)
    socket.send(Buffer.alloc(32 * MiB))
    await system.redis[Symbol.asyncDispose]()
    const [code, reason] = await closed
    assert.deepStrictEqual([code, String(reason)], [1011, "the target failed"])
  })

  it("is reached at its unix socket", async () => {
    await using system = await started(({ file }) =>
      recipe("redis-unix", { "unix:/run/redis/redis-server.sock": `unix:${file}.sock` })
    )
    using client = await connect(system.tunnel.url)
    await client.set("greeting", "hello")
    assert.match(await client.clientInfo().then(({ addr }) => addr), /config\.sock:0$/)
    assert.strictEqual(await client.get("greeting"), "hello")
  })

  it("is for users with a password, on a network that others listen to", async (context) => {
    needs("openssl", "htpasswd")(context)
    const cert = certificate("server", { extensions: ["subjectAltName=IP:127.0.0.1"] })
    execFileSync("htpasswd", ["-b", "-c", "-B", path("users"), "ann", "secret"], { stdio: "ignore" })
    await using redis = await start(server)
    const own = {
      "localhost:6379": redis.address,
      "server.pem": cert,
      "server.key": path("server.key"),
      users: path("users")
    }
    await using proxy = await recipe("redis-users", own)
    const tunnelOf = (user: string) =>
      serve("tunnel", { URL: `wss://${user}@127.0.0.1:${proxy.port}`, NODE_EXTRA_CA_CERTS: path("server.crt") })
    await using tunnel = await tunnelOf("ann:secret")
    using client = await connect(tunnel.url)
    assert.strictEqual(await client.ping(), "PONG")
    await using wrong = await tunnelOf("ann:guess")
    await assertRejects(connect(wrong.url))
  })

  it("has another take its place while it is away", async () => {
    await using other = await start(server)
    await using system = await started((redis) =>
      recipe("redis-failover", { "redis-1:6379,redis-2:6379": `${redis.address},${other.address}` })
    )
    const portOf = async () => {
      using client = await connect(system.tunnel.url)
      return /tcp_port:(\d+)/.exec(await client.info("server"))?.[1]
    }
    assert.strictEqual(await portOf(), String(system.redis.port))
    await system.redis[Symbol.asyncDispose]()
    assert.strictEqual(await portOf(), String(other.port))
    await using again = await start(server, system.redis.port)
    await other[Symbol.asyncDispose]()
    assert.strictEqual(await portOf(), String(again.port))
  })

  it("takes new connections when it is back", async () => {
    await using system = await started()
    using before = await connect(system.tunnel.url)
    assert.strictEqual(await before.ping(), "PONG")
    await system.redis[Symbol.asyncDispose]()
    await assertRejects(connect(system.tunnel.url))
    await using again = await start(server, system.redis.port)
    using after = await connect(system.tunnel.url)
    assert.strictEqual(await after.ping(), "PONG")
    assert.strictEqual(again.port, system.redis.port)
  })
})

const assertRejects = (promise: Promise<unknown>) =>
  promise.then(
    (value) => assert.fail(`got ${String(value)}`),
    () => undefined
  )
