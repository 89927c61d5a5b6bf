/** Targets that Redis has, with a real one of Debian's (`redis-server`). */
import { assert, beforeEach, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import { execFileSync } from "node:child_process"
import * as Net from "node:net"
import * as NodeRedisTokenSource from "../../src/node/NodeRedisTokenSource.ts"
import * as TokenSource from "../../src/proxy/TokenSource.ts"
import { createClient } from "redis"
import { needs } from "../installed.ts"
import * as Proxy from "../proxy/proxy.ts"
import * as RawClient from "../proxy/rawClient.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { fails, says } from "../proxy/says.ts"
import { redis } from "./redis.ts"
import { warned } from "./warned.ts"

const { make } = NodeRedisTokenSource

/** A client that fills it. */
const filling = (port: number) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const client = createClient({ url: `redis://127.0.0.1:${port}` })
      client.on("error", () => {})
      await client.connect()
      return client
    }),
    (client) => Effect.sync(() => client.destroy())
  )

/** A server that accepts and says nothing, and what tells that it was asked, and that whoever asked is gone. */
const silent = Effect.gen(function* () {
  const asked = Deferred.makeUnsafe<void>()
  const left = Deferred.makeUnsafe<void>()
  const sockets = new Set<Net.Socket>()
  const server = yield* Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const server = Net.createServer((socket) => {
        sockets.add(socket)
        socket
          .on("error", () => {})
          .on("data", () => Deferred.doneUnsafe(asked, Exit.void))
          .on("close", () => Deferred.doneUnsafe(left, Exit.void))
      }).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        server.close()
        for (const socket of sockets) socket.destroy()
      })
  )
  // net.Server gives an AddressInfo for a port
  const { port } = server.address() as Net.AddressInfo
  return { url: `redis://127.0.0.1:${port}`, asked: Deferred.await(asked), left: Deferred.await(left) }
})

describe("Redis as a source of tokens", { timeout: 60_000 }, () => {
  beforeEach(needs("redis-server"))

  it.live("has targets as text or JSON, by the token alone or behind a prefix, and in a database", () =>
    Effect.gen(function* () {
      const { port } = yield* redis()
      const client = yield* filling(port)
      yield* Effect.promise(async () => {
        await client.set("ann", "a:1")
        await client.set("bob", '{"host":"::1","port":2}')
        await client.set("cid", '{"host":"10.0.0.1:5900"}')
        await client.set("both", "a:1,b:2")
        await client.set("tokens:ann", "p:1")
        await client.set("empty", "")
        await client.select(3)
        await client.set("ann", "three:1")
      })
      const url = `redis://127.0.0.1:${port}`
      const source = yield* make({ url })
      assert.strictEqual(yield* says(source, "ann"), "a:1")
      assert.strictEqual(yield* says(source, "bob"), "[::1]:2")
      assert.strictEqual(yield* says(source, "cid"), "10.0.0.1:5900")
      assert.strictEqual(yield* says(source, "both"), "a:1,b:2")
      for (const token of ["none", "empty", "an*", "ann\r\nGET ann", "\0"])
        assert.isUndefined(yield* says(source, token))
      assert.strictEqual(yield* says(yield* make({ url, prefix: "tokens:" }), "ann"), "p:1")
      assert.strictEqual(yield* says(yield* make({ url: `${url}/3` }), "ann"), "three:1")
      yield* Effect.promise(() => client.select(0).then(() => client.set("ann", "new:1")))
      assert.strictEqual(yield* says(source, "ann"), "new:1")
    })
  )

  it.live("fails, without a word of the token or the value, where a value is no target", () =>
    Effect.gen(function* () {
      const { port } = yield* redis()
      const client = yield* filling(port)
      yield* Effect.promise(async () => {
        await client.set("text", "secret-value")
        await client.set("unix", "unix:/run/secret")
        await client.set("large", "x".repeat(1_000_000))
        await client.lPush("list", "a:1")
      })
      const source = yield* make({ url: `redis://127.0.0.1:${port}` })
      for (const token of ["text", "unix"]) {
        assert.match(yield* fails(source, token), /^Redis: a value cannot be used: expected [^s]*host:port.{0,80}$/)
      }
      assert.strictEqual(yield* fails(source, "large"), "Redis: a value cannot be used: expected at most 4096 bytes")
      assert.match(yield* fails(source, "list"), /^Redis: it does not answer/)
    })
  )

  it.live("a value is read whole or not at all: what is left of a longer one may be another target", () =>
    Effect.gen(function* () {
      const { port } = yield* redis()
      const client = yield* filling(port)
      yield* Effect.promise(async () => {
        await client.set("whole", "b.internal:59001".padStart(4096))
        await client.set("longer", "b.internal:59001".padStart(4098))
      })
      const source = yield* make({ url: `redis://127.0.0.1:${port}` })
      assert.strictEqual(yield* says(source, "whole"), "b.internal:59001")
      assert.strictEqual(yield* fails(source, "longer"), "Redis: a value cannot be used: expected at most 4096 bytes")
    })
  )

  for (const timeout of ["60 days", "Infinity"] as const) {
    it.live(`may take ${timeout}, which is longer than a timer of Node's`, () =>
      Effect.gen(function* () {
        const warnings = yield* warned
        const { port } = yield* redis()
        const source = yield* make({ url: `redis://127.0.0.1:${port}`, timeout })
        assert.isUndefined(yield* says(source, "ann"))
        assert.deepStrictEqual(yield* warnings, [])
      })
    )
  }

  it.live("fails while it is away, and answers when it is back", () =>
    Effect.gen(function* () {
      const lines: Array<unknown> = []
      const scope = yield* Scope.fork(yield* Effect.scope)
      const { port } = yield* Scope.provide(redis(), scope)
      yield* Effect.gen(function* () {
        const source = yield* make({ url: `redis://127.0.0.1:${port}`, timeout: "2 seconds" })
        assert.isUndefined(yield* says(source, "ann"))
        yield* Scope.close(scope, Exit.void)
        assert.match(yield* fails(source, "ann"), /^Redis: it does not answer/)
        const back = yield* redis(port)
        const client = yield* filling(back.port)
        yield* Effect.promise(() => client.set("ann", "a:1"))
        yield* Effect.sleep(10).pipe(
          Effect.andThen(Effect.exit(says(source, "ann"))),
          Effect.repeat({ until: Exit.isSuccess }),
          Effect.timeout("20 seconds")
        )
        assert.strictEqual(yield* says(source, "ann"), "a:1")
      }).pipe(Effect.provide(Logger.layer([Logger.make(({ message }) => void lines.push(message))])))
      assert.deepStrictEqual(lines, [], "the client's own log, with its stacks, is not ours")
    })
  )

  it.live("has to be there at first, and to let us in", () =>
    Effect.gen(function* () {
      const nobody = yield* RawTarget.nobody
      const failure = (url: string) => Effect.map(Effect.flip(Effect.scoped(make({ url }))), ({ message }) => message)
      assert.match(yield* failure(`redis://${nobody}`), /^Redis: it cannot be connected to \(ECONNREFUSED\)$/)
      const { port } = yield* redis()
      const client = yield* filling(port)
      yield* Effect.promise(() => client.configSet("requirepass", "secret-password"))
      assert.match(yield* failure(`redis://:wrong-secret@127.0.0.1:${port}`), /^Redis: it cannot be connected to/)
      assert.notInclude(yield* failure(`redis://:wrong-secret@127.0.0.1:${port}`), "secret")
      yield* Effect.scoped(make({ url: `redis://:secret-password@127.0.0.1:${port}` }))
      for (const url of ["", "localhost", "http://localhost", "redis://"]) {
        assert.match(yield* failure(url), /expected an address/)
      }
    })
  )

  it.live("has so many questions wait and no more: a thousand unless told", () =>
    Effect.gen(function* () {
      const { port } = yield* redis()
      const client = yield* filling(port)
      yield* Effect.promise(() => client.configSet("requirepass", "secret"))
      // all that there may be to ask as it connects
      const url = `redis://default:secret@127.0.0.1:${port}/3`
      const asking = (source: TokenSource.TokenSource["Service"], count: number) =>
        Effect.map(
          Effect.forEach(
            Array.from({ length: count }, (_, i) => `t${i}`),
            (token) => Effect.exit(says(source, token)),
            { concurrency: "unbounded" }
          ),
          (exits) => exits.filter(Exit.isFailure).length
        )
      const few = yield* make({ url, maxPending: 10 })
      assert.strictEqual(yield* asking(few, 12), 2)
      assert.strictEqual(yield* asking(few, 10), 0)
      assert.strictEqual(yield* asking(yield* make({ url }), 1001), 1)
    })
  )

  it.live("stands behind a proxy", () =>
    Effect.gen(function* () {
      const { port } = yield* redis()
      const client = yield* filling(port)
      const listener = yield* RawTarget.listen()
      yield* Effect.promise(() => client.set("desk:ann", String(listener.target)))
      const source = yield* make({ url: `redis://127.0.0.1:${port}`, prefix: "desk:" })
      const proxy = yield* Proxy.serve({ target: TokenSource.routeOf(source) })
      yield* RawClient.open(proxy.port, { path: "/?token=ann" })
      yield* listener.accept
      yield* (yield* RawClient.request(proxy.port, { path: "/?token=bob" })).until("404")
    })
  )
})

describe("a Redis that accepts and says nothing", { timeout: 60_000 }, () => {
  it.live("is not waited for longer than it is said", () =>
    Effect.gen(function* () {
      const { asked, url } = yield* silent
      const error = yield* Effect.flip(make({ url, timeout: "300 millis" }))
      assert.match(error.message, /does not answer in time$/)
      yield* asked
    })
  )

  it.live("is not waited for by who gives up before", () =>
    Effect.gen(function* () {
      const { asked, left, url } = yield* silent
      const connecting = yield* Effect.forkChild(make({ url, timeout: "1 hour" }))
      yield* asked
      yield* Fiber.interrupt(connecting)
      yield* left
    })
  )
})

describe("the client for Redis", () => {
  it("is not loaded by who does not use it, and neither is what reads JSON Web Tokens", () => {
    const source = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href)
    const hook = `
      import { registerHooks } from "node:module"
      globalThis.loaded = []
      registerHooks({
        load: (url, context, next) => {
          if (/node_modules\\/(redis|@redis|jose)\\//.test(url)) globalThis.loaded.push(url)
          return next(url, context)
        }
      })`
    const program = `
      await import(${source("index.ts")})
      await import(${source("node/index.ts")})
      console.log(globalThis.loaded.length)
      await import("jose")
      console.log(globalThis.loaded.length > 0)`
    const output = execFileSync(
      process.execPath,
      ["--import", `data:text/javascript,${encodeURIComponent(hook)}`, "--input-type=module", "-e", program],
      { encoding: "utf8", cwd: new URL("../..", import.meta.url) }
    )
    assert.strictEqual(output, "0\ntrue\n")
  })
})
