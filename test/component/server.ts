/**
 * A `WSServer` that listens on a port of this machine that the system chooses, what it tells, in order, and clients of it: the
 * `ws` package's, and one whose every frame is the test's. All of them end with `await using`.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { once } from "node:events"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import WS from "ws"
import type { DataInEvent, WSServerEvents } from "../../src/component/Events.ts"
import { WSServer } from "../../src/component/WSServer.ts"
import { open, type Options as RawOptions, type RawClient, request } from "../proxy/rawClient.ts"
import { eventually as eventuallyEffect, Watch } from "../proxy/watch.ts"

export const run = Effect.runPromise

/** Waits until something is so, for as long as a slow machine may take. */
export const eventually = <A>(what: string, look: () => A | undefined | false): Promise<A> =>
  run(eventuallyEffect(what, look, 20_000))

type Name = keyof WSServerEvents

/** The events that a test records unless it says which: all but Log. */
const names: ReadonlyArray<Name> = [
  "ConnectionRequest",
  "WebSocketOpenRequest",
  "Connected",
  "ReadyToSend",
  "DataIn",
  "Ping",
  "Error",
  "Disconnected"
]

const short = (text: string): string => (text.length > 40 ? `(${text.length})` : JSON.stringify(text))

/** An event in one line: `DataIn 1 "hello" EOM`, `Disconnected 1000 "bye"`. */
const described: { readonly [N in Name]?: (e: WSServerEvents[N]) => string } = {
  DataIn: (e) => `${e.dataFormat} ${short(e.text)}${e.eom ? " EOM" : ""}${e.eol ? " EOL" : ""}`,
  Ping: (e) => `${short(e.payload)}${e.response ? " response" : ""}`,
  Error: (e) => String(e.errorCode),
  Disconnected: (e) => `${e.statusCode} ${short(e.description)}`
}

export interface Options {
  /** Adds listeners, behind those that record. */
  readonly on?: (server: WSServer) => unknown
  /** Settings, as `config` takes them. */
  readonly config?: ReadonlyArray<string>
  /** The events to record. */
  readonly record?: ReadonlyArray<Name>
}

export class Serving implements AsyncDisposable {
  readonly server = new WSServer()
  /** What was told, of all connections, in order. */
  readonly events: Array<string> = []
  /** The same by connection; what has no id is under "". */
  readonly byId = new Map<string, Array<string>>()
  /** What DataIn gave. */
  readonly data: Array<DataInEvent> = []
  readonly watch = new Watch(() => this.events.slice(-40).join(", "))

  constructor({ config = [], on, record = names }: Options) {
    for (const name of record) this.record(name)
    for (const setting of config) this.server.config(setting)
    this.server.localHost = "127.0.0.1"
    on?.(this.server)
  }

  private record<N extends Name>(name: N): void {
    this.server.on(name, (e) => {
      const details = described[name]?.(e)
      const line = details === undefined ? name : `${name} ${details}`
      const id = "connectionId" in e ? e.connectionId : ""
      this.events.push(line)
      this.byId.set(id, [...(this.byId.get(id) ?? []), line])
      if (name === "DataIn") this.data.push(e as DataInEvent)
      this.watch.changed()
    })
  }

  get port(): number {
    return this.server.localPort
  }
  get url(): string {
    return `ws://127.0.0.1:${this.port}`
  }

  /** The events whose names begin with one of these. */
  of(...prefixes: ReadonlyArray<string>): ReadonlyArray<string> {
    return this.events.filter((event) => prefixes.some((prefix) => event.startsWith(prefix)))
  }

  /** The texts that DataIn gave. */
  get texts(): ReadonlyArray<string> {
    return this.data.map(({ text }) => text)
  }

  /** All bytes that DataIn gave. */
  get bytes(): Buffer {
    return Buffer.concat(this.data.map(({ textB }) => textB))
  }

  /** Waits until so many events that begin so were told. */
  async until(prefix: string, count = 1): Promise<void> {
    const what = `${count} times ${prefix}`
    await run(this.watch.until<true>(what, () => this.of(prefix).length >= count, 20_000))
  }

  /** How many connections can be found, those that are still decided about as well. */
  get found(): number {
    return [...this.byId.keys()].filter((id) => this.server.connections.has(id)).length
  }

  /** Waits until so many connections are left. */
  async left(count: number): Promise<void> {
    await eventually(`${count} connections`, () => this.found === count)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.dispose()
  }
}

/** A server that listens. */
export const serving = async (options: Options = {}): Promise<Serving> => {
  const serving = new Serving(options)
  await serving.server.startListening()
  return serving
}

/** The only connection's id. */
export const idOf = ({ server }: Serving): string => {
  const [id, ...others] = server.connections.keys()
  if (id === undefined || others.length > 0) throw new Error(`expected one connection, there are ${others.length + 1}`)
  return id
}

export type Raw = RawClient & AsyncDisposable

const owned = async (making: Effect.Effect<RawClient, never, Scope.Scope>): Promise<Raw> => {
  const scope = Scope.makeUnsafe()
  const client = await run(Scope.provide(making, scope))
  return Object.assign(client, { [Symbol.asyncDispose]: () => run(Scope.close(scope, Exit.void)) })
}

/** A client whose frames are the test's, when it has its 101. */
export const rawClient = (port: number, options: RawOptions = {}): Promise<Raw> => owned(open(port, options))
/** The same, when it has sent its request. */
export const rawRequest = (port: number, options: RawOptions = {}): Promise<Raw> => owned(request(port, options))

/** A client of the `ws` package. */
export class Client implements AsyncDisposable {
  readonly socket: WS
  /** The messages that came: text as strings. */
  readonly messages: Array<string | Buffer> = []
  /** The code and the reason of its end. */
  readonly closed: Promise<readonly [number, string]>

  constructor(url: string, protocols: ReadonlyArray<string>, options: WS.ClientOptions) {
    this.socket = new WS(url, [...protocols], options)
    this.socket.on("message", (data: Buffer, isBinary) => this.messages.push(isBinary ? data : data.toString()))
    this.closed = new Promise((resolve) => {
      this.socket.on("close", (code, reason) => resolve([code, reason.toString()]))
    })
  }

  /** Waits until the server has read all that was sent; not where something holds its reading up. */
  async read(): Promise<void> {
    this.socket.ping()
    await once(this.socket, "pong")
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.on("error", () => {}).terminate()
    await this.closed
  }
}

export interface ClientOptions extends WS.ClientOptions {
  readonly protocols?: ReadonlyArray<string>
}

export const connect = async (url: string, { protocols = [], ...options }: ClientOptions = {}): Promise<Client> => {
  const client = new Client(url, protocols, { perMessageDeflate: false, ...options })
  await once(client.socket, "open")
  return client
}

/** The HTTP answer that a client got in place of 101. */
export interface Refused {
  readonly status: number
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
}

/** Connects where it is refused. */
export const refused = (url: string, options: ClientOptions = {}): Promise<Refused> => {
  const { protocols = [], ...rest } = options
  const socket = new WS(url, [...protocols], rest)
  return new Promise((resolve, reject) => {
    socket.on("open", () => reject(new Error("it was accepted")))
    socket.on("error", reject)
    socket.on("unexpected-response", (_, response) => {
      response.resume()
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers }))
    })
  })
}

/** A promise and what settles it: a listener that takes its time waits for one. */
export const gate = (): { readonly opened: Promise<void>; readonly open: () => void } => {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { opened: promise, open: resolve }
}

/** Frees what nobody holds, so that what is left can be counted. */
export const collectGarbage = (): void => {
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as () => void
  collect()
  collect()
}
