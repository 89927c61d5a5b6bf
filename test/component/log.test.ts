/**
 * The Log event: what each level tells, and what no level does.
 */
import { assert, describe, it, vi } from "@effect/vitest"
import { ComponentError } from "../../src/component/ComponentError.ts"
import { WebSocketProxy } from "../../src/component/WebSocketProxy.ts"
import { WSServer } from "../../src/component/WSServer.ts"
import type { LogEvent } from "../../src/component/Events.ts"
import {
  answering,
  both,
  type Client,
  connect,
  type Either,
  failureOf,
  hear,
  isTaken,
  listening,
  until
} from "./component.ts"

const secrets = {
  Authorization: "Basic b3BlbiBzZXNhbWU=",
  "Proxy-Authorization": "Bearer proxy-secret",
  Cookie: "session=cookie-secret; more=of-it",
  "X-Harmless": "authorization: is in the value"
}

/** Everything that is logged. */
const logOf = (component: Either): ReadonlyArray<LogEvent> => {
  const log: Array<LogEvent> = []
  hear(component, "Log", (e) => void log.push(e))
  return log
}

/** One client comes, says something and goes. */
const visit = async (component: Either, log: ReadonlyArray<LogEvent>): Promise<string> => {
  const ids: Array<string> = []
  const texts: Array<string> = []
  hear(component, "Connected", (e) => void ids.push(e.connectionId))
  hear(component, "DataIn", (e) => void texts.push(e.text))
  {
    await using client: Client = await connect(component, { headers: secrets })
    client.socket.send("hello there")
    await until("the text", () => texts.length === 1)
    client.socket.close(1000, "enough")
    await client.closed
  }
  await until("the end", () => component.connections.size === 0)
  await until("the log", () => log.length === 0 || log.some(({ message }) => message.startsWith("Disconnected")))
  return ids[0] ?? ""
}

const messages = (log: ReadonlyArray<LogEvent>) => log.map(({ message }) => message)

describe.each(both)("%s", (_, make) => {
  it("UseSSL, ConnectionBacklog, SSLEnabledProtocols, TcpNoDelay: that they come too late for this time is told while it listens", async () => {
    const component = make()
    const set = () => {
      component.useSSL = false
      component.connectionBacklog = 7
      component.config("SSLEnabledProtocols=3072")
      component.config("TcpNoDelay=True")
      component.config("MaxFrameSize=1000")
      component.defaultTimeout = 0
    }
    const log = logOf(component)
    set()
    await using _component = await answering(() => component)
    const before = log.length
    set()
    assert.deepStrictEqual(
      messages(log.slice(before)),
      ["UseSSL", "ConnectionBacklog", "SSLEnabledProtocols", "TcpNoDelay"].map(
        (name) => `${name} is read when listening starts: it holds from the next time on`
      )
    )
    assert.deepStrictEqual(
      messages(log.slice(0, before)).filter((message) => message.includes("next time")),
      []
    )
  })

  it("Log.LogLevel, Log.LogType, Log.Message, Log.ConnectionId: at level 1, the default, the URL, the version of HTTP and the status", async () => {
    const component = make()
    const log = logOf(component)
    await using _component = await answering(() => component)
    const id = await visit(component, log)
    assert.deepStrictEqual(messages(log), [
      `Listening on 127.0.0.1:${component.localPort}`,
      "GET / HTTP/1.1 from 127.0.0.1",
      "Connected",
      "Disconnected with status 1000: enough"
    ])
    for (const event of log) {
      assert.strictEqual(event.logLevel, 1)
      assert.strictEqual(event.logType, "Info")
      assert.strictEqual(event.connectionId, event.message.startsWith("Listening") ? "" : id)
    }
  })

  it("Log.LogLevel, Log.LogType, Log.Message: at level 2 the headers of the request, too", async () => {
    const component = make()
    const log = logOf(component)
    await using _component = await answering(() => component, "LogLevel=2")
    await visit(component, log)
    const details = log.filter(({ logLevel }) => logLevel > 1)
    assert.strictEqual(details.length, 1)
    assert.strictEqual(details[0]?.logType, "Verbose")
    assert.strictEqual(details[0]?.logLevel, 2)
    assert.include(details[0]?.message, `Host: 127.0.0.1:${component.localPort}\r\n`)
    assert.include(details[0]?.message, "Sec-WebSocket-Version: 13\r\n")
    assert.strictEqual(log.length, 5)
  })

  it("Log.Message: what a client closes with is no line of its own", async () => {
    await using component = await answering(make)
    const log = logOf(component)
    const told: Array<string> = []
    hear(component, "Disconnected", (e) => void told.push(e.description))
    await using client = await connect(component)
    const reason = "bye\r\nConnected\u001b[2J\u0085\u2028end"
    client.socket.close(1000, reason)
    await client.closed
    await until("the end", () => component.connections.size === 0)
    assert.deepStrictEqual(told, [reason])
    assert.strictEqual(messages(log).at(-1), "Disconnected with status 1000: bye Connected [2J end")
  })

  it("Log: at level 0 nothing, not even errors", async () => {
    const component = make()
    const log = logOf(component)
    await using _component = await answering(() => component, "LogLevel=0")
    await visit(component, log)
    hear(component, "Connected", () => {
      throw new Error("on purpose")
    })
    const errors: Array<number> = []
    hear(component, "Error", (e) => void errors.push(e.errorCode))
    await using client = await connect(component)
    await until("the error", () => errors.length === 1)
    assert.deepStrictEqual(log, [])
    client.socket.close()
  })

  it("Log.LogType, Log.LogLevel, Log.ConnectionId, Log.Message: an error is of type Error at level 1", async () => {
    const component = make()
    const log = logOf(component)
    await using _component = await answering(() => component)
    const errors: Array<string> = []
    hear(component, "Error", (e) => void errors.push(`${e.connectionId} ${e.description}`))
    hear(component, "Connected", () => {
      throw new Error("on purpose")
    })
    await using client = await connect(component)
    await until("the error", () => errors.length === 1)
    const told = log.filter(({ logType }) => logType === "Error")
    assert.deepStrictEqual(
      told.map((event) => `${event.connectionId} ${event.message}`),
      errors
    )
    assert.strictEqual(told[0]?.logLevel, 1)
    assert.include(told[0]?.message, "Connected: Error: on purpose")
    client.socket.close()
  })

  it("MaskSensitiveData: values of headers that are secrets are not told unless it is False", async () => {
    const component = make()
    const log = logOf(component)
    await using _component = await answering(() => component, "LogLevel=3")
    await visit(component, log)
    const masked = messages(log).join("\n")
    assert.notMatch(masked, /b3BlbiBzZXNhbWU|proxy-secret|cookie-secret|of-it/)
    for (const name of ["Authorization", "Proxy-Authorization", "Cookie"]) {
      assert.include(masked, `\n${name}: ***\r\n`.slice(name === "Authorization" ? 1 : 0))
    }
    // what only looks like one is left alone
    assert.include(masked, `X-Harmless: ${secrets["X-Harmless"]}\r\n`)
    if (component instanceof WebSocketProxy) return
    component.config("MaskSensitiveData=False")
    await visit(component, log)
    const open = messages(log).join("\n").slice(masked.length)
    for (const [name, value] of Object.entries(secrets)) assert.include(open, `${name}: ${value}\r\n`)
  })

  it("Log: a listener may call the component, which goes on", async () => {
    const component = make()
    const told: Array<string> = []
    await using _component = await answering(() => component)
    hear(component, "Log", async (e) => {
      told.push(e.message)
      component.config("LogLevel=3")
      component.defaultTimeout = 0
      await component.doEvents()
      assert.strictEqual((await failureOf(component.disconnect("no such"))).code, 126)
      if (e.message === "Connected") await component.disconnect(e.connectionId)
      if (e.message.startsWith("Disconnected")) await component.shutdown()
    })
    const disconnected: Array<string> = []
    hear(component, "Disconnected", (e) => void disconnected.push(`${e.statusCode} ${e.description}`))
    await using client = await connect(component)
    assert.deepStrictEqual(await client.closed, [1000, "Normal closure"])
    await until("the end", () => told.includes("Listening no more"))
    await until("the event", () => disconnected.length === 1)
    assert.deepStrictEqual(disconnected, ["1000 Normal closure"])
    assert.deepStrictEqual(
      told.filter((message) => !message.includes("\r\n")),
      [
        "GET / HTTP/1.1 from 127.0.0.1",
        "Connected",
        "Disconnected with status 1000: Normal closure",
        "Listening no more"
      ]
    )
    assert.isFalse(component.listening)
  })

  it("Log: a listener that fails is a warning of the process, and fails nothing", async () => {
    const component = make()
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {})
    try {
      hear(component, "Log", () => {
        throw new Error("on purpose")
      })
      const errors: Array<number> = []
      hear(component, "Error", (e) => void errors.push(e.errorCode))
      await using _component = await answering(() => component)
      await using client = await connect(component)
      await until("all", () => warn.mock.calls.length === 3)
      for (const [warning] of warn.mock.calls) {
        assert.instanceOf(warning, ComponentError)
        assert.strictEqual(warning.message, "An event listener failed. Log: Error: on purpose")
        assert.strictEqual(warning.code, 500)
      }
      assert.isTrue(await isTaken(component.localPort))
      assert.strictEqual(client.socket.readyState, client.socket.OPEN)
      assert.deepStrictEqual(errors, [])
    } finally {
      warn.mockRestore()
    }
  })
})

describe("WSServer", () => {
  it("Log.LogLevel, Log.LogType, Log.Message: at level 3 what is received, too, and never its text", async () => {
    const server = new WSServer()
    const log = logOf(server)
    await using _server = await listening(server, "LogLevel=3")
    await visit(server, log)
    const details = log.filter(({ logLevel }) => logLevel === 3)
    assert.isAbove(details.length, 0)
    for (const { logType } of details) assert.strictEqual(logType, "Debug")
    assert.include(messages(details).join("\n"), "Received 11 bytes of text, the end of a message")
    assert.notInclude(messages(log).join("\n"), "hello there")
  })

  it("Log.Message: a request that is refused, and why no subprotocol was chosen", async () => {
    const server = new WSServer()
    const log = logOf(server)
    await using _server = await listening(server)
    server.on("WebSocketOpenRequest", (e) => {
      e.subProtocols = "not offered"
    })
    await using client = await connect(server)
    server.on("WebSocketOpenRequest", (e) => {
      e.statusCode = 403
    })
    const refused = await connect(server).catch((error: unknown) => error)
    assert.match(String(refused), /403/)
    await until("the refusal", () => messages(log).includes("Refused with status 403"))
    const told = log.filter(({ logType }) => logType === "Error").map(({ message }) => message)
    const stray = "The client does not offer the subprotocol not offered: none is chosen"
    assert.deepStrictEqual(told, [stray, stray])
    assert.strictEqual(client.socket.readyState, client.socket.OPEN)
  })

  it("Log.Message, Log.LogType: a fault that nothing else tells, and what it is", async () => {
    const server = new WSServer()
    const log = logOf(server)
    await using _server = await listening(server)
    // what no listener can do unless the component is at fault
    const fault = new TypeError("a fault of ours")
    server.on("WebSocketOpenRequest", (e) => {
      Object.defineProperty(e, "answer", {
        get: () => {
          throw fault
        }
      })
    })
    const refused = await connect(server).catch((error: unknown) => error)
    assert.match(String(refused), /500/)
    await until("the line", () => messages(log).includes(`A WebSocket handler failed: ${String(fault)}`))
    assert.strictEqual(log.at(-1)?.logType, "Error")
  })

  it("Log: levels may be changed at any time", async () => {
    const server = new WSServer()
    const log = logOf(server)
    await using _server = await listening(server, "LogLevel=0")
    assert.deepStrictEqual(log, [])
    server.config("loglevel=1")
    await server.stopListening()
    assert.deepStrictEqual(messages(log), ["Listening no more"])
    server.config("LOGLEVEL=0")
    await server.startListening()
    assert.strictEqual(log.length, 1)
  })
})
