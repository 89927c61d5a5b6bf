/**
 * How components end: `dispose` and `using`, calls that an `AbortSignal` ends, many starts and stops, and the process that they
 * are in, which they do not keep alive.
 */
import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { Link } from "../../src/component/internal/link.ts"
import { Links } from "../../src/component/internal/links.ts"
import { WSServer } from "../../src/component/WSServer.ts"
import {
  answering,
  both,
  connect,
  type Either,
  failureOf,
  hear,
  isTaken,
  listen,
  listening,
  listenNoMore,
  until
} from "./component.ts"
import { refused } from "./server.ts"

/** How many listeners of TCP there are in the process. */
const listeners = (): number => process.getActiveResourcesInfo().filter((name) => name === "TCPServerWrap").length

const isOpen = ({ connections }: Either) => [...connections.values()].some(({ connected }) => connected)

describe.each(both)("%s", (_, make) => {
  it("Dispose, 10038: ends everything at once, and nothing begins after it", async () => {
    await using component = await answering(make)
    const { localPort } = component
    const told: Array<string> = []
    hear(component, "Disconnected", (e) => void told.push(`${e.statusCode}`))
    await using client = await connect(component)
    await until("it", () => isOpen(component))
    await component.dispose()
    assert.deepStrictEqual(await client.closed, [1001, ""])
    assert.deepStrictEqual(told, ["1001"])
    assert.strictEqual(component.connections.size, 0)
    assert.isFalse(component.listening)
    assert.isFalse(await isTaken(localPort))
    assert.strictEqual((await failureOf(listen(component))).code, 10038)
    // what has nothing to end is done
    await listenNoMore(component)
    await component.shutdown()
    await component.dispose()
    assert.strictEqual(component.localPort, 0)
  })

  it("Shutdown, Disconnect, WebSocketOpenRequest: a client that is being decided about is refused, though its listener never ends", async () => {
    await using component = await answering(make)
    const asked: Array<string> = []
    hear(component, "WebSocketOpenRequest", (e) => {
      asked.push(e.connectionId)
      return new Promise(() => {})
    })
    for (const end of [() => component.disconnect(asked[0]!), () => component.shutdown()]) {
      const answer = refused(`ws://127.0.0.1:${component.localPort}/`)
      const id = await until("the event", () => asked[0])
      await end()
      assert.strictEqual((await answer).status, 503)
      await until("the end", () => !component.connections.has(id))
      asked.length = 0
    }
  })

  it("WebSocketOpenRequest: once it is answered, nothing of what waited for the answer is held", async () => {
    await using component = await answering(make)
    const connected: Array<string> = []
    hear(component, "WebSocketOpenRequest", async () => {
      await new Promise(setImmediate)
    })
    hear(component, "Connected", (e) => void connected.push(e.connectionId))
    await using _client = await connect(component)
    const id = await until("the event", () => connected[0])
    const links: unknown = Reflect.get(component, "links")
    const link: unknown = links instanceof Links ? links.get(id) : undefined
    assert.isTrue(link instanceof Link && Reflect.get(link, "release") === undefined)
  })

  it("Dispose, 10038: while it begins to listen, it does not", async () => {
    const component = make()
    component.localHost = "localhost"
    const log: Array<string> = []
    hear(component, "Log", (e) => void log.push(e.message))
    const started = failureOf(listen(component))
    await component.dispose()
    assert.strictEqual((await started).code, 10038)
    assert.isFalse(component.listening)
    assert.deepStrictEqual(log, [])
  })

  it("Dispose: `using` and `await using` do the same", async () => {
    const ports: Array<number> = []
    {
      using one = await listening(make())
      await using other = await listening(make())
      ports.push(one.localPort, other.localPort)
    }
    for (const port of ports) assert.isFalse(await isTaken(port))
  })

  it("Shutdown: disconnects every client, and it can listen again", async () => {
    await using component = await answering(make)
    const { localPort } = component
    await using one = await connect(component)
    await using other = await connect(component)
    await until("both", () => component.connections.size === 2 && isOpen(component))
    await component.shutdown()
    assert.strictEqual(component.connections.size, 0)
    assert.isFalse(component.listening)
    assert.isFalse(await isTaken(localPort))
    for (const client of [one, other]) assert.deepStrictEqual(await client.closed, [1000, "Normal closure"])
    await listen(component)
    await using another = await connect(component)
    assert.strictEqual(another.socket.readyState, another.socket.OPEN)
  })

  it("301: calls with a signal that is aborted do nothing", async () => {
    await using component = await answering(make)
    const reason = new Error("no more")
    const signal = AbortSignal.abort(reason)
    const texts: Array<string> = []
    hear(component, "DataIn", (e) => void texts.push(e.text))
    await using client = await connect(component)
    const id = await until("it", () => isOpen(component) && [...component.connections.keys()][0])
    for (const call of [() => component.disconnect(id, signal), () => component.shutdown(signal)]) {
      const error = await failureOf(call())
      assert.strictEqual(error.code, 301)
      assert.strictEqual(error.message, "Operation interrupted (or timeout).")
      assert.strictEqual(error.cause, reason)
    }
    assert.strictEqual((await failureOf(component.doEvents(signal))).code, 301)
    assert.isTrue(component.listening)
    client.socket.send("still here")
    await until("the text", () => texts.length === 1)
    await component.shutdown()
    // with no connection, too
    assert.strictEqual((await failureOf(component.shutdown(signal))).code, 301)
    assert.strictEqual((await failureOf(listen(component, signal))).code, 301)
    assert.isFalse(component.listening)
    await listen(component)
  })

  it("301: a start that is aborted on its way leaves nothing", async () => {
    await using component = make()
    component.localHost = "localhost"
    await until("those of other tests to be gone", () => listeners() === 0)
    const controller = new AbortController()
    const started = failureOf(listen(component, controller.signal))
    controller.abort()
    assert.strictEqual((await started).code, 301)
    assert.isFalse(component.listening)
    await until("nothing to be left", () => listeners() === 0)
    await listen(component)
    assert.isTrue(component.listening)
  })

  it("DoEvents: lets events happen, and waits a moment, so that a loop of it does not spin", async () => {
    await using component = await answering(make)
    const texts: Array<string> = []
    hear(component, "DataIn", (e) => void texts.push(e.text))
    await using client = await connect(component)
    client.socket.send("hello")
    const begin = performance.now()
    let turns = 0
    for (; texts.length === 0 || turns < 20; turns++) await component.doEvents()
    // a timer may be a little early, and as late as it likes
    assert.isAtLeast(performance.now() - begin, turns * 5)
  })

  it("Listening: many starts and stops leave nothing behind", async () => {
    const component = make()
    component.localHost = "127.0.0.1"
    for (let i = 0; i < 50; i++) {
      await listen(component)
      await listenNoMore(component)
    }
    await until("nothing to be left", () => listeners() === 0)
    await component.dispose()
  })

  it("two components of a process: are independent", async () => {
    await using one = await answering(make, "LogLevel=0")
    await using other = await answering(make)
    assert.notStrictEqual(one.localPort, other.localPort)
    assert.strictEqual(other.config("LogLevel"), "1")
    const told: Array<string> = []
    hear(one, "Connected", (e) => void told.push(`one ${e.connectionId}`))
    hear(other, "Connected", (e) => void told.push(`other ${e.connectionId}`))
    await using _a = await connect(one)
    await until("one", () => told.length === 1)
    await using b = await connect(other)
    await until("both", () => told.length === 2)
    assert.deepStrictEqual(told, ["one 1", "other 1"])
    assert.deepStrictEqual([one.connections.size, other.connections.size], [1, 1])
    await one.dispose()
    assert.isTrue(await isTaken(other.localPort))
    assert.strictEqual(b.socket.readyState, b.socket.OPEN)
    assert.isTrue(isOpen(other))
  })
})

describe("a process", () => {
  const component = fileURLToPath(new URL("../../src/component/index.ts", import.meta.url))

  /** Runs a program; how it ends, and what it printed. */
  const run = async (program: string) => {
    const text = `import { WebSocketProxy, WSServer } from ${JSON.stringify(component)}
const listen = async (component) => {
  component.localHost = "127.0.0.1"
  await (component.startListening ? component.startListening() : component.setListening(true))
  const client = (component.client = new WebSocket("ws://127.0.0.1:" + component.localPort))
  if (component.startListening) await new Promise((resolve) => client.addEventListener("open", resolve))
  return component
}
${program}`
    const child = spawn(process.execPath, ["--input-type=module", "--eval", text], {
      stdio: ["ignore", "pipe", "pipe"]
    })
    let output = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text))
    const [code, signal] = await once(child, "close")
    return { code, signal, output }
  }

  it("Dispose: ends by itself after it", { timeout: 60_000 }, async () => {
    for (const name of ["WSServer", "WebSocketProxy"]) {
      const program = `const component = await listen(new ${name}())
await component.shutdown()
await component.dispose()
console.log("done")`
      assert.deepStrictEqual(await run(program), { code: 0, signal: null, output: "done\n" })
    }
  })

  it("Shutdown: ends by itself after it", { timeout: 60_000 }, async () => {
    for (const name of ["WSServer", "WebSocketProxy"]) {
      const program = `await (await listen(new ${name}())).shutdown()
console.log("done")`
      assert.deepStrictEqual(await run(program), { code: 0, signal: null, output: "done\n" })
    }
  })

  it("StopListening: ends by itself when the last connection has ended after it", { timeout: 60_000 }, async () => {
    const program = `const server = await listen(new WSServer())
await server.stopListening()
server.on("DataIn", (e) => server.sendText(e.connectionId, e.text))
server.client.onmessage = (e) => (console.log(e.data), server.client.close())
server.client.send("still here")`
    assert.deepStrictEqual(await run(program), { code: 0, signal: null, output: "still here\n" })
  })

  it("in the midst of everything: ends when it says so", { timeout: 60_000 }, async () => {
    const program = `const components = [new WSServer(), new WebSocketProxy()]
for (const component of components) await listen(component)
console.log(components.map(({ listening }) => listening).join())
process.exit(3)`
    assert.deepStrictEqual(await run(program), { code: 3, signal: null, output: "true,true\n" })
  })

  it("with components that never listened: ends by itself", { timeout: 60_000 }, async () => {
    const program = `new WSServer().config("LogLevel=2"); new WebSocketProxy().localPort = 1; console.log("done")`
    assert.deepStrictEqual(await run(program), { code: 0, signal: null, output: "done\n" })
  })

  it("with a component that listens: goes on, and serves", { timeout: 60_000 }, async () => {
    const program = `const server = await listen(new WSServer())
setTimeout(() => process.exit(server.listening && server.connections.size === 1 ? 7 : 1), 300).unref()`
    assert.strictEqual((await run(program)).code, 7)
  })
})

describe("WSServer", () => {
  it("Dispose: in a listener, which waits for it", async () => {
    const server = await listening(new WSServer())
    const told: Array<string> = []
    server.on("Disconnected", (e) => void told.push(`Disconnected ${e.statusCode}`))
    server.on("Connected", async () => {
      await server.dispose()
      told.push("disposed")
    })
    await using client = await connect(server)
    assert.deepStrictEqual(await client.closed, [1001, ""])
    await until("both", () => told.length === 2)
    assert.deepStrictEqual(told.toSorted(), ["Disconnected 1001", "disposed"])
  })
})
