/**
 * Our client with servers of other makes, and the tunnel and the proxy with what is put between them: reverse proxies, TLS before
 * them, and the gateway that ours takes the place of.
 *
 * The servers are under `servers/`. Each sends back what it is sent, but for a few words: `!close CODE REASON`, `!ping`, of whose pong it
 * tells, `!fragments`, and `!drop`, which ends the connection and no more. It prints how each connection was closed, and answers
 * a path that is a number with that status.
 */
import { afterAll, assert, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { execFile, execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import * as Net from "node:net"
import { dirname } from "node:path"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import type { Asking, WebSocketClient } from "../../src/client/WebSocketClient.ts"
import type * as NodeWebSocketClient from "../../src/node/NodeWebSocketClient.ts"
import type { WebSocket } from "../../src/connection/WebSocket.ts"
import { make } from "../client/client.ts"
import { find, lacking, needs } from "../installed.ts"
import { Checker, hashOf, pieces } from "../proxy/pattern.ts"
import { type Program, start, type Started } from "../started.ts"
import { certificate, path as fileOf, write } from "../tls/openssl.ts"
import { command } from "./command.ts"

const MiB = 1024 * 1024

const python = "/usr/bin/python3"
const scriptOf = (name: string) => fileURLToPath(new URL(`servers/${name}`, import.meta.url))

type Needs = (context: { readonly skip: (reason: string) => void }) => void

/** For `beforeAll`, which skips no tests. */
const isLacking = (needs: Needs): boolean => {
  let lacks = false
  needs({ skip: () => (lacks = true) })
  return lacks
}

/** For `beforeEach`: skips the tests where the interpreter finds no such module. */
const needsModule = (name: string, interpreter: string, ...args: ReadonlyArray<string>): Needs => {
  let isThere = true
  try {
    execFileSync(interpreter, args, { stdio: "ignore" })
  } catch {
    isThere = false
  }
  return ({ skip }) => {
    if (!isThere) skip(lacking(`${name} is not installed`))
  }
}

interface Server extends Program {
  readonly needs: Needs
  /** `false` where a program cannot ask for a ping. */
  readonly pings?: false
  /** Whether it can be told to send fragments. */
  readonly fragments?: true
  /** Whether it has permessage-deflate. */
  readonly compresses?: true
  /** What of a Close it tells its program. */
  readonly tells: RegExp
  /** What its framework lets its program close with. */
  readonly codes: ReadonlyArray<number>
}

const codes = [1000, 1001, 1011, 4001]

const inPython = (
  name: string,
  args: (port: number, file: string) => ReadonlyArray<string>,
  rest: Omit<Server, "name" | "path" | "args" | "needs" | "codes">,
  imported = name
): Server => ({
  name,
  path: python,
  args: (port, file) => [scriptOf(`${name}_echo.py`), ...args(port, file)],
  needs: needsModule(`${name} for Python`, python, "-c", `import ${imported}`),
  codes,
  ...rest
})

const websockets = (...chosen: ReadonlyArray<string>): Server =>
  inPython("websockets", (port) => [String(port), ...chosen], {
    compresses: true,
    fragments: true,
    tells: /^closed 3001 enough ✓$/
  })

const tornado = inPython("tornado", (port) => [String(port)], { compresses: true, tells: /^closed 3001 enough ✓$/ })

const aiohttp = inPython("aiohttp", (port, file) => [String(port), `${file}.sock`], {
  compresses: true,
  tells: /^closed 3001$/
})

const servers: ReadonlyArray<Server> = [
  websockets(),
  tornado,
  aiohttp,
  inPython(
    "soup",
    (port) => [String(port)],
    { compresses: true, pings: false, tells: /^closed 3001 enough ✓$/ },
    "gi; gi.require_version('Soup', '3.0')"
  ),
  {
    name: "mojolicious",
    path: "/usr/bin/perl",
    args: (port) => [scriptOf("mojolicious_echo.pl"), "daemon", "--listen", `http://127.0.0.1:${port}`],
    needs: needsModule("Mojolicious", "/usr/bin/perl", "-MMojolicious", "-e1"),
    compresses: true,
    fragments: true,
    tells: /^closed 3001$/,
    codes
  },
  {
    name: "puma",
    args: (port) => ["--bind", `tcp://127.0.0.1:${port}`, "--environment", "production", scriptOf("faye_echo.ru")],
    needs: (context) => {
      needs("puma")(context)
      needsModule("faye-websocket for Ruby", "/usr/bin/ruby", "-rfaye/websocket", "-e1")(context)
    },
    tells: /^closed 3001 enough ✓$/,
    codes: [1000, 4001]
  }
]

const messages: ReadonlyArray<string | Uint8Array> = [
  "hello",
  "",
  "κόσμε 😀 ".repeat(5000),
  new Uint8Array(0),
  ...[1, 125, 126, 65_535, 65_536, MiB].map((size) => new Uint8Array(randomBytes(size))),
  new Uint8Array(MiB),
  // one refers to the other where contexts are kept
  ...Array.from({ length: 100 }, (_, i) => `{"number":${i},"text":"${"so and so ".repeat(i)}"}`)
]

/** Equality told element by element would take minutes. */
const isSame = (one: string | Uint8Array, other: string | Uint8Array | undefined) =>
  typeof one === "string" || typeof other === "string" || other === undefined
    ? one === other
    : Buffer.compare(one, other) === 0

const echoes = Effect.fnUntraced(function* (webSocket: WebSocket, all: ReadonlyArray<string | Uint8Array> = messages) {
  const sending = yield* Effect.forkChild(Effect.forEach(all, (message) => webSocket.send(message)))
  const echoed = yield* Stream.runCollect(Stream.take(webSocket.messages, all.length))
  yield* Fiber.join(sending)
  for (const [index, message] of all.entries()) assert.isTrue(isSame(message, echoed[index]), `message ${index}`)
})

const client = (options: NodeWebSocketClient.Options = {}) => make({ maxMessageSize: 16 * MiB, ...options })

const connect = (url: string, asking?: Asking, options?: NodeWebSocketClient.Options) =>
  Effect.flatMap(client(options), (made: WebSocketClient["Service"]) => made.connect(url, asking))

/** What it answers to one message. */
const answer = (webSocket: WebSocket, message: string) =>
  Effect.andThen(
    webSocket.send(message),
    Effect.map(Stream.runCollect(Stream.take(webSocket.messages, 1)), ([first]) => first)
  )

const eager = { contextTakeover: true, threshold: 0 }

for (const server of servers) {
  describe(`the client with ${server.name}`, () => {
    let started: Started
    let url: string
    beforeEach(server.needs)
    beforeAll(async () => {
      if (isLacking(server.needs)) return
      started = await start(server)
      url = `ws://${started.address}/`
    })
    afterAll(() => started?.[Symbol.asyncDispose]())

    const manners: ReadonlyArray<readonly [string, Asking["compression"]]> = [
      ["plainly", false],
      ["compressed, if it does that", true],
      ...(server.compresses === true ? [["compressed, with context takeover", eager] as const] : [])
    ]
    it.live.each(manners)("has its messages echoed, %s", ([, compression]) =>
      Effect.gen(function* () {
        const webSocket = yield* connect(url, { compression })
        assert.strictEqual(webSocket.isCompressed, server.compresses === true && compression !== false)
        yield* echoes(webSocket)
        if (!webSocket.isCompressed) yield* echoes(webSocket, [new Uint8Array(randomBytes(10_000_000))])
      }).pipe(Effect.scoped)
    )

    it.live("sends fragments, and is sent them", () =>
      Effect.gen(function* () {
        const webSocket = yield* connect(url, { compression: true })
        const sending = webSocket.sendFragments(Stream.make("in ", "", "three ", "fragménts"))
        const reading = Effect.map(Stream.runCollect(Stream.take(webSocket.messages, 1)), ([first]) => first)
        assert.strictEqual(yield* Effect.andThen(sending, reading), "in three fragménts")
        if (server.fragments === true) assert.strictEqual(yield* answer(webSocket, "!fragments"), "in three fragménts")
      }).pipe(Effect.scoped)
    )

    it.live("pings and is pinged", () =>
      Effect.gen(function* () {
        const webSocket = yield* connect(url)
        yield* Effect.raceFirst(webSocket.ping(new Uint8Array(125)), Stream.runDrain(webSocket.messages))
        if (server.pings !== false) assert.strictEqual(yield* answer(webSocket, "!ping"), "pong hi")
      }).pipe(Effect.scoped)
    )

    it.live("closes with a code and a reason", () =>
      Effect.gen(function* () {
        const webSocket = yield* connect(url)
        yield* webSocket.close(3001, "enough ✓")
        assert.isTrue((yield* webSocket.closed).wasClean)
        yield* Effect.promise(() => started.prints(server.tells))
      }).pipe(Effect.scoped)
    )

    it.live.each(server.codes)("is closed with %i and a reason", (code) =>
      Effect.gen(function* () {
        const webSocket = yield* connect(url)
        const reading = yield* Effect.forkChild(Stream.runCollect(webSocket.messages), { startImmediately: true })
        yield* webSocket.send(`!close ${code} that is ✓`)
        assert.deepStrictEqual(yield* webSocket.closed, { code, reason: "that is ✓", wasClean: true })
        assert.deepStrictEqual(yield* Fiber.join(reading), [])
      }).pipe(Effect.scoped)
    )

    it.live("is told of an end without a Close", () =>
      Effect.gen(function* () {
        const webSocket = yield* connect(url)
        const reading = yield* Effect.forkChild(Stream.runDrain(webSocket.messages), { startImmediately: true })
        yield* webSocket.send("!drop")
        const error = yield* Effect.flip(Fiber.join(reading))
        assert.strictEqual(error.reason._tag, "ConnectionLost")
        assert.deepStrictEqual(yield* webSocket.closed, { code: 1006, reason: "", wasClean: false })
      }).pipe(Effect.scoped)
    )

    it.live("has the subprotocol that the server speaks", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* connect(url, { subprotocols: ["a", "b"] })).subprotocol, "b")
        assert.strictEqual((yield* connect(url)).subprotocol, undefined)
      }).pipe(Effect.scoped)
    )

    it.live("is told how it was declined", () =>
      Effect.gen(function* () {
        const made = yield* client()
        const declined = (status: number) =>
          Effect.map(Effect.flip(made.connect(`${url}${status}`)), ({ isTransient, reason }) => {
            if (reason._tag !== "Declined") return assert.fail(reason._tag)
            assert.strictEqual(reason.status, status)
            return { isTransient, ...reason }
          })
        assert.isFalse((yield* declined(401)).isTransient)
        assert.isTrue((yield* declined(503)).isTransient)
        assert.match((yield* declined(302)).headers["location"] ?? "", /\/elsewhere$/)
      }).pipe(Effect.scoped)
    )
  })
}

describe("what a server chooses of permessage-deflate", () => {
  beforeEach(websockets().needs)
  it.live.each([
    "server_no_context_takeover=yes",
    "client_no_context_takeover=yes",
    "server_max_window_bits=9",
    "client_max_window_bits=9",
    "server_no_context_takeover=yes client_max_window_bits=10 server_max_window_bits=11"
  ])("is kept to: %s", (chosen) =>
    Effect.gen(function* () {
      const server = yield* Effect.acquireRelease(
        Effect.promise(() => start(websockets(...chosen.split(" ")))),
        (started) => Effect.promise(() => started[Symbol.asyncDispose]())
      )
      for (const compression of [true, eager]) {
        const webSocket = yield* connect(`ws://${server.address}`, { compression })
        assert.isTrue(webSocket.isCompressed)
        yield* echoes(webSocket)
      }
    }).pipe(Effect.scoped)
  )
})

describe("a server with an authority of its own", () => {
  beforeEach(needs("openssl"))

  /** With a certificate for `localhost`. */
  const secured = (server: Server) =>
    Effect.acquireRelease(
      Effect.promise(() => {
        certificate("authority", { extensions: ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"] })
        const cert = certificate("server", { issuer: "authority", extensions: ["subjectAltName=DNS:localhost"] })
        return start({ ...server, args: (...to) => [...server.args(...to), cert, fileOf("server.key")] })
      }),
      (started) => Effect.promise(() => started[Symbol.asyncDispose]())
    )

  describe.each([tornado, aiohttp])("is $name", (server) => {
    beforeEach(server.needs)
    it.live("is known by it", () =>
      Effect.gen(function* () {
        const { port } = yield* secured(server)
        const ca = readFileSync(fileOf("authority.crt"), "utf8")
        const webSocket = yield* connect(`wss://localhost:${port}`, { compression: true }, { tls: { ca } })
        yield* echoes(webSocket)
        yield* webSocket.close()
        assert.isTrue((yield* webSocket.closed).wasClean)
        const { reason } = yield* Effect.flip(connect(`wss://localhost:${port}`))
        assert.strictEqual(reason._tag, "DialError")
      }).pipe(Effect.scoped)
    )
  })
})

describe("a unix socket", () => {
  beforeEach(aiohttp.needs)
  it.live("is where aiohttp is found", () =>
    Effect.gen(function* () {
      const { file } = yield* Effect.acquireRelease(
        Effect.promise(() => start(aiohttp)),
        (started) => Effect.promise(() => started[Symbol.asyncDispose]())
      )
      yield* echoes(yield* connect(`ws+unix:${file}.sock:/`))
      const { reason } = yield* Effect.flip(connect(`ws+unix:${file}.sock:/404`))
      assert.strictEqual(reason._tag === "Declined" && reason.status, 404)
    }).pipe(Effect.scoped)
  )
})

const total = 10 * MiB

interface Service extends Disposable {
  readonly port: number
  /** Whether a connection is cut off in the midst of what it is sent: as soon as some of it is there, and a byte comes for it. */
  isCutOff: boolean
  /** What was wrong first with what came on the last connection, if anything. */
  readonly fault: () => string | undefined
}

/** A TCP service, which reads and writes as much at once and then ends. */
const service = async (): Promise<Service> => {
  let checker = new Checker(1)
  const server = Net.createServer({ allowHalfOpen: true }, async (socket) => {
    socket.on("error", () => {})
    checker = new Checker(1)
    if (made.isCutOff) {
      socket.write("some")
      socket.once("data", () => socket.resetAndDestroy())
      return
    }
    const heard = new Promise<void>((resolve) => {
      socket.on("data", (chunk: Buffer) => {
        checker.push(chunk)
        if (checker.received >= total) resolve()
      })
    })
    await pipeline(Readable.from(pieces(2, total)), socket, { end: false })
    await heard
    socket.end()
  })
  await new Promise<void>((resolve) => {
    server.listen({ host: "127.0.0.1", port: 0 }, resolve)
  })
  // net.Server gives an AddressInfo for a port
  const { port } = server.address() as Net.AddressInfo
  const made: Service = {
    port,
    isCutOff: false,
    fault: () => checker.fault,
    [Symbol.dispose]: () => server.close()
  }
  return made
}

/** A program that speaks TCP, which reads to the end, and how that was. */
const connection = (port: number, read: (chunk: Buffer) => void) => {
  const socket = Net.connect({ host: "127.0.0.1", port, allowHalfOpen: true })
  const ended = new Promise<string>((resolve) => {
    socket
      .on("data", read)
      .on("end", () => resolve("end"))
      .on("error", ({ code }: NodeJS.ErrnoException) => resolve(code ?? "error"))
  })
  return { socket, ended }
}

/** As much as the service sends goes to it: how much came back, whether it was what was sent, and how it ended. */
const exchange = async (port: number) => {
  const checker = new Checker(2)
  const { ended, socket } = connection(port, (chunk) => checker.push(chunk))
  await pipeline(Readable.from(pieces(1, total)), socket, { end: false })
  const how = await ended
  socket.destroy()
  return { how, received: checker.received, fault: checker.fault }
}

/** What came before the service cut it off, and how that looks. */
const cutOff = async (port: number) => {
  let text = ""
  const { ended, socket } = connection(port, (chunk) => {
    text += chunk.toString()
    socket.write("!")
  })
  const how = await ended
  socket.destroy()
  return [text, how]
}

interface Relay extends Omit<Program, "args" | "config"> {
  readonly args: (port: number, file: string, to: number) => ReadonlyArray<string>
  readonly config?: (port: number, file: string, to: number) => ReadonlyArray<string>
  readonly scheme?: "wss"
}

/** Before us, with as little of a configuration as WebSocket needs. Those of several processes end them themselves. */
const relays: ReadonlyArray<Relay> = [
  {
    name: "apache2",
    args: (_, file) => ["-DFOREGROUND", "-f", file],
    signal: "SIGTERM",
    config: (port, file, to) => [
      ...["mpm_event", "authz_core", "proxy", "proxy_http"].map(
        (name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`
      ),
      "ServerName localhost",
      "User nobody",
      "Group nogroup",
      `DefaultRuntimeDir ${dirname(file)}`,
      `PidFile ${file}.pid`,
      `ErrorLog ${file}.log`,
      `Listen 127.0.0.1:${port}`,
      `ProxyPass / http://127.0.0.1:${to}/ upgrade=websocket`
    ]
  },
  {
    name: "caddy",
    args: (_, file) => ["run", "--config", file],
    config: (port, file, to) => [
      JSON.stringify({
        // it would keep what it is told among what its user has
        admin: { disabled: true, config: { persist: false } },
        storage: { module: "file_system", root: dirname(file) },
        apps: {
          http: {
            servers: {
              only: {
                listen: [`127.0.0.1:${port}`],
                automatic_https: { disable: true },
                routes: [{ handle: [{ handler: "reverse_proxy", upstreams: [{ dial: `127.0.0.1:${to}` }] }] }]
              }
            }
          }
        }
      })
    ]
  },
  {
    name: "lighttpd",
    args: (_, file) => ["-D", "-f", file],
    config: (port, file, to) => [
      `server.document-root = "${dirname(file)}"`,
      `server.bind = "127.0.0.1"\nserver.port = ${port}`,
      'server.modules = ( "mod_proxy" )',
      `proxy.server = ( "" => ( ( "host" => "127.0.0.1", "port" => ${to} ) ) )`,
      'proxy.header = ( "upgrade" => "enable" )'
    ]
  },
  {
    name: "h2o",
    args: (_, file) => ["-c", file],
    signal: "SIGTERM",
    config: (port, _, to) => [
      `listen: { host: 127.0.0.1, port: ${port} }`,
      "proxy.websocket: ON",
      `hosts: { default: { paths: { /: { proxy.reverse.url: "http://127.0.0.1:${to}/" } } } }`
    ]
  },
  {
    name: "nghttpx",
    args: (port, _, to) => [`--frontend=127.0.0.1,${port};no-tls`, `--backend=127.0.0.1,${to}`, "--conf=/dev/null"],
    signal: "SIGTERM"
  },
  {
    name: "stunnel4",
    args: (_, file) => [file],
    config: (port, _, to) => [
      "foreground = yes\npid =\n[ws]",
      `accept = 127.0.0.1:${port}\nconnect = 127.0.0.1:${to}`,
      `cert = ${certificate("local", { extensions: ["subjectAltName=IP:127.0.0.1"] })}\nkey = ${fileOf("local.key")}`
    ],
    scheme: "wss"
  }
]

const startRelay = ({ args, config, ...relay }: Relay, to: number) =>
  start({
    ...relay,
    args: (port, file) => args(port, file, to),
    ...(config !== undefined && { config: (port, file) => config(port, file, to) })
  })

const tunnelTo = (url: string, ...flags: ReadonlyArray<string>) => command("tunnel", "127.0.0.1:0", url, ...flags)

/** Python's `websockets`, which sends a file and takes what it is sent until it is closed. */
const visitor = `
import asyncio, hashlib, ssl, sys, websockets

async def main(url, file, ca=None):
    tls = ssl.create_default_context(cafile=ca) if ca else None
    async with websockets.connect(url, max_size=None, ssl=tls) as socket:
        async def send():
            with open(file, "rb") as source:
                while piece := source.read(100_000):
                    await socket.send(piece)
        sending = asyncio.create_task(send())
        hashed = hashlib.sha256()
        async for message in socket:
            hashed.update(message)
        await sending
        print(socket.close_code, hashed.hexdigest())

asyncio.run(main(*sys.argv[1:]))
`

for (const relay of relays) {
  describe(`${relay.name} before the proxy`, () => {
    const needed = needs(relay.name, ...(relay.scheme === "wss" ? ["openssl"] : []))
    const stack = new AsyncDisposableStack()
    const trust = () => (relay.scheme === "wss" ? [fileOf("local.crt")] : [])
    let target: Service
    let url: string
    let port: number
    beforeEach(needed)
    beforeAll(async () => {
      if (isLacking(needed)) return
      target = stack.use(await service())
      const proxy = stack.use(await command("proxy", "127.0.0.1:0", `127.0.0.1:${target.port}`))
      const { address } = stack.use(await startRelay(relay, proxy.port))
      url = `${relay.scheme ?? "ws"}://${address}/`
      const tunnel = stack.use(await tunnelTo(url, ...trust().flatMap((file) => ["--server-ca", file])))
      port = tunnel.port
    })
    afterAll(() => stack.disposeAsync())

    it("takes 10 MiB there and back for the tunnel, and the end behind them", async () => {
      assert.deepStrictEqual(await exchange(port), { how: "end", received: total, fault: undefined })
      assert.isUndefined(target.fault())
    })

    it("takes as much for a client of another make", async (context) => {
      websockets().needs(context)
      const file = write("sent", Buffer.concat([...pieces(1, total)]))
      const { stdout } = await promisify(execFile)(python, ["-c", visitor, url, file, ...trust()])
      assert.strictEqual(stdout.trim(), `1000 ${hashOf(2, total)}`)
      assert.isUndefined(target.fault())
    })

    it("lets the tunnel make no end of what was cut off", async () => {
      target.isCutOff = true
      assert.deepStrictEqual(await cutOff(port), ["some", "ECONNRESET"])
    })
  })
}

describe("websockify behind the tunnel", () => {
  const needed = needs("websockify")
  const stack = new AsyncDisposableStack()
  let target: Service
  let url: string
  beforeEach(needed)
  beforeAll(async () => {
    if (isLacking(needed)) return
    target = stack.use(await service())
    const websockify: Program = {
      name: "websockify",
      // its first line asks for a Python of the environment, which may be another
      path: python,
      args: (port) => [find("websockify")!, `127.0.0.1:${port}`, `127.0.0.1:${target.port}`],
      signal: "SIGTERM"
    }
    url = `ws://${stack.use(await start(websockify)).address}/`
  })
  afterAll(() => stack.disposeAsync())

  it.each([[[]], [["--subprotocol", "binary"]], [["--compress"]]])(
    "takes 10 MiB there and back, and the end behind them: %j",
    async (flags) => {
      await using tunnel = await tunnelTo(url, ...flags)
      assert.deepStrictEqual(await exchange(tunnel.port), { how: "end", received: total, fault: undefined })
      assert.isUndefined(target.fault())
    }
  )

  it("lets the tunnel make no end of what was cut off", async () => {
    await using tunnel = await tunnelTo(url)
    target.isCutOff = true
    assert.deepStrictEqual(await cutOff(tunnel.port), ["some", "ECONNRESET"])
  })
})
