/**
 * Components on a port of this machine that the system chooses, clients of them, and what a test asks of their failures.
 * Components and clients end with `await using`.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { once } from "node:events"
import * as Net from "node:net"
import WS from "ws"
import { ComponentError } from "../../src/component/ComponentError.ts"
import type { CommonEvents } from "../../src/component/Events.ts"
import { WebSocketProxy } from "../../src/component/WebSocketProxy.ts"
import { WSServer } from "../../src/component/WSServer.ts"
import * as RawClient from "../proxy/rawClient.ts"
import { eventually } from "../proxy/watch.ts"

export type Either = WSServer | WebSocketProxy

/** Both, by name, for `describe.each`. */
export const both: ReadonlyArray<readonly [name: string, make: () => Either]> = [
  ["WSServer", () => new WSServer()],
  ["WebSocketProxy", () => new WebSocketProxy()]
]

/** Begins to listen, or ends it, as each of them is asked to. */
export const listen = (component: Either, signal?: AbortSignal): Promise<void> =>
  component instanceof WSServer ? component.startListening(signal) : component.setListening(true, signal)
export const listenNoMore = (component: Either): Promise<void> =>
  component instanceof WSServer ? component.stopListening() : component.setListening(false)

/** Adds a listener of an event that both have. */
export const hear = <N extends keyof CommonEvents>(
  component: Either,
  name: N,
  listener: (event: CommonEvents[N]) => unknown
): void => {
  if (component instanceof WSServer) component.on(name, listener)
  else component.on(name, listener)
}

/** A component that listens, on 127.0.0.1 unless something else was set. */
export const listening = async <C extends Either>(component: C, ...settings: ReadonlyArray<string>): Promise<C> => {
  for (const setting of settings) component.config(setting)
  if (component.localHost === "" && component.config("UseIPv6") === "0") component.localHost = "127.0.0.1"
  await listen(component)
  return component
}

/** Waits until something is so, for as long as a slow machine may take. */
export const until = <A>(what: string, look: () => A | undefined | false): Promise<A> =>
  Effect.runPromise(eventually(what, look, 20_000))

/** What a promise fails with. */
export const failureOf = async (promise: Promise<unknown>): Promise<ComponentError> => {
  try {
    await promise
  } catch (error) {
    assert.instanceOf(error, ComponentError)
    return error
  }
  throw new Error("it did not fail")
}

/** What a function throws. */
export const thrownBy = (f: () => unknown): ComponentError => {
  try {
    f()
  } catch (error) {
    assert.instanceOf(error, ComponentError)
    return error
  }
  throw new Error("it did not throw")
}

/** A client of the `ws` package. */
export class Client implements AsyncDisposable {
  readonly socket: WS
  readonly messages: Array<string> = []
  /** The code and the reason of its end. */
  readonly closed: Promise<readonly [number, string]>

  constructor(url: string, options: WS.ClientOptions) {
    this.socket = new WS(url, { perMessageDeflate: false, ...options })
    this.socket.on("message", (data: Buffer) => this.messages.push(data.toString()))
    this.closed = new Promise((resolve) => {
      this.socket.on("close", (code, reason) => resolve([code, reason.toString()]))
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.on("error", () => {}).terminate()
    await this.closed
  }
}

/** A client of a component that listens on 127.0.0.1, when it is open. */
export const connect = async (
  { localPort }: { readonly localPort: number },
  { host = "127.0.0.1", ...options }: WS.ClientOptions & { readonly host?: string } = {}
): Promise<Client> => {
  const client = new Client(`ws://${Net.isIPv6(host) ? `[${host}]` : host}:${localPort}/`, options)
  await once(client.socket, "open")
  return client
}

/** Whether anybody takes connections there. */
export const isTaken = async (port: number, host = "127.0.0.1"): Promise<boolean> => {
  const socket = Net.connect({ host, port })
  try {
    await once(socket, "connect")
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** A TCP service that gives back what it gets, where a proxy may forward to. */
export const echo = async (): Promise<AsyncDisposable & { readonly port: number }> => {
  const sockets = new Set<Net.Socket>()
  const server = Net.createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => {}).pipe(socket)
  })
  server.listen({ host: "127.0.0.1", port: 0 })
  await once(server, "listening")
  return {
    port: (server.address() as Net.AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    }
  }
}

/** A client whose every frame is the test's. */
export const raw = async (port: number): Promise<RawClient.RawClient & AsyncDisposable> => {
  const scope = Scope.makeUnsafe()
  const client = await Effect.runPromise(Scope.provide(RawClient.open(port), scope))
  return Object.assign(client, { [Symbol.asyncDispose]: () => Effect.runPromise(Scope.close(scope, Exit.void)) })
}

/** A component that answers 101: a proxy has somewhere to forward to, which gives back what it gets. */
export const answering = async <C extends Either>(make: () => C, ...settings: ReadonlyArray<string>) => {
  const component = make()
  const target = await echo()
  if (component instanceof WebSocketProxy) {
    component.defaultForwardHost = "127.0.0.1"
    component.defaultForwardPort = target.port
  }
  await listening(component, ...settings)
  return Object.assign(component, {
    [Symbol.asyncDispose]: async () => {
      await component.dispose()
      await target[Symbol.asyncDispose]()
    }
  })
}
