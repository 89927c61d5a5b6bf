/**
 * Mosquitto, a broker that speaks plain MQTT here, behind the proxy, and clients that speak MQTT over WebSocket, as those in
 * browsers do.
 */
import { afterAll, assert, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt"
import { once } from "node:events"
import { WebSocket } from "ws"
import { has, needs } from "../installed.ts"
import { type Program, start } from "../started.ts"
import { certificate, path, read } from "../tls/openssl.ts"
import { recipe } from "./recipe.ts"
import { until } from "./until.ts"

const broker: Program = {
  name: "mosquitto",
  args: (_, file) => ["-c", file],
  config: (port) => [
    `listener ${port} 127.0.0.1`,
    "allow_anonymous true",
    "persistence false",
    "max_inflight_messages 0",
    "max_queued_messages 0"
  ]
}

/** The broker, and the proxy in front of it. */
const started = async (...flags: ReadonlyArray<string>) => {
  await using stack = new AsyncDisposableStack()
  const mosquitto = stack.use(await start(broker))
  const proxy = stack.use(await recipe("mqtt", { "localhost:1883": mosquitto.address }, ...flags))
  const held = stack.move()
  return { url: `ws://127.0.0.1:${proxy.port}`, [Symbol.asyncDispose]: () => held.disposeAsync() }
}

interface Connected extends AsyncDisposable {
  readonly client: MqttClient
  /** What lies below it. */
  readonly socket: WebSocket
  /** Waits for as many messages, and gives `TOPIC QOS PAYLOAD` of each. */
  readonly until: (count: number) => Promise<ReadonlyArray<string>>
}

const connect = async (url: string, options: IClientOptions = {}): Promise<Connected> => {
  let socket: WebSocket | undefined
  const client = await connectAsync(url, {
    reconnectPeriod: 0,
    ...options,
    createWebsocket: (address, protocols) => (socket = new WebSocket(address, protocols))
  })
  const heard: Array<string> = []
  client
    .on("error", () => {})
    .on("message", (topic, payload, { qos, retain }) =>
      heard.push(`${topic} ${qos} ${retain ? "retained " : ""}${payload.toString()}`)
    )
  return {
    client,
    socket: socket!,
    until: (count) => until(`${count} messages`, () => heard.length >= count && heard),
    [Symbol.asyncDispose]: () => client.endAsync(true)
  }
}

beforeEach(needs("mosquitto"))

const will = { topic: "gone", payload: Buffer.from("without a word"), qos: 1 } as const

describe("MQTT", () => {
  let system: Awaited<ReturnType<typeof started>>
  beforeAll(async () => {
    if (has("mosquitto")) system = await started()
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  it("is there for a client that knows only the address, in the subprotocol that it asks for", async () => {
    const { url } = system
    const client = await connectAsync(url)
    await client.publishAsync("news", "hello", { qos: 1 })
    await client.endAsync()
    await using other = await connect(url)
    assert.strictEqual(other.socket.protocol, "mqtt")
  })

  it.for([0, 1, 2] as const)("delivers 500 messages with QoS %i, each once and in order", async (qos) => {
    await using subscriber = await connect(system.url)
    await using publisher = await connect(system.url)
    await subscriber.client.subscribeAsync("news/#", { qos })
    const expected = Array.from({ length: 500 }, (_, i) => `news/all ${qos} message ${i}`)
    await Promise.all(
      Array.from({ length: 500 }, (_, i) => publisher.client.publishAsync("news/all", `message ${i}`, { qos }))
    )
    assert.deepStrictEqual(await subscriber.until(500), expected)
  })

  it("keeps what is retained for who comes later", async () => {
    await using publisher = await connect(system.url)
    await publisher.client.publishAsync("state", "on", { qos: 1, retain: true })
    await using subscriber = await connect(system.url)
    await subscriber.client.subscribeAsync("state", { qos: 1 })
    assert.deepStrictEqual(await subscriber.until(1), ["state 1 retained on"])
  })

  it("delivers payloads of 1 MiB", async () => {
    await using subscriber = await connect(system.url)
    await using publisher = await connect(system.url)
    const payload = Buffer.alloc(1 << 20, Buffer.from(Uint8Array.from({ length: 251 }, (_, i) => i)))
    await subscriber.client.subscribeAsync("large", { qos: 2 })
    let same = 0
    subscriber.client.on("message", (_, received) => void (same += Number(payload.equals(received))))
    for (let i = 0; i < 5; i++) await publisher.client.publishAsync("large", payload, { qos: 2 })
    await subscriber.until(5)
    assert.strictEqual(same, 5)
  })

  it("publishes the will of a client whose connection is cut, and of none that says goodbye", async () => {
    await using subscriber = await connect(system.url)
    await subscriber.client.subscribeAsync("gone", { qos: 1 })
    await using polite = await connect(system.url, { will: { ...will, payload: Buffer.from("no") } })
    await polite.client.endAsync()
    await using cut = await connect(system.url, { will })
    cut.socket.terminate()
    assert.deepStrictEqual(await subscriber.until(1), ["gone 1 without a word"])
  })

  it("is kept alive by the client's pings, and ended by the broker without them", async () => {
    await using alive = await connect(system.url, { keepalive: 1 })
    const answered = new Promise<void>((resolve) => {
      let pings = 0
      alive.client.on("packetreceive", ({ cmd }) => {
        if (cmd === "pingresp" && ++pings === 3) resolve()
      })
    })
    const silent = new WebSocket(system.url, "mqtt")
    const closed = once(silent, "close")
    await once(silent, "open")
    // CONNECT of "quiet" with a keep-alive of one second, and nothing after it
    silent.send(Buffer.from("101100044d5154540402000100057175696574", "hex"))
    const [code] = await closed
    assert.strictEqual(code, 1000)
    await answered
    assert.isTrue(alive.client.connected)
  })

  it("serves 200 clients at a time", async () => {
    await using stack = new AsyncDisposableStack()
    const clients = await Promise.all(Array.from({ length: 200 }, () => connect(system.url)))
    for (const connected of clients) stack.use(connected)
    await Promise.all(clients.map(({ client }, i) => client.subscribeAsync(["all", `to/${i}`], { qos: 1 })))
    await using publisher = await connect(system.url)
    await publisher.client.publishAsync("all", "hello", { qos: 1 })
    await Promise.all(clients.map((_, i) => publisher.client.publishAsync(`to/${i}`, String(i), { qos: 1 })))
    for (const [i, connected] of clients.entries()) {
      assert.deepStrictEqual(await connected.until(2), ["all 1 hello", `to/${i} 1 ${i}`])
    }
  })
})

describe("MQTT behind a proxy with more flags", () => {
  it("publishes the will of a client that has fallen silent, found out by the proxy's ping", async () => {
    await using system = await started("--ping-interval", "1s", "--pong-timeout", "1s")
    await using subscriber = await connect(system.url)
    await subscriber.client.subscribeAsync("gone", { qos: 1 })
    // with no keep-alive the broker would wait for ever
    await using silent = await connect(system.url, { will, keepalive: 0 })
    silent.socket.pause()
    assert.deepStrictEqual(await subscriber.until(1), ["gone 1 without a word"])
  })

  it("is wss with a certificate", async (context) => {
    needs("openssl")(context)
    const cert = certificate("server", { extensions: ["subjectAltName=IP:127.0.0.1"] })
    await using system = await started("--cert", cert, "--key", path("server.key"))
    const client = await connectAsync(system.url.replace("ws:", "wss:"), { ca: read("server.crt") })
    const heard = new Promise((resolve) => {
      client.on("message", (topic, payload) => resolve([topic, payload.toString()]))
    })
    await client.subscribeAsync("news", { qos: 1 })
    await client.publishAsync("news", "hello", { qos: 1 })
    assert.deepStrictEqual(await heard, ["news", "hello"])
    await client.endAsync()
  })

  it("shares a port with other services, each at its path", async () => {
    await using mosquitto = await start(broker)
    await using other = await start(broker)
    await using proxy = await recipe("paths", {
      "/mqtt=localhost:1883": `/mqtt=${mosquitto.address}`,
      "/redis=localhost:6379": `/redis=${other.address}`
    })
    const url = `ws://127.0.0.1:${proxy.port}`
    for (const path of ["/mqtt", "/redis"]) {
      await using publisher = await connect(url + path)
      await publisher.client.publishAsync("path", path, { qos: 1, retain: true })
    }
    for (const path of ["/mqtt", "/redis"]) {
      await using subscriber = await connect(url + path)
      await subscriber.client.subscribeAsync("path", { qos: 1 })
      assert.deepStrictEqual(await subscriber.until(1), [`path 1 retained ${path}`])
    }
    const elsewhere = new WebSocket(`${url}/elsewhere`, "mqtt")
    const [error] = await once(elsewhere, "error")
    assert.include(String(error), "404")
  })
})
