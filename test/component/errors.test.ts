/**
 * The one error of the components: its shape, its codes, and that what Node and the system report becomes the documented code,
 * however deep it lies in what failed.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as SocketError from "effect/socket/Socket"
import { fileURLToPath } from "node:url"
import { ComponentError, ErrorCode, WebSocketProxy, WSServer } from "../../src/component/index.ts"
import { fromUnknown } from "../../src/component/ComponentError.ts"
import * as WebSocketErrors from "../../src/connection/WebSocketError.ts"
import { DialError } from "../../src/proxy/Dialer.ts"
import { Target } from "../../src/proxy/Target.ts"
import { ListenError } from "../../src/server/UpgradeListener.ts"
import { answering, connect, failureOf, listening, thrownBy, until } from "./component.ts"

/** An error as Node has it. */
const nodeError = (code: string) => Object.assign(new Error(`something failed, ${code}`), { code })

const target = new Target({ host: "192.0.2.1", port: 1 })

/** Everything that an error of Node comes wrapped in. */
const wraps: Readonly<Record<string, (error: Error) => unknown>> = {
  itself: (error) => error,
  "a cause of a cause": (cause) => new Error("outer", { cause: new TypeError("inner", { cause }) }),
  "an aggregate with its code": (error) =>
    Object.assign(new AggregateError([error, error]), { code: Reflect.get(error, "code") }),
  "the listener's error": (cause) => new ListenError({ address: "a:1", code: "unknown", cause }),
  "the dialler's error": (cause) => new DialError({ kind: "Failed", target, cause }),
  "an error of effect's sockets": (cause) =>
    new SocketError.SocketError({ reason: new SocketError.SocketReadError({ cause }) }),
  "a lost connection": (cause) =>
    WebSocketErrors.lost(new SocketError.SocketError({ reason: new SocketError.SocketWriteError({ cause }) }))
}

describe("what Node and the system report", () => {
  let server: WSServer
  beforeAll(async () => {
    server = await listening(new WSServer())
    server.defaultTimeout = 20
  })
  afterAll(() => server.dispose())

  /** What sending a stream fails with that fails so; the connection does not survive it. */
  const streamFails = async (cause: unknown): Promise<ComponentError> => {
    const connected = new Promise<string>((resolve) => server.once("Connected", (e) => resolve(e.connectionId)))
    await using _client = await connect(server)
    async function* fails(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(1)
      throw cause
    }
    return await failureOf(server.setUploadStream(await connected, fails()))
  }

  const tried = new Set<string>()

  it.each([
    [10004, "EINTR"],
    [10004, "ECANCELED"],
    [10009, "EBADF"],
    [10013, "EACCES"],
    [10013, "EPERM"],
    [10014, "EFAULT"],
    [10022, "EINVAL"],
    [10022, "ERR_SOCKET_BAD_PORT"],
    [10022, "ERR_INVALID_ARG_TYPE"],
    [10022, "ERR_INVALID_ARG_VALUE"],
    [10022, "ERR_OUT_OF_RANGE"],
    [10024, "EMFILE"],
    [10024, "ENFILE"],
    [10035, "EAGAIN"],
    [10035, "EWOULDBLOCK"],
    [10036, "EINPROGRESS"],
    [10037, "EALREADY"],
    [10038, "ENOTSOCK"],
    [10039, "EDESTADDRREQ"],
    [10040, "EMSGSIZE"],
    [10041, "EPROTOTYPE"],
    [10042, "ENOPROTOOPT"],
    [10043, "EPROTONOSUPPORT"],
    [10044, "ESOCKTNOSUPPORT"],
    [10045, "EOPNOTSUPP"],
    [10045, "ENOTSUP"],
    [10046, "EPFNOSUPPORT"],
    [10047, "EAFNOSUPPORT"],
    [10048, "EADDRINUSE"],
    [10049, "EADDRNOTAVAIL"],
    [10050, "ENETDOWN"],
    [10051, "ENETUNREACH"],
    [10052, "ENETRESET"],
    [10053, "ECONNABORTED"],
    [10054, "ECONNRESET"],
    [10055, "ENOBUFS"],
    [10055, "ENOMEM"],
    [10056, "EISCONN"],
    [10057, "ENOTCONN"],
    [10057, "ERR_SOCKET_CLOSED"],
    [10057, "ERR_STREAM_DESTROYED"],
    [10058, "ESHUTDOWN"],
    [10058, "EPIPE"],
    [10058, "ERR_STREAM_WRITE_AFTER_END"],
    [10059, "ETOOMANYREFS"],
    [10060, "ETIMEDOUT"],
    [10060, "ERR_SOCKET_CONNECTION_TIMEOUT"],
    [10061, "ECONNREFUSED"],
    [10062, "ELOOP"],
    [10063, "ENAMETOOLONG"],
    [10064, "EHOSTDOWN"],
    [10065, "EHOSTUNREACH"],
    [10066, "ENOTEMPTY"],
    [10067, "EPROCLIM"],
    [10068, "EUSERS"],
    [10069, "EDQUOT"],
    [10070, "ESTALE"],
    [10071, "EREMOTE"],
    [11001, "ENOTFOUND"],
    [11001, "EAI_NONAME"],
    [11002, "EAI_AGAIN"],
    [11002, "ETIMEOUT"],
    [11003, "EFORMERR"],
    [11003, "EREFUSED"],
    [11003, "ENOTIMP"],
    [11003, "ESERVFAIL"],
    [11003, "EAI_FAIL"],
    [11004, "ENODATA"],
    [11004, "EAI_NODATA"]
  ])("%i: %s, from a stream that fails with it, and wherever it lies in an error", async (code, errno) => {
    tried.add(`${code} ${errno}`)
    for (const [name, wrap] of Object.entries(wraps)) {
      const cause = wrap(nodeError(errno))
      const error = fromUnknown(cause, 4202)
      assert.strictEqual(error.code, code, name)
      assert.strictEqual(error.cause, cause, name)
      assert.strictEqual(error.message, ErrorCode.textOf(error.code))
    }
    const cause = nodeError(errno)
    const error = await streamFails(cause)
    assert.strictEqual(error.code, code)
    assert.strictEqual(error.cause, cause)
  })

  it("the rows: are all that the table has", () => {
    const table = Object.entries(ErrorCode.documented).flatMap(([code, entry]) =>
      "errnos" in entry ? entry.errnos.map((errno) => `${code} ${errno}`) : []
    )
    assert.deepStrictEqual([...tried].toSorted(), table.toSorted())
  })

  it("4202: whatever else a stream fails with", async () => {
    for (const cause of [new Error("no code"), nodeError("EUNHEARDOF"), "no error", undefined, nodeError("toString")]) {
      const error = await streamFails(cause)
      assert.strictEqual(error.code, 4202)
      assert.strictEqual(error.message, "Error sending data to the connected client.")
      assert.strictEqual(error.cause, cause)
    }
  })
})

describe("ComponentError", () => {
  it("the codes: of the table have its texts, and that alone as their message", () => {
    for (const [key, { text }] of Object.entries({ ...ErrorCode.documented, ...ErrorCode.additional })) {
      // the keys of the table are its codes
      const code = Number(key) as ErrorCode.Code
      const error = new ComponentError(code)
      assert.strictEqual(error.code, code)
      assert.strictEqual(error.message, text)
      assert.strictEqual(ErrorCode.textOf(code), text)
      if (code >= 10000) assert.isTrue(text.startsWith(`[${code}] `))
    }
  })

  it("its shape: an Error with a name, a code, a message and a cause if there is one", () => {
    const error = new ComponentError(126)
    assert.instanceOf(error, Error)
    assert.strictEqual(error.name, "ComponentError")
    assert.strictEqual(String(error), "ComponentError: Invalid ConnectionId.")
    assert.notProperty(error, "cause")
    assert.match(error.stack ?? "", /errors\.test\.ts/)
    const cause = { odd: true }
    const detailed = new ComponentError(10022, { detail: "LocalPort: expected a port.", cause })
    assert.strictEqual(detailed.message, "[10022] Invalid argument. LocalPort: expected a port.")
    assert.strictEqual(detailed.cause, cause)
  })

  it("what has a code already: keeps it", () => {
    const error = new ComponentError(108)
    assert.strictEqual(fromUnknown(error, 4202), error)
  })

  it("a chain of causes: may be long, and even go round", () => {
    const error: Error & { cause?: unknown } = new Error("round")
    error.cause = error
    assert.strictEqual(fromUnknown(error, 10053).code, 10053)
  })
})

describe("126: no connection has the id", () => {
  it("126: of every method that takes one, and of item and settings", async () => {
    await using server = await listening(new WSServer())
    await using client = await connect(server)
    const bytes = new Uint8Array(1)
    const none = "no such"
    const calls: Readonly<Record<string, () => Promise<unknown>>> = {
      changeLineMode: () => server.changeLineMode(none, true),
      disconnect: () => server.disconnect(none),
      interrupt: () => server.interrupt(none),
      pauseData: () => server.pauseData(none),
      ping: () => server.ping(none),
      processData: () => server.processData(none),
      send: () => server.send(none, bytes),
      sendBytes: () => server.sendBytes(none, bytes),
      sendFile: () => server.sendFile(none, "no such file"),
      sendText: () => server.sendText(none, "x"),
      setUploadStream: () => server.setUploadStream(none, (async function* () {})())
    }
    for (const [name, call] of Object.entries(calls)) {
      // it is a promise that fails, and nothing that is thrown
      const error = await failureOf(call())
      assert.strictEqual(error.code, 126, name)
      assert.strictEqual(error.message, "Invalid ConnectionId.")
    }
    assert.strictEqual(thrownBy(() => server.connections.item(none)).code, 126)
    assert.strictEqual(thrownBy(() => server.config(`MessageLength[${none}]`)).code, 126)
    assert.strictEqual(client.socket.readyState, client.socket.OPEN)
  })
})

describe("codes of a connection", () => {
  it("112: MaxLineLength is not changed while the connection reads by lines", async () => {
    await using server = await listening(new WSServer())
    await using client = await connect(server)
    const [id = ""] = server.connections.keys()
    await server.changeLineMode(id, true)
    const error = thrownBy(() => server.config(`MaxLineLength[${id}]=5`))
    assert.strictEqual(error.code, 112)
    assert.strictEqual(error.message, "You cannot change MaxLineLength at this time. A connection is in progress.")
    assert.strictEqual(server.config(`MaxLineLength[${id}]`), "2048")
    await server.changeLineMode(id, false)
    assert.strictEqual(server.config(`MaxLineLength[${id}]=5`), "5")
    assert.strictEqual(client.socket.readyState, client.socket.OPEN)
  })

  it("135: a file or a stream is not sent without a Timeout", async () => {
    await using server = await listening(new WSServer())
    await using client = await connect(server)
    const [id = ""] = server.connections.keys()
    const error = await failureOf(server.sendFile(id, fileURLToPath(import.meta.url)))
    assert.strictEqual(error.code, 135)
    assert.strictEqual(error.message, "Operation would block.")
    async function* stream() {
      yield "x"
    }
    assert.strictEqual((await failureOf(server.setUploadStream(id, stream()))).code, 135)
    server.connections.item(id).timeout = 10
    await server.setUploadStream(id, stream())
    await until("it", () => client.messages.length === 1)
    assert.deepStrictEqual(client.messages, ["x"])
  })

  it("100, 101: the forward host and port of a connection are not changed", async () => {
    await using proxy = await answering(() => new WebSocketProxy())
    await using client = await connect(proxy)
    const view = await until("it", () => [...proxy.connections.values()][0])
    const before = [view.forwardHost, view.forwardPort]
    assert.strictEqual(thrownBy(() => (view.forwardPort = 1)).code, 100)
    assert.strictEqual(thrownBy(() => view.setForwardPort(1)).code, 100)
    assert.strictEqual(thrownBy(() => (view.forwardHost = "localhost")).code, 101)
    assert.strictEqual(thrownBy(() => view.setForwardHost("localhost")).code, 101)
    assert.deepStrictEqual([view.forwardHost, view.forwardPort], before)
    assert.strictEqual(client.socket.readyState, client.socket.OPEN)
  })

  it("102, 116: a forward host that is none, and a port that is none", async () => {
    await using proxy = await listening(new WebSocketProxy())
    const told: Array<string> = []
    proxy.on("Error", (e) => void told.push(`${e.errorCode} ${e.connectionId} ${e.description}`))
    for (const [host, port] of [
      ["", 1],
      ["0.0.0.0", 1],
      ["127.0.0.1", 0]
    ] as const) {
      proxy.defaultForwardHost = host
      proxy.defaultForwardPort = port
      const refused = await connect(proxy).catch((error: unknown) => error)
      assert.match(String(refused), /502/)
    }
    assert.deepStrictEqual(told, [
      "102 1 The RemoteHost address is invalid (0.0.0.0).",
      "102 2 The RemoteHost address is invalid (0.0.0.0).",
      "116 3 RemotePort cannot be zero. Please specify a valid service port number."
    ])
  })
})
