/**
 * The properties and settings that are of sockets, as the system or the socket has them, and the limits of a connection.
 */
import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import * as Channel from "node:diagnostics_channel"
import { once } from "node:events"
import * as Net from "node:net"
import WS from "ws"
import { WSServer } from "../../src/component/WSServer.ts"
import * as Frames from "../proxy/frames.ts"
import {
  answering,
  both,
  connect,
  type Either,
  failureOf,
  hear,
  listen,
  listening,
  listenNoMore,
  raw,
  until
} from "./component.ts"

const isLinux = process.platform === "linux"

const run = (command: string, ...args: ReadonlyArray<string>): string | undefined => {
  try {
    return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
  } catch {
    return undefined
  }
}

/** What the system tells of sockets: `ss` of iproute2. */
const ss = (...args: ReadonlyArray<string>) => run("ss", "-H", "-n", ...args)
const hasSs = isLinux && ss("-ltn") !== undefined

/** The socket that a component accepts next. */
const nextSocket = () => {
  const { promise, resolve } = Promise.withResolvers<Net.Socket>()
  const take = (message: unknown): void => {
    Channel.unsubscribe("net.server.socket", take)
    const socket: unknown = Reflect.get(Object(message), "socket")
    assert.instanceOf(socket, Net.Socket)
    resolve(socket)
  }
  Channel.subscribe("net.server.socket", take)
  return promise
}

const handleOf = (socket: Net.Socket): object => Object(Reflect.get(socket, "_handle"))

type Setter = "setNoDelay" | "setKeepAlive"

/** What the socket that a component accepts is told, in the words of the system's binding. */
const told = async (component: Either, method: Setter): Promise<ReadonlyArray<ReadonlyArray<unknown>>> => {
  const spy = vi.spyOn(await bindingOf(), method)
  const accepted = nextSocket()
  const client = Net.connect({ host: "127.0.0.1", port: component.localPort })
  try {
    await once(client, "connect")
    const handle = handleOf(await accepted)
    // it is told as it is accepted, and by an upgrade at the latest
    client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
    client.write("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    await once(client, "data")
    return spy.mock.calls.filter((_, i) => spy.mock.contexts[i] === handle)
  } finally {
    spy.mockRestore()
    client.destroy()
  }
}

/** The prototype of TCP sockets in Node. */
const bindingOf = async (): Promise<{ [K in Setter]: (...args: Array<unknown>) => void }> => {
  const server = Net.createServer((socket) => socket.destroy()).listen(0, "127.0.0.1")
  await once(server, "listening")
  const client = Net.connect((server.address() as Net.AddressInfo).port, "127.0.0.1")
  await once(client, "connect")
  const prototype = Object.getPrototypeOf(handleOf(client))
  client.destroy()
  server.close()
  return prototype
}

describe.each(both)("%s", (_, make) => {
  it("ConnectionBacklog: is the length of the system's queue, from the next start on", { skip: !hasSs }, async () => {
    const queue = ({ localPort }: Either) => /^LISTEN\s+\d+\s+(\d+)/.exec(ss("-lt", `sport = :${localPort}`) ?? "")?.[1]
    await using component = await listening(make())
    assert.strictEqual(queue(component), "5")
    component.connectionBacklog = 17
    assert.strictEqual(queue(component), "5")
    await listenNoMore(component)
    await listen(component)
    assert.strictEqual(queue(component), "17")
  })

  it("TcpNoDelay: False leaves Nagle's algorithm on", async () => {
    await using component = await answering(make)
    assert.deepStrictEqual(await told(component, "setNoDelay"), [])
  })

  it("TcpNoDelay: True sends at once", async () => {
    await using component = await answering(make, "TcpNoDelay=True")
    assert.deepStrictEqual(await told(component, "setNoDelay"), [[true]])
  })

  it("KeepAliveTime, KeepAliveInterval: 0 leaves both to the system", async () => {
    await using component = await answering(make)
    const calls = await told(component, "setKeepAlive")
    assert.deepStrictEqual(
      calls.map((args) => args.slice(0, 2)),
      [[true, 0]]
    )
  })

  const hasInterval = Number(process.versions.node.split(".")[0]) >= 26
  it("KeepAliveTime, KeepAliveInterval: are told to the socket, in whole seconds", { skip: !hasInterval }, async () => {
    const times = async (time: number, interval: number) => {
      await using component = await answering(make, `KeepAliveTime=${time}`, `KeepAliveInterval=${interval}`)
      const calls = await told(component, "setKeepAlive")
      return calls.map((args) => args.slice(0, 3))
    }
    assert.deepStrictEqual(await times(60_000, 5000), [[true, 60, 5]])
    assert.deepStrictEqual(await times(0, 5000), [[true, 7200, 5]])
    // one second is the documented default
    assert.deepStrictEqual(await times(7_200_000, 0), [[true, 7200, 1]])
    // what is less than a second is not none, and what is more than the system takes is the most of it
    assert.deepStrictEqual(await times(1, 300), [[true, 1, 1]])
    assert.deepStrictEqual(await times(1500, 2 ** 31 - 1), [[true, 2, 32_767]])
  })

  it("KeepAliveTime: has the system probe the client", { skip: !hasSs }, async () => {
    for (const [time, bound] of [
      [3_600_000, 3600],
      [300, 1],
      // the system's, of 2 hours unless somebody has changed that
      [0, Infinity]
    ] as const) {
      await using component = await answering(make, `KeepAliveTime=${time}`)
      const client = Net.connect({ host: "127.0.0.1", port: component.localPort })
      await once(client, "connect")
      // such as timer:(keepalive,59min,0), (keepalive,892ms,0) or (keepalive,1.8sec,0)
      const left = await until("the timer", () => {
        const shown = ss("-to", `sport = :${component.localPort}`) ?? ""
        return /timer:\(keepalive,([\d.]+)(ms|sec|min)/.exec(shown) ?? undefined
      })
      const seconds = Number(left[1]) * { ms: 0.001, sec: 1, min: 60 }[left[2] as "ms" | "sec" | "min"]
      assert.isAtMost(seconds, bound)
      client.destroy()
    }
  })

  it("BindExclusively, 10048: True shares the port with nobody, and False with who does so too", async () => {
    for (const [first, second] of [
      ["True", "True"],
      ["True", "False"],
      ["False", "True"]
    ]) {
      if (!isLinux && first !== second) continue
      await using one = await listening(make(), `BindExclusively=${first}`)
      await using other = make()
      other.localPort = one.localPort
      assert.strictEqual((await failureOf(listening(other, `BindExclusively=${second}`))).code, 10048)
    }
  })

  it("BindExclusively: False lets two components share the connections to a port", { skip: !isLinux }, async () => {
    await using one = await listening(make(), "BindExclusively=False")
    await using other = make()
    other.localPort = one.localPort
    await listening(other, "BindExclusively=False")
    const taken: Array<Either> = []
    for (const component of [one, other]) hear(component, "ConnectionRequest", () => void taken.push(component))
    // the system deals them out by chance
    for (let i = 1; i <= 100; i++) {
      const client = Net.connect({ host: "127.0.0.1", port: one.localPort })
      await until(`connection ${i}`, () => taken.length === i)
      client.destroy()
    }
    assert.strictEqual(new Set(taken).size, 2)
  })

  it("InBufferSize: is the buffer of the sockets that are accepted from the next start on", async () => {
    await using component = await answering(make, "InBufferSize=4096")
    const size = async () => {
      const accepted = nextSocket()
      const client = Net.connect({ host: "127.0.0.1", port: component.localPort })
      const socket = await accepted
      client.destroy()
      return [socket.readableHighWaterMark, socket.writableHighWaterMark]
    }
    assert.deepStrictEqual(await size(), [4096, 4096])
    component.config("InBufferSize=0")
    await listenNoMore(component)
    await listen(component)
    assert.deepStrictEqual(await size(), [65536, 65536])
  })

  it("InBufferSize, DataIn.Text: no piece of a frame is larger, and a connection that is there stays as it was", async () => {
    await using component = await answering(make, "InBufferSize=1000")
    const lengths: Array<number> = []
    let last = 0
    hear(component, "DataIn", (e) => {
      lengths.push(e.text.length)
      if (e.eom) last++
    })
    await using client = await raw(component.localPort)
    await until("it", () => [...component.connections.values()][0]?.connected)
    component.config("InBufferSize=5000")
    for (let i = 1; i <= 2; i++) {
      await Effect.runPromise(client.send(Frames.text, "x".repeat(20_000)))
      await until("the message", () => last === i)
    }
    assert.strictEqual(
      lengths.reduce((sum, length) => sum + length, 0),
      40_000
    )
    assert.isAtMost(Math.max(...lengths), 1000)
  })

  it("MaxConnections: one more is answered with 503, until one has gone", async () => {
    await using component = await answering(make, "MaxConnections=1")
    await using first = await connect(component)
    const [error] = await once(new WS(`ws://127.0.0.1:${component.localPort}`), "error")
    assert.match(String(error), /503/)
    first.socket.close()
    await first.closed
    await until("it to go", () => component.connections.size === 0)
    await using second = await connect(component)
    assert.strictEqual(second.socket.readyState, second.socket.OPEN)
  })

  it("HandshakeTimeout: who does not finish a request is answered with 408", async () => {
    await using component = await answering(make, "HandshakeTimeout=1")
    const client = Net.connect({ host: "127.0.0.1", port: component.localPort })
    let answer = ""
    client.setEncoding("utf8").on("data", (text: string) => (answer += text))
    client.write("GET / HTTP/1.1\r\nHost: a\r\n")
    await once(client, "end")
    assert.match(answer, /^HTTP\/1\.1 408 /)
    client.destroy()
  })

  it("PingInterval: a client that is silent is pinged, and 0 pings none", async () => {
    await using component = await answering(make, "PingInterval=1")
    await using quiet = await answering(make, "PingInterval=0")
    await using none = await raw(quiet.localPort)
    await using client = await raw(component.localPort)
    await Effect.runPromise(client.until("ping"))
    assert.isFalse(none.has("ping"))
  })

  it("CloseTimeout: a client that does not answer Disconnect holds it up no longer", async () => {
    await using component = await answering(make, "CloseTimeout=1")
    await using client = await raw(component.localPort)
    const id = await until("it", () => [...component.connections.entries()].find(([, view]) => view.connected)?.[0])
    await component.disconnect(id)
    assert.isTrue(client.has("close 1000"))
    assert.strictEqual(component.connections.size, 0)
  })

  it("MaxMessageSize: a larger message is not put together, and ends the connection with 1009", async () => {
    await using component = await answering(make, "MaxMessageSize=1000", "BufferMessage=True")
    const lengths: Array<number> = []
    hear(component, "DataIn", (e) => void lengths.push(e.text.length))
    await using client = await raw(component.localPort)
    await Effect.runPromise(client.send(Frames.text, "x".repeat(1000)))
    await Effect.runPromise(client.send(Frames.text, "x".repeat(1001)))
    await Effect.runPromise(client.until("close 1009"))
    await until("the end", () => component.connections.size === 0)
    assert.deepStrictEqual(lengths, [1000])
  })
})

describe("WSServer", () => {
  it("InBufferSize: 0 gives pieces of at most 128 KiB", async () => {
    await using server = await listening(new WSServer())
    const lengths: Array<number> = []
    server.on("DataIn", (e) => void lengths.push(e.textB.length))
    await using client = await raw(server.localPort)
    await Effect.runPromise(client.send(Frames.binary, Buffer.alloc(400_000)))
    const sum = () => lengths.reduce((sum, length) => sum + length, 0)
    await until("all", () => sum() === 400_000)
    assert.isAtMost(Math.max(...lengths), 131_072)
  })
})
