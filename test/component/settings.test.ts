/**
 * The settings of both components, as `config` reads and writes them.
 */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { items } from "../../src/component/Catalogue.ts"
import { WebSocketProxy } from "../../src/component/WebSocketProxy.ts"
import { WSServer } from "../../src/component/WSServer.ts"
import { both, connect, type Either, echo, listening, listenNoMore, thrownBy, until } from "./component.ts"
import { ofConnections, readOnly, type Row, rows } from "./settings.ts"

const has = (component: Either, of: Row["of"]): boolean =>
  of === "both" || (component instanceof WSServer ? of === "server" : of === "proxy")

/** Asks for a setting in every way that it may be asked for. */
const spellings = (name: string): ReadonlyArray<string> => [
  name,
  name.toLowerCase(),
  name.toUpperCase(),
  ` ${name} `,
  `\t${name}\n`
]

const check = (component: Either, { accepts, bad, first, good, name }: Row): void => {
  const config = (text: string) => component.config(text)
  for (const spelling of spellings(name)) assert.strictEqual(config(spelling), first, spelling)
  for (const [written, read = written] of good) {
    for (const spelling of spellings(name)) {
      assert.strictEqual(config(`${spelling}=${written}`), read)
      assert.strictEqual(config(name), read)
      config(`${name}=${first}`)
    }
    config(`${name}=${written}`)
  }
  const last = config(name)
  for (const value of bad) {
    const error = thrownBy(() => config(`${name}=${value}`))
    assert.strictEqual(error.code, 10022)
    assert.include(error.message, `${name}: expected ${accepts}, got "`)
    assert.strictEqual(config(name), last)
  }
}

const rowOf = (name: string): Row => rows.find((row) => row.name === name)!

describe.each(both)("%s", (_, make) => {
  it("all that works or has a meaning with TLS: value at first, values that it takes, values that it does not", async () => {
    for (const row of rows) {
      await using component = make()
      if (has(component, row.of)) check(component, row)
      else {
        const error = thrownBy(() => component.config(row.name))
        assert.strictEqual(error.code, 10022, row.name)
        assert.match(error.message, /(WSServer|WebSocketProxy) has no setting /)
      }
    }
  })

  it("the tables: have what the documents have", () => {
    const documents: ReadonlyArray<string> =
      make() instanceof WSServer ? ["both", "server", "none"] : ["both", "proxy", "none"]
    const expected = items.filter((item) => item.kind === "setting" && documents.includes(item.documents))
    const of = (of: Row["of"]) => has(make(), of)
    const names = [
      ...rows.filter((row) => of(row.of)).map(({ name }) => name),
      ...ofConnections.filter(([, to]) => of(to)).map(([name]) => name),
      ...(of("server") ? readOnly : [])
    ]
    assert.deepStrictEqual(names.toSorted(), expected.map(({ name }) => name).toSorted())
  })

  it("TLS13KeyShareGroups: has no meaning here, is taken and read back", async () => {
    await using component = make()
    check(component, rowOf("TLS13KeyShareGroups"))
  })

  it("Config: takes the six spellings of true and false in any case, and reads back one of each", async () => {
    await using component = make()
    const spellings = {
      True: ["True", "true", "TRUE", "tRuE", "1", "Yes", "YES", "yes", " Yes\t"],
      False: [] as Array<string>
    }
    spellings.False = ["False", "false", "FALSE", "0", "No", "NO", "no", " no "]
    for (const [read, all] of Object.entries(spellings)) {
      for (const written of all) assert.strictEqual(component.config(`BufferMessage=${written}`), read)
      assert.strictEqual(component.config("BufferMessage"), read)
    }
  })

  it("Config: takes a value as it is, with spaces, equals signs, brackets and lines", async () => {
    await using component = make()
    for (const value of [" x ", "a=b=c", "=", "[1]=x", "one\r\ntwo\nthree", "é\u2028😀"]) {
      assert.strictEqual(component.config(`SSLCACerts=${value}`), value)
      assert.strictEqual(component.config("sslcacerts"), value)
    }
    assert.strictEqual(component.config("SSLCACerts="), "")
  })

  it("Config, 10022: an unknown name is told, with one that is like it", async () => {
    await using component = make()
    const tell = (text: string, ...hint: ReadonlyArray<string>) => {
      const error = thrownBy(() => component.config(text))
      assert.strictEqual(error.code, 10022)
      assert.match(
        error.message,
        new RegExp(`^\\[10022\\] Invalid argument\\. \\w+ has no setting ${text.split("=")[0]}\\.${hint.join("")}$`)
      )
    }
    tell("MaxConections", " Did you mean MaxConnections\\?")
    tell("tcpnodelai=1", " Did you mean TcpNoDelay\\?")
    tell("KeepAliveTimes=1", " Did you mean KeepAliveTime\\?")
    tell("LogLevl=2", " Did you mean LogLevel\\?")
    tell("Frobnicate")
    tell("Frobnicate=1")
    // what is no own setting of an object
    for (const name of ["constructor", "__proto__", "toString", "hasOwnProperty"]) tell(name)
  })

  it("Config, 10022: what is no name is told", async () => {
    await using component = make()
    for (const text of ["", " ", "=1", "Log Level=1", "LogLevel[", "LogLevel]", "LogLevel[1", "[1]=2", "LogLevel x"]) {
      const error = thrownBy(() => component.config(text))
      assert.strictEqual(error.code, 10022)
      assert.include(error.message, "config: expected NAME, NAME=VALUE or NAME[connectionId], got ")
    }
    for (const value of [undefined, null, 5, {}, true]) {
      assert.strictEqual(thrownBy(() => Reflect.apply(component.config, component, [value])).code, 10022)
    }
    assert.strictEqual(component.config("LogLevel"), "1")
  })

  it("Config, 10022: a connection is named for settings of connections, and for no others", async () => {
    await using component = make()
    for (const text of ["LogLevel[1]", "LogLevel[1]=2", "LogLevel[]", "maxconnections[x]=5"]) {
      const error = thrownBy(() => component.config(text))
      assert.strictEqual(error.code, 10022)
      assert.match(error.message, /(LogLevel|MaxConnections) is not of a connection: write it without \[.?\]\.$/)
    }
    for (const text of ["MessageLength", "messagelength=5", "MessageLength=nonsense"]) {
      const error = thrownBy(() => component.config(text))
      assert.strictEqual(error.code, 10022)
      assert.match(error.message, /MessageLength is of a connection: write MessageLength\[connectionId\]\.$/)
    }
    assert.strictEqual(component.config("LogLevel"), "1")
  })

  it("Config, 126: no connection has the id", async () => {
    await using component = make()
    for (const text of ["MessageLength[1]", "MessageLength[]", "MessageLength[1]=5", "MessageLength[no such]=5"]) {
      assert.strictEqual(thrownBy(() => component.config(text)).code, 126, text)
    }
  })

  it("Config: a setting of a connection alone is written and read with its id, in any case", async () => {
    await using target = await echo()
    await using component = await listening(make())
    if (component instanceof WebSocketProxy) {
      component.defaultForwardHost = "127.0.0.1"
      component.defaultForwardPort = target.port
    }
    await using client = await connect(component)
    const id = await until("it", () => [...component.connections.entries()].find(([, view]) => view.connected)?.[0])
    assert.strictEqual(component.config(`MessageLength[${id}]`), "0")
    assert.strictEqual(component.config(`messagelength [${id}] =70`), "70")
    assert.strictEqual(component.config(` MESSAGELENGTH[${id}]`), "70")
    const error = thrownBy(() => component.config(`MessageLength[${id}]=-1`))
    assert.strictEqual(error.code, 10022)
    assert.include(error.message, "MessageLength: expected a whole number of bytes from 0 to 9007199254740991, got ")
    assert.strictEqual(component.config(`MessageLength[${id}]`), "70")
    assert.strictEqual(client.socket.readyState, client.socket.OPEN)
  })

  it("108, MaxConnections: is not set while it listens, and is from 1 to 100,000", async () => {
    await using component = await listening(make())
    const error = thrownBy(() => component.config("MaxConnections=5"))
    assert.strictEqual(error.code, 108)
    assert.strictEqual(error.message, "Cannot change MaxConnections when TCPServer is listening.")
    assert.strictEqual(component.config("MaxConnections"), "1000")
    await listenNoMore(component)
    check(component, rowOf("MaxConnections"))
  })
})

describe("WSServer", () => {
  it.each([["UseBackgroundThread"], ["GUIAvailable"], ["UseInternalSecurityAPI"]])(
    "%s: has no meaning here, is taken and read back",
    async (name) => {
      await using server = new WSServer()
      check(server, rowOf(name))
    }
  )

  it("BuildInfo, LicenseInfo, 10022: say what this is, and can only be read", async () => {
    await using server = new WSServer()
    const { license, name, version } = JSON.parse(
      readFileSync(new URL("../../package.json", import.meta.url), "utf8")
    ) as Record<string, string>
    const { node, openssl } = process.versions
    assert.strictEqual(server.config("BuildInfo"), `${name} ${version}, Node ${node}, OpenSSL ${openssl}`)
    assert.strictEqual(server.config("licenseinfo"), `${name}: ${license} licence`)
    for (const name of readOnly) {
      const before = server.config(name)
      const error = thrownBy(() => server.config(`${name}=x`))
      assert.strictEqual(error.code, 10022)
      assert.match(error.message, new RegExp(`${name} can only be read\\.$`))
      assert.strictEqual(server.config(name), before)
    }
  })

  it("10022, 126: what TLS agreed on is of a connection, and can only be read", async () => {
    await using server = await listening(new WSServer())
    await using client = await connect(server)
    const [id] = [...server.connections.keys()]
    for (const [name, , isReadOnly] of ofConnections) {
      if (!isReadOnly) continue
      assert.strictEqual(server.config(`${name}[${id}]`), "")
      assert.strictEqual(thrownBy(() => server.config(`${name}[${id}]=x`)).code, 10022)
      assert.strictEqual(thrownBy(() => server.config(name)).code, 10022)
      assert.strictEqual(thrownBy(() => server.config(`${name}[no such]`)).code, 126)
    }
    assert.strictEqual(client.socket.readyState, client.socket.OPEN)
  })

  it("Config: a setting may be of a connection or of those to come", async () => {
    await using server = await listening(new WSServer())
    await using first = await connect(server)
    const [one] = [...server.connections.keys()]
    assert.strictEqual(server.config("MaxLineLength=100"), "100")
    await using second = await connect(server)
    const [, two] = [...server.connections.keys()]
    assert.strictEqual(server.config(`MaxLineLength[${one}]`), "2048")
    assert.strictEqual(server.config(`MaxLineLength[${two}]`), "100")
    assert.strictEqual(server.config(`MaxLineLength[${one}]=7`), "7")
    assert.strictEqual(server.config(`MaxLineLength[${two}]`), "100")
    assert.strictEqual(server.config("MaxLineLength"), "100")
    assert.strictEqual(first.socket.readyState, second.socket.readyState)
  })
})

describe("WebSocketProxy", () => {
  it.each([["OpenSSLPrngSeedData"], ["SSLProvider"]])(
    "%s: has no meaning here, is taken and read back",
    async (name) => {
      await using proxy = new WebSocketProxy()
      check(proxy, rowOf(name))
    }
  )
})
