/**
 * A `WebSocketProxy` that listens on a port of the system's choice, in front of a target that does what the test says, and what
 * its events tell, in their order. It is disposed with the scope of its test.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { DisconnectedEvent, ErrorEvent } from "../../src/component/Events.ts"
import { WebSocketProxy } from "../../src/component/WebSocketProxy.ts"
import * as RawClient from "../proxy/rawClient.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { eventually, Watch } from "../proxy/watch.ts"

export interface Options {
  /** Sets the proxy up, before it listens. */
  readonly setUp?: ((proxy: WebSocketProxy) => void) | undefined
  /** Settings, as `config` takes them. */
  readonly config?: ReadonlyArray<string> | undefined
  readonly accepting?: RawTarget.Options | undefined
}

/** What the events tell, each in a line. DataIn is not listened to, since that changes the way that the bytes go. */
export class Told {
  readonly lines: Array<string> = []
  readonly errors: Array<ErrorEvent> = []
  readonly ends: Array<DisconnectedEvent> = []
  readonly logged: Array<string> = []
  readonly watch = new Watch(() => this.lines.join(", "))

  constructor(proxy: WebSocketProxy) {
    const tell = (line: string) => {
      this.lines.push(line)
      this.watch.changed()
    }
    proxy
      .on("WebSocketOpenRequest", (e) => tell(`WebSocketOpenRequest ${e.connectionId}`))
      .on("Connected", (e) => tell(`Connected ${e.connectionId}`))
      .on("Disconnected", (e) => {
        this.ends.push(e)
        tell(`Disconnected ${e.connectionId} ${e.statusCode}`)
      })
      .on("Error", (e) => {
        this.errors.push(e)
        tell(`Error ${e.connectionId} ${e.errorCode}`)
      })
      .on("Log", (e) => void this.logged.push(`${e.logType} ${e.connectionId} ${e.message}`))
  }

  has(line: string): boolean {
    return this.lines.includes(line)
  }

  until(line: string, millis?: number): Effect.Effect<true> {
    return this.watch.until<true>(line, () => this.has(line), millis)
  }

  /** How many lines begin so. */
  count(beginning: string): number {
    return this.lines.filter((line) => line.startsWith(beginning)).length
  }

  /** Waits until so many lines begin so. */
  untilCount(beginning: string, count: number, millis?: number): Effect.Effect<true> {
    return this.watch.until<true>(`${count} of ${beginning}`, () => this.count(beginning) >= count, millis)
  }
}

export interface Forwarding {
  readonly proxy: WebSocketProxy
  /** The default forward host. */
  readonly listener: RawTarget.RawTarget
  readonly told: Told
}

/** A proxy that is set up and does not listen; it is disposed at the end. */
export const make = (setUp?: Options["setUp"]): Effect.Effect<WebSocketProxy, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const proxy = new WebSocketProxy()
      proxy.localHost = "127.0.0.1"
      setUp?.(proxy)
      return proxy
    }),
    (proxy) => Effect.promise(() => proxy.dispose())
  )

/** A method that must not fail. */
export const call = (f: () => Promise<unknown>): Effect.Effect<void> => Effect.asVoid(Effect.promise(f))

/** What a method fails with: its code. */
export const codeOf = (f: () => Promise<unknown>): Effect.Effect<unknown> =>
  Effect.promise(() =>
    f().then(
      () => "no failure",
      (error: unknown) => (error instanceof Error && "code" in error ? error.code : error)
    )
  )

/** What a call throws: its code. */
export const thrown = (f: () => unknown): unknown => {
  try {
    f()
  } catch (error) {
    return error instanceof Error && "code" in error ? error.code : error
  }
  return "nothing thrown"
}

/** What a call throws: its message. */
export const saying = (f: () => unknown): string => {
  try {
    f()
  } catch (error) {
    return String(error)
  }
  return "nothing thrown"
}

/** A proxy that listens, before a target that listens. */
export const listen = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<Forwarding, never, Scope.Scope> {
  const listener = yield* RawTarget.listen(options.accepting)
  const proxy = yield* make((proxy) => {
    proxy.defaultForwardHost = "127.0.0.1"
    proxy.defaultForwardPort = listener.port
    for (const setting of options.config ?? []) proxy.config(setting)
    options.setUp?.(proxy)
  })
  const told = new Told(proxy)
  yield* call(() => proxy.setListening(true))
  // a target that ends nothing would hold the end of the proxy up for its close timeout
  yield* Effect.addFinalizer(() => Effect.forEach(listener.connections, ({ release }) => release, { discard: true }))
  return { proxy, listener, told }
})

export interface Connected extends Forwarding {
  readonly client: RawClient.RawClient
  readonly target: RawTarget.TargetConnection
  /** The id of the connection. */
  readonly id: string
}

/** The same with a connection that is open. */
export const connected = Effect.fnUntraced(function* (
  options: Options & { readonly client?: RawClient.Options | undefined } = {}
): Effect.fn.Return<Connected, never, Scope.Scope> {
  const forwarding = yield* listen(options)
  const client = yield* RawClient.open(forwarding.proxy.localPort, options.client)
  const target = yield* forwarding.listener.accept
  yield* forwarding.told.until("Connected 1")
  return { ...forwarding, client, target, id: "1" }
})

/** Waits until the proxy does not know a connection any more. */
export const gone = ({ connections }: WebSocketProxy, id: string): Effect.Effect<unknown> =>
  eventually(`the end of connection ${id}`, () => !connections.has(id))

/** More than any test makes; they are counted up. */
const ids = Array.from({ length: 100 }, (_, i) => String(i + 1))

/** Waits until the proxy has no connections, nor any that is still decided about. */
export const idle = ({ connections }: WebSocketProxy, millis?: number): Effect.Effect<unknown> =>
  eventually("the end of all connections", () => !ids.some((id) => connections.has(id)), millis)
