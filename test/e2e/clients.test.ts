/**
 * Clients of other makes, in their own languages: the programs in `clients`, each told how to go and where.
 *
 * - `echo URL CA`: sends messages of all kinds over wss, compressed where it can be, in fragments where it lets one, and expects each back;
 *   then it closes with 3000. Prints the subprotocol and how it was closed.
 * - `read URL`: sends `hello` and prints what comes, line by line, and how it was closed or what refused it.
 */
import { afterAll, assert, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import { execFile, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as Net from "node:net"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { lacking } from "../installed.ts"
import { certificate, path } from "../tls/openssl.ts"
import { type Command, command } from "./command.ts"

const run = promisify(execFile)

certificate("authority", { extensions: ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"] })
certificate("server", {
  issuer: "authority",
  extensions: ["subjectAltName=DNS:localhost", "extendedKeyUsage=serverAuth"]
})

interface Client {
  readonly program: string
  readonly file: string
  /** What the program must be able to do: a module that it loads. */
  readonly loads: ReadonlyArray<string>
  /** The subprotocol that it gets. Default: the first of two. */
  readonly subprotocol?: ReadonlyArray<string>
  /** What it can say of a refusal. Default: the status. */
  readonly refused?: string
}

const python = (module: string, file: string): Client => ({
  program: "/usr/bin/python3",
  file,
  loads: ["-c", `import ${module}`]
})

const clients: Readonly<Record<string, Client>> = {
  Tornado: python("tornado.websocket", "tornadoClient.py"),
  aiohttp: python("aiohttp", "aiohttpClient.py"),
  Autobahn: python("autobahn.asyncio.websocket", "autobahnClient.py"),
  "websocket-client": python("websocket", "websocketClient.py"),
  wsproto: python("wsproto", "wsprotoClient.py"),
  libsoup: python("gi; gi.require_version('Soup', '3.0')", "soupClient.py"),
  Qt: { ...python("PyQt5.QtWebSockets", "qtClient.py"), subprotocol: [] },
  Mojolicious: {
    program: "perl",
    file: "mojolicious.pl",
    loads: ["-MMojo::UserAgent", "-MIO::Socket::SSL", "-e", "1"]
  },
  "Node's WebSocket": { program: process.execPath, file: "native.ts", loads: ["--version"], refused: "1006" }
}

/** The lines that it prints; it fails if the program does. */
const lines = async ({ file, program }: Client, ...args: ReadonlyArray<string>): Promise<ReadonlyArray<string>> => {
  const { stdout } = await run(program, [fileURLToPath(new URL(`clients/${file}`, import.meta.url)), ...args], {
    timeout: 30_000,
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1", NODE_EXTRA_CA_CERTS: path("authority.crt") }
  })
  return stdout.trimEnd().split("\n")
}

const installed = new Map(
  Object.entries(clients).map(([name, { loads, program }]) => [
    name,
    spawnSync(program, loads, { stdio: "ignore" }).status === 0
  ])
)

const needsClient =
  (name: string) =>
  (context: { readonly skip: (reason: string) => void }): void => {
    if (!installed.get(name)) context.skip(lacking(`${name} is not installed`))
  }

/** A service that answers `hello` and has nothing more to say. */
const listen = async () => {
  const server = Net.createServer((socket) => {
    socket.on("error", () => {})
    socket.once("data", (data) => socket.end(data.toString() === "hello" ? "welcome\n" : "what?\n"))
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  // net.Server gives an AddressInfo for a port
  const { port } = server.address() as Net.AddressInfo
  return { address: `127.0.0.1:${port}`, close: () => new Promise((resolve) => server.close(resolve)) }
}

let echo: Command
let aging: Command
let proxy: Command
let target: Awaited<ReturnType<typeof listen>>
let dead: Command

beforeAll(async () => {
  target = await listen()
  const gone = await listen()
  await gone.close()
  const wss = ["--cert", path("server.crt"), "--key", path("server.key")]
  ;[echo, aging, proxy, dead] = await Promise.all([
    command("echo", "127.0.0.1:0", ...wss),
    // a client that did not answer pings would be given up before it is too old
    command("echo", "127.0.0.1:0", "--ping-interval", "100ms", "--pong-timeout", "2s", "--max-lifetime", "4s"),
    command("proxy", "127.0.0.1:0", target.address, "--compress"),
    command("proxy", "127.0.0.1:0", gone.address)
  ])
})
afterAll(async () => {
  await Promise.all([echo, aging, proxy, dead].map((command) => command?.[Symbol.asyncDispose]()))
  await target.close()
})

const wss = () => `wss://localhost:${echo.port}`

describe.for(Object.keys(clients))("%s", (name) => {
  const client = clients[name]!
  beforeEach(needsClient(name))

  it("echoes text, binary, fragments, over wss", async () => {
    const { subprotocol = ["chat"] } = client
    assert.deepStrictEqual(await lines(client, "echo", wss(), path("authority.crt")), [...subprotocol, "3000"])
  })

  it("reads what a target says, and its end", async () => {
    assert.deepStrictEqual(await lines(client, "read", `ws://127.0.0.1:${proxy.port}`), ["welcome", "", "1000"])
  })

  it("is told that a target is dead", async () => {
    const { refused = "refused 502" } = client
    assert.deepStrictEqual(await lines(client, "read", `ws://127.0.0.1:${dead.port}`), [refused])
  })
})

describe("all of them", () => {
  it.concurrent.for(Object.keys(clients))("%s answers pings until the server closes", async (name, context) => {
    needsClient(name)(context)
    assert.deepStrictEqual(await lines(clients[name]!, "read", `ws://127.0.0.1:${aging.port}`), [
      "hello",
      "1008 the connection reached its maximum age"
    ])
  })
})

describe("Mojolicious", () => {
  beforeEach(needsClient("Mojolicious"))

  it("compresses with the context of earlier messages, which --context-takeover lets it", async () => {
    await using echo = await command("echo", "127.0.0.1:0", "--context-takeover")
    const args = ["echo", `ws://127.0.0.1:${echo.port}`, "", "permessage-deflate"]
    assert.deepStrictEqual(await lines(clients["Mojolicious"]!, ...args), ["chat", "3000"])
  })
})

describe("wsproto", () => {
  beforeEach(needsClient("wsproto"))

  it.for([
    [9, 9],
    [9, 15],
    [12, 10],
    [15, 9]
  ])("compresses with a window of 2^%i bytes there and 2^%i here", async ([server, client]) => {
    const args = ["echo", wss(), path("authority.crt"), `${server}`, `${client}`]
    assert.deepStrictEqual(await lines(clients["wsproto"]!, ...args), ["chat", "3000"])
  })
})
