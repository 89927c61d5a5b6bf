/**
 * PostgreSQL behind the proxy, here PGlite's, and the driver that serverless functions reach one with over WebSocket.
 */
import { PGlite } from "@electric-sql/pglite"
import { PGLiteSocketServer } from "@electric-sql/pglite-socket"
import { Client, neonConfig, Pool } from "@neondatabase/serverless"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { request } from "node:http"
import { serve } from "../examples/program.ts"
import { recipe } from "./recipe.ts"
import { until } from "./until.ts"

let db: PGlite
beforeAll(async () => {
  db = await PGlite.create()
})
afterAll(() => db.close())

/** PGlite on a port, for as long as a test. */
const listen = async () => {
  const server = new PGLiteSocketServer({ db, host: "127.0.0.1", port: 0, maxConnections: 100 })
  await server.start()
  return {
    port: Number(server.getServerConn().split(":").at(-1)),
    stop: () => server.stop(),
    [Symbol.asyncDispose]: () => server.stop()
  }
}

interface Proxy {
  readonly port: number
}

/** The driver, set up as the page says. */
const configure = ({ port }: Proxy) => {
  const proxy = `127.0.0.1:${port}`
  neonConfig.wsProxy = (host, port) => `${proxy}/v1?address=${host}:${port}`
  neonConfig.useSecureWebSocket = false // ws:// and not wss://
  neonConfig.pipelineConnect = false
  neonConfig.pipelineTLS = false
}

const started = async () => {
  await using stack = new AsyncDisposableStack()
  const server = stack.use(await listen())
  configure(stack.use(await recipe("postgres", { "localhost:5432": `127.0.0.1:${server.port}` })))
  const held = stack.move()
  const address = { host: "127.0.0.1", port: server.port, user: "postgres", database: "postgres" }
  return { server, address, [Symbol.asyncDispose]: () => held.disposeAsync() }
}

/** A connection, which PGlite does not end when it is told goodbye, but when it stops. */
const connect = async (address: ConstructorParameters<typeof Client>[0]) => {
  const client = new Client(address)
  client.on("error", () => {})
  await client.connect()
  return client
}

/** What a request for a target is answered with. */
const statusOf = (proxy: Proxy, address: string) =>
  new Promise<number | undefined>((resolve, reject) => {
    const path = `/v1?address=${encodeURIComponent(address)}`
    const headers = {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="
    }
    const asking = request({ host: "127.0.0.1", port: proxy.port, path, headers })
    asking.on("response", (response) => resolve(response.resume().statusCode))
    asking.on("upgrade", (response, socket) => {
      socket.destroy()
      resolve(response.statusCode)
    })
    asking.on("error", reject).end()
  })

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "no error",
    (error: { readonly code?: string }) => error.code
  )

describe("PostgreSQL", () => {
  let system: Awaited<ReturnType<typeof started>>
  beforeAll(async () => {
    system = await started()
  })
  afterAll(() => system[Symbol.asyncDispose]())

  it("answers queries, plain, with values and prepared", async () => {
    const client = await connect(system.address)
    assert.deepStrictEqual((await client.query("select 1 as one, null as nothing")).rows, [{ one: 1, nothing: null }])
    assert.deepStrictEqual((await client.query("select $1::text || $2::text as text", ["κόσ", "με"])).rows, [
      { text: "κόσμε" }
    ])
    for (let i = 0; i < 50; i++) {
      const prepared = { name: "plus", text: "select $1::int + $2::int as sum", values: [i, i] }
      assert.deepStrictEqual((await client.query(prepared)).rows, [{ sum: 2 * i }])
    }
    assert.lengthOf((await client.query("select * from generate_series(1, 20000)")).rows, 20_000)
  })

  it("tells errors as they are, and goes on", async () => {
    const client = await connect(system.address)
    assert.strictEqual(await codeOf(client.query("select nothing from nowhere")), "42P01")
    assert.strictEqual(await codeOf(client.query("select 1 / $1::int", [0])), "22012")
    assert.deepStrictEqual((await client.query("select 1 as one")).rows, [{ one: 1 }])
  })

  it("commits and rolls back", async () => {
    const client = await connect(system.address)
    await client.query("create table account (name text primary key, amount int check (amount >= 0))")
    await client.query("begin")
    await client.query("insert into account values ('ann', 100), ('bob', 0)")
    await client.query("commit")
    await client.query("begin")
    await client.query("update account set amount = amount + 200 where name = 'bob'")
    assert.strictEqual(
      await codeOf(client.query("update account set amount = amount - 200 where name = 'ann'")),
      "23514"
    )
    await client.query("rollback")
    assert.deepStrictEqual((await client.query("select * from account order by name")).rows, [
      { name: "ann", amount: 100 },
      { name: "bob", amount: 0 }
    ])
  })

  it("stores a row of 5 MB and gives it back", async () => {
    const client = await connect(system.address)
    const bytes = Buffer.alloc(5_000_000, Buffer.from(Uint8Array.from({ length: 251 }, (_, i) => i)))
    await client.query("create table file (id int, bytes bytea)")
    await client.query("insert into file values ($1, $2)", [1, bytes])
    const { rows } = await client.query<{ bytes: Buffer }>("select bytes from file where id = $1", [1])
    assert.isTrue(bytes.equals(rows[0]!.bytes))
  })

  it("notifies who listens", async () => {
    const client = await connect(system.address)
    const heard: Array<string | undefined> = []
    client.on("notification", ({ payload }) => heard.push(payload))
    await client.query("listen news")
    for (const news of ["one", "two"]) await client.query("select pg_notify('news', $1)", [news])
    await until("the news", () => heard.length === 2)
    assert.deepStrictEqual(heard, ["one", "two"])
  })

  it("serves a pool of connections", async () => {
    const pool = new Pool({ ...system.address, max: 10 })
    pool.on("error", () => {})
    const results = await Promise.all(
      Array.from({ length: 200 }, (_, i) => pool.query<{ i: number }>("select $1::int as i", [i]))
    )
    assert.deepStrictEqual(
      results.map(({ rows }) => rows[0]?.i),
      Array.from({ length: 200 }, (_, i) => i)
    )
    assert.strictEqual(pool.totalCount, 10)
  })

  it("ends its connections when it stops, and whoever says goodbye hears it", async () => {
    const client = await connect(system.address)
    const ended = client.end()
    await system.server.stop()
    await ended
    // a connection is refused before it is a WebSocket, and the driver knows no more than that
    assert.strictEqual(await codeOf(connect(system.address)), undefined)
  })
})

/** Proxies of targets that clients name, of those that are allowed. */
const choosing = {
  "the command line": (allow: string) => recipe("postgres-from-client", { "db.internal:5432": allow }),
  "an Effect program": async (allow: string) => {
    const program = await serve("client-targets", { ALLOW: allow })
    return { port: Number(new URL(program.url).port), [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() }
  }
}

describe.each(Object.entries(choosing))("PostgreSQL behind %s", (_, allowing) => {
  it("is the one that the driver names, of those that are allowed", async () => {
    await using server = await listen()
    await using other = await listen()
    const allowed = `127.0.0.1:${server.port}`
    await using proxy = await allowing(allowed)
    configure(proxy)
    const address = { host: "127.0.0.1", user: "postgres", database: "postgres" }
    const client = await connect({ ...address, port: server.port })
    assert.deepStrictEqual((await client.query("select 1 as one")).rows, [{ one: 1 }])
    // which is there, and not for it
    assert.strictEqual(await codeOf(connect({ ...address, port: other.port })), undefined)
    assert.strictEqual(await statusOf(proxy, `127.0.0.1:${other.port}`), 403)
    assert.strictEqual(await statusOf(proxy, allowed), 101)
  })

  it("cannot be named by what leads to this machine, where that is not allowed in particular", async () => {
    await using server = await listen()
    const { port } = server
    await using proxy = await allowing(`*:${port}`)
    const names = `127.0.0.1 localhost LOCALHOST 127.1 0 0.0.0.0 2130706433 0x7f.1 017700000001 127.0.0.1.
      [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [64:ff9b::7f00:1] 169.254.169.254 [fe80::1] 2852039166`
    for (const name of names.split(/\s+/)) {
      assert.include([400, 403], await statusOf(proxy, `${name}:${port}`), name)
    }
  })
})
