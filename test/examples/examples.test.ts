/**
 * Every example of `examples/` runs and does what its head says.
 */
import { assert, describe, it } from "@effect/vitest"
import { hashSync } from "bcryptjs"
import { SignJWT } from "jose"
import { once } from "node:events"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer as createHttpServer } from "node:http"
import { connect, createServer, type AddressInfo, type NetConnectOpts, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as tls from "node:tls"
import { fileURLToPath } from "node:url"
import { header, line } from "../server/balancer.ts"
import { certificate, openssl, path, text, write } from "../tls/openssl.ts"
import { WebSocket, WebSocketServer } from "ws"
import { Client, run, serve, tell } from "./program.ts"

/** A TCP service that answers each chunk with its name and the chunk. */
const service = async (name: string) => {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => {}).on("data", (chunk) => socket.write(`${name}:${chunk.toString()}`))
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    // net.Server gives an AddressInfo for a port
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, "close")
    }
  }
}

const tested = new Set<string>()
const example = (name: string, test: () => Promise<void>) => {
  tested.add(`${name}.ts`)
  it.concurrent(name, test)
}

describe("examples", () => {
  example("echo", async () => {
    await using program = await serve("echo")
    await using client = await Client.connect(program.url)
    client.send("hello")
    assert.strictEqual(await client.next(), "hello")
  })

  example("client", async () => {
    const server = new WebSocketServer({
      port: 0,
      host: "127.0.0.1",
      verifyClient: (_info, answer) => {
        connections++
        // the second attempt finds a server that is not ready, the fourth one that wants nothing of it
        answer(connections % 2 === 1, connections === 2 ? 503 : 403, "no")
      }
    })
    let connections = 0
    server.on("connection", (socket) => {
      socket.on("message", (message) => {
        socket.send(`${connections}: ${String(message)}`)
        socket.close(1012)
      })
    })
    await once(server, "listening")
    // ws gives an AddressInfo for a port
    await using program = tell("client", { URL: `ws://127.0.0.1:${(server.address() as AddressInfo).port}` })
    assert.strictEqual(await program.line(), "1: hello")
    assert.strictEqual(await program.line(), "3: hello")
    const { code, stderr } = await program.ended
    assert.strictEqual(code, 1)
    assert.match(stderr, /answered 503[^]*answered 403/)
    server.close()
  })

  example("several-processes", async () => {
    await using program = await serve("several-processes")
    // until all of them listen, one may have several turns
    const served = new Set<string>()
    while (served.size < 2) {
      await using client = await Client.connect(program.url)
      client.send("hello")
      const [pid, text] = (await client.next()).split(": ")
      assert.strictEqual(text, "hello")
      served.add(pid!)
    }
  })

  example("chat", async () => {
    await using program = await serve("chat")
    await using ann = await Client.connect(program.url)
    await using bob = await Client.connect(program.url)
    await Promise.all([ann.next(), bob.next()])
    ann.send("hi")
    assert.strictEqual(await bob.next(), "hi")
    bob.send("hi yourself")
    // the first that Ann hears after her welcome is Bob, not herself
    assert.strictEqual(await ann.next(), "hi yourself")
  })

  example("proxy", async () => {
    await using target = await service("tcp")
    await using program = await serve("proxy", { TARGET: target.address })
    await using client = await Client.connect(program.url)
    client.send("hello")
    assert.strictEqual(await client.next(), "tcp:hello")
  })

  example("behind-a-balancer", async () => {
    await using program = await serve("behind-a-balancer", { BALANCERS: "127.0.0.1" })
    const through = async (header: string | Uint8Array) => {
      await using client = await Client.connect(program.url, {
        createConnection: (options) => {
          const socket = connect(options as NetConnectOpts)
          socket.write(header)
          return socket
        }
      })
      return client.next()
    }
    assert.strictEqual(await through(line("198.51.100.7", 4711)), "You are nobody that is known at 198.51.100.7.")
    const ssl = {
      isTls: true,
      hasCertificate: true,
      hasSessionCertificate: true,
      verify: 0,
      commonName: "Ann",
      others: []
    }
    assert.strictEqual(await through(header("[2001:db8::7]:1", { ssl, others: [] })), "You are Ann at 2001:db8::7.")
    assert.strictEqual(
      await through(header("[2001:db8::7]:1", { ssl: { ...ssl, verify: 18 }, others: [] })),
      "You are nobody that is known at 2001:db8::7."
    )
  })

  example("client-targets", async () => {
    await using db = await service("db")
    await using other = await service("other")
    await using program = await serve("client-targets", { ALLOW: `*.internal:5432 ${db.address}` })
    await using client = await Client.connect(`${program.url}/?address=${db.address}`)
    client.send("hello")
    assert.strictEqual(await client.next(), "db:hello")
    for (const [query, status] of [
      [`?address=${other.address}`, "403"],
      ["?address=169.254.169.254:80", "403"],
      ["?address=0x7f.1:80", "400"],
      ["", "404"]
    ] as const) {
      const error = await Client.connect(`${program.url}/${query}`).then(
        () => "opened",
        (cause: Error) => cause.message
      )
      assert.include(error, status, query)
    }
  })

  example("proxy-by-path", async () => {
    await using vnc = await service("vnc")
    await using db = await service("db")
    await using program = await serve("proxy-by-path", { VNC: vnc.address, DB: db.address })
    for (const name of ["vnc", "db"]) {
      await using client = await Client.connect(`${program.url}/${name}`)
      client.send("hello")
      assert.strictEqual(await client.next(), `${name}:hello`)
    }
    const refused = await fetch(`${program.url.replace("ws:", "http:")}/other`)
    assert.strictEqual(refused.status, 426)
    const error = await Client.connect(`${program.url}/other`).then(
      () => "opened",
      (cause: Error) => cause.message
    )
    assert.include(error, "404")
  })

  example("router", async () => {
    await using mqtt = await service("mqtt")
    await using desk = await service("desk")
    await using db1 = await service("db1")
    await using db2 = await service("db2")
    const env = { MQTT: mqtt.address, DESK: desk.address, DB1: db1.address, DB2: db2.address }
    await using program = await serve("router", env)
    const reaches = async (path: string, name: string, subprotocol?: string) => {
      await using client = await Client.connect(`${program.url}${path}`, {}, subprotocol)
      client.send("hello")
      assert.strictEqual(await client.next(), `${name}:hello`)
    }
    await reaches("/anything", "mqtt", "mqtt")
    await reaches("/desk/ann", "desk")
    for (const name of ["db1", "db2", "db1"]) await reaches("/db/main", name)
    for (const path of ["/desk/bob", "/"]) {
      const error = await Client.connect(`${program.url}${path}`).then(
        () => "opened",
        (cause: Error) => cause.message
      )
      assert.include(error, "404")
    }
  })

  example("tunnel", async () => {
    await using target = await service("tcp")
    await using proxy = await serve("proxy", { TARGET: target.address })
    await using program = await serve("tunnel", { URL: proxy.url })
    const client = connect({ host: "127.0.0.1", port: Number(new URL(program.url).port) })
    client.write("hello")
    const [answer] = await once(client, "data")
    assert.strictEqual(String(answer), "tcp:hello")
    client.end()
    await once(client, "close")
  })

  example("tokens", async () => {
    await using desk = await service("desk")
    const folder = mkdtempSync(join(tmpdir(), "tokens-"))
    writeFileSync(join(folder, "tokens.txt"), `ann: ${desk.address}\n`)
    await using program = await serve("tokens", { TOKENS: join(folder, "tokens.txt") })
    await using client = await Client.connect(`${program.url}/?token=ann`)
    client.send("hello")
    assert.strictEqual(await client.next(), "desk:hello")
    const error = await Client.connect(`${program.url}/?token=bob`).then(
      () => "opened",
      (cause: Error) => cause.message
    )
    assert.include(error, "404")
    rmSync(folder, { recursive: true })
  })

  example("json", async () => {
    await using program = await serve("json")
    await using client = await Client.connect(program.url)
    client.send('{"_tag":"Add","a":1,"b":2}')
    assert.strictEqual(await client.next(), '{"answer":3}')
    client.send('{"_tag":"Greet","name":"ann"}')
    assert.strictEqual(await client.next(), '{"answer":"Hello, ann!"}')
    client.send('{"_tag":"Add","a":1}')
    assert.strictEqual(await client.closed(), 1008)
  })

  example("session", async () => {
    await using program = await serve("session")
    await using ann = await Client.connect(program.url, { headers: { cookie: "theme=dark; session=3a91" } })
    assert.strictEqual(await ann.next(), "Hello, ann!")
    for (const cookie of ["session=3a92", "theme=dark"]) {
      const error = await Client.connect(program.url, { headers: { cookie } }).then(
        () => "opened",
        (cause: Error) => cause.message
      )
      assert.include(error, "403")
    }
  })

  example("admission", async () => {
    const secret = "0123456789abcdef0123456789abcdef"
    write("users", `ann:${hashSync("right", 4)}\n`)
    await using program = await serve("admission", { USERS: path("users"), SECRET: secret })
    const { host } = new URL(program.url)
    await using ann = await Client.connect(`ws://ann:right@${host}`)
    assert.strictEqual(await ann.next(), "Hello, ann!")
    const token = await new SignJWT({ sub: "bob" })
      .setProtectedHeader({ alg: "HS256" })
      .setExpirationTime("1m")
      .sign(new TextEncoder().encode(secret))
    await using bob = await Client.connect(program.url, { headers: { authorization: `Bearer ${token}` } })
    assert.strictEqual(await bob.next(), "Hello, bob!")
    const error = await Client.connect(`ws://ann:wrong@${host}`).then(
      () => "opened",
      (cause: Error) => cause.message
    )
    assert.include(error, "401")
  })

  for (const name of ["component-echo", "component-echo-methods", "component-ten-lines"]) {
    example(name, async () => {
      await using program = await serve(name)
      await using client = await Client.connect(program.url)
      client.send("hello")
      assert.strictEqual(await client.next(), "hello")
    })
  }

  for (const name of ["component-chat", "component-chat-methods"]) {
    example(name, async () => {
      await using program = await serve(name)
      await using ann = await Client.connect(program.url)
      await using bob = await Client.connect(program.url)
      await Promise.all([ann.next(), bob.next()])
      ann.send("hi")
      assert.strictEqual(await bob.next(), "hi")
      bob.send("hi yourself")
      // the first that Ann hears after her welcome is Bob, not herself
      assert.strictEqual(await ann.next(), "hi yourself")
    })
  }

  example("component-tls", async () => {
    const cert = certificate("server", { extensions: ["subjectAltName=IP:127.0.0.1"] })
    const ca = text("server.crt")
    openssl(..."pkcs12 -export -inkey server.key -in server.crt -out server.pfx -passout pass:secret".split(" "))
    for (const env of [
      { CERT: cert, KEY: path("server.key") },
      { PFX: path("server.pfx"), PASSWORD: "secret" }
    ]) {
      await using program = await serve("component-tls", env)
      assert.match(program.url, /^wss:/)
      await using client = await Client.connect(program.url, { ca })
      client.send("hello")
      assert.strictEqual(await client.next(), "hello")
    }
  })

  example("tls", async () => {
    const ca = ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"]
    certificate("authority", { extensions: ca })
    certificate("listener", { issuer: "authority", extensions: ["subjectAltName=IP:127.0.0.1"] })
    certificate("ann", { issuer: "authority" })
    certificate("mallory")
    const env = { CERT: path("listener.crt"), KEY: path("listener.key"), CLIENT_CA: path("authority.crt") }
    await using program = await serve("tls", env)
    assert.match(program.url, /^wss:/)
    const as = (name: string) => ({ ca: text("authority.crt"), cert: text(`${name}.crt`), key: text(`${name}.key`) })
    await using client = await Client.connect(program.url, as("ann"))
    assert.match(await client.next(), /^Welcome, CN=ann, /)
    client.send("hello")
    assert.strictEqual(await client.next(), "hello")
    for (const stranger of [as("mallory"), { ca: text("authority.crt") }]) {
      const error = await Client.connect(program.url, stranger).then(
        () => "opened",
        (cause: Error) => cause.message
      )
      assert.include(error, "403")
    }
  })

  example("tls-target", async () => {
    const ca = ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"]
    certificate("issuer", { extensions: ca })
    certificate("target", { issuer: "issuer", extensions: ["subjectAltName=DNS:localhost"] })
    certificate("proxy", { issuer: "issuer" })
    write("proxy.pem", text("proxy.crt") + text("proxy.key"))
    const options = { cert: text("target.crt"), key: text("target.key"), ca: text("issuer.crt") }
    const target = tls.createServer({ ...options, requestCert: true, rejectUnauthorized: true }, (socket) => {
      const { subject } = socket.getPeerCertificate()
      socket.on("error", () => {}).on("data", (chunk) => socket.write(`${subject.CN}:${chunk.toString()}`))
    })
    await once(target.listen(0, "127.0.0.1"), "listening")
    // a TCP server's address is one of IP
    const TARGET = `localhost:${(target.address() as AddressInfo).port}`
    {
      await using program = await serve("tls-target", { TARGET, CA: path("issuer.crt"), CERT: path("proxy.pem") })
      await using client = await Client.connect(program.url)
      client.send("hello")
      assert.strictEqual(await client.next(), "proxy:hello")
    }
    {
      certificate("other", { extensions: ca })
      await using program = await serve("tls-target", { TARGET, CA: path("other.crt") })
      const error = await Client.connect(program.url).then(
        () => "opened",
        (cause: Error) => cause.message
      )
      assert.include(error, "502")
    }
    target.close()
  })

  example("component-proxy", async () => {
    await using target = await service("tcp")
    await using program = await serve("component-proxy", { TARGET: target.address })
    await using client = await Client.connect(program.url)
    client.send("hello")
    assert.strictEqual(await client.next(), "tcp:hello")
    const error = await Client.connect(`${program.url}/other`).then(
      () => "opened",
      (cause: Error) => cause.message
    )
    assert.include(error, "404")
  })

  example("rpc", async () => {
    assert.deepStrictEqual(await run("rpc"), { code: 0, stdout: "Hello, WebSocket!\n" })
  })

  example("shutdown", async () => {
    /** How a request is answered: 101, or with a refusal. */
    const answer = (url: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        const socket = new WebSocket(url)
        socket.once("error", reject)
        socket.once("open", () => socket.close())
        socket.once("close", () => resolve(101))
        socket.once("unexpected-response", (_, response) => {
          response.resume()
          resolve(response.statusCode)
        })
      })
    await using program = await serve("shutdown")
    await using client = await Client.connect(program.url)
    const ended = program[Symbol.asyncDispose]()
    while ((await answer(program.url)) !== 503);
    client.send("hello")
    assert.strictEqual(await client.next(), "hello")
    await client[Symbol.asyncDispose]()
    await ended

    await using hasty = await serve("shutdown", { DRAIN: "1 millis" })
    await using late = await Client.connect(hasty.url)
    const over = hasty[Symbol.asyncDispose]()
    assert.strictEqual(await late.next(), "The server ends. Come back in a moment.")
    await over
  })

  example("access-log", async () => {
    const folder = mkdtempSync(join(tmpdir(), "access-log-"))
    const log = join(folder, "access.log")
    const entries = (): ReadonlyArray<Record<string, unknown>> =>
      readFileSync(log, "utf8")
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line))
    {
      await using program = await serve("access-log", { LOG: log })
      {
        await using client = await Client.connect(`${program.url}/garden`)
        client.send("hello")
        assert.strictEqual(await client.next(), "hello")
      }
      const [error] = await once(new WebSocket(`${program.url}/attic`), "error")
      assert.match(String(error), /404/)
    }
    assert.deepStrictEqual(
      entries()
        .map(({ annotations, event, path }) => [event, path, annotations])
        .toSorted(),
      [
        ["closed", "/garden", { room: "garden" }],
        ["opened", "/garden", { room: "garden" }],
        ["refused", "/attic", { room: "attic" }]
      ]
    )
    rmSync(folder, { recursive: true })
  })

  example("telemetry", async () => {
    const told = new Map<string, string>()
    const collector = createHttpServer((request, response) => {
      const before = told.get(request.url!) ?? ""
      request
        .setEncoding("utf8")
        .on("data", (text: string) => told.set(request.url!, (told.get(request.url!) ?? before) + text))
      request.on("end", () => response.end("{}"))
    }).listen(0, "127.0.0.1")
    await once(collector, "listening")
    {
      // an http.Server gives an AddressInfo for a port
      const { port } = collector.address() as AddressInfo
      await using program = await serve("telemetry", { OTLP: `http://127.0.0.1:${port}` })
      await using client = await Client.connect(`${program.url}/room`, {
        headers: { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }
      })
      client.send("hello")
      assert.strictEqual(await client.next(), "hello")
    }
    const traces = told.get("/v1/traces")!
    assert.match(traces, /"traceId":"0af7651916cd43dd8448eb211c80319c",[^{]*"name":"message"/)
    assert.match(traces, /"parentSpanId":"b7ad6b7169203331","name":"connection"/)
    assert.include(told.get("/v1/metrics")!, "websocket_received_bytes_total")
    assert.match(told.get("/v1/logs")!, /Closed [^]*\/room/)
    collector.close()
  })

  example("with-http", async () => {
    await using program = await serve("with-http")
    const response = await fetch(`${program.url.replace("ws:", "http:")}/health`)
    assert.strictEqual(await response.text(), "ok\n")
    await using client = await Client.connect(program.url)
    client.send("hello")
    assert.strictEqual(await client.next(), "hello")
  })

  example("with-files", async () => {
    await using target = await service("tcp")
    const root = fileURLToPath(new URL("../../docs", import.meta.url))
    await using program = await serve("with-files", { TARGET: target.address, FILES: root })
    const response = await fetch(`${program.url.replace("ws:", "http:")}/websockify.md`)
    assert.match(await response.text(), /^# For people who come from websockify/)
    await using client = await Client.connect(program.url)
    client.send("hello")
    assert.strictEqual(await client.next(), "tcp:hello")
  })

  it("are all tested", () => {
    assert.deepStrictEqual(
      // what is a test itself is run beside this one
      readdirSync(new URL("../../examples", import.meta.url)).filter(
        (name) => !tested.has(name) && !name.endsWith(".test.ts")
      ),
      []
    )
  })
})
