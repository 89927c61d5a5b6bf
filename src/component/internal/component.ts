/**
 * What both components have: properties and settings, listeners of events, and the connections, also those from before listening
 * began again. Everything runs in one runtime of the component's own, and ends with it.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { setTimeout } from "node:timers/promises"
import type { Zlib } from "../../connection/Deflate.ts"
import * as NodeClientNames from "../../node/NodeClientNames.ts"
import * as NodeZlib from "../../node/NodeZlib.ts"
import { Refusal } from "../../protocol/OpeningHandshake.ts"
import type { ClientNames } from "../../server/ClientNames.ts"
import type { OpenRequest } from "../../server/OpenRequest.ts"
import type { Peer } from "../../server/UpgradeListener.ts"
import { ComponentError, fromUnknown } from "../ComponentError.ts"
import type { CommonEvents, LogEvent } from "../Events.ts"
import { Store } from "../Settings.ts"
import { about } from "./about.ts"
import { Access } from "./access.ts"
import { type Arrival, Arrivals } from "./arrivals.ts"
import { Emitter, type Listener } from "./emitter.ts"
import { ended, type Ending } from "./ending.ts"
import type { HasFields } from "./fields.ts"
import type { Host } from "./host.ts"
import { headerText, type Link, plainAddress } from "./link.ts"
import { Links } from "./links.ts"
import { type Listening, type Options, start } from "./listening.ts"
import { type Options as SecurityOptions, tlsOptions } from "./securing.ts"
import { inWords, Telling } from "./telling.ts"
import type { Fork } from "./waiting.ts"
import { whereToListen } from "./where.ts"

/** The sleep of `doEvents`, in milliseconds. */
const eventPause = 10

const tooMany = new Refusal({ status: 503, reason: "The server has as many connections as it takes." })

const logTypes: Readonly<Record<string, LogEvent["logType"]>> = { Error: "Error", Fatal: "Error", Warn: "Error" }

/** Properties that are not looked at while it listens. */
const readAtStart = new Set(["connectionBacklog", "sslAuthenticateClients", "sslCert", "sslProvider", "useSSL"])

export abstract class Component<Events extends CommonEvents, L extends Link<Events>> implements HasFields {
  protected readonly links = new Links<L>()
  protected readonly values: Record<string, unknown>
  protected readonly host: Host<Events>
  private readonly access: Access
  private readonly runtime: ManagedRuntime.ManagedRuntime<Zlib | ClientNames, never>
  private context: Context.Context<Zlib | ClientNames> | undefined
  /** The listening of now, and those of before that still have connections. */
  private current: Listening | undefined
  private readonly before = new Set<Listening>()
  private isStarting = false
  private isDisposed = false
  private readonly arrivals = new Arrivals()
  /** Until the last start or stop that was asked for is done. */
  private changing: Promise<void> | undefined

  protected constructor(name: "WSServer" | "WebSocketProxy", values: Record<string, unknown>) {
    this.values = {
      connectionBacklog: 5,
      defaultTimeout: 0,
      localHost: "",
      localPort: 0,
      sslAuthenticateClients: false,
      useSSL: false,
      ...values
    }
    const store = new Store({
      name,
      isListening: () => this.isListening,
      comesLate: (setting) => this.comesLate(setting),
      connection: (id) => this.link(id),
      computed: about
    })
    const emitter: Emitter<Events> = new Emitter((name, error, event) =>
      telling.listenerFailed(name, error, event, this.links)
    )
    const telling = new Telling(store, emitter)
    // an effect is started at once, and runs until it waits
    const fork: Fork = (effect) => Effect.runForkWith(this.context ?? Context.empty())(effect)
    this.host = {
      store,
      emitter,
      fork,
      logs: (level) => telling.logs(level),
      log: (of, level, message, type) => telling.log(of, level, message, type),
      report: (of, cause, otherwise) => telling.report(of, cause, otherwise),
      failed: (of, cause, otherwise) => telling.failed(of, cause, otherwise)
    }
    this.access = new Access(store)
    // what the core logs, the Log event tells
    const logger = Logger.make(({ cause, logLevel, message }) => {
      const why = cause.reasons.length === 0 ? "" : `: ${inWords(Cause.squash(cause))}`
      const words = [message].flat().map(inWords).join(": ")
      this.host.log(undefined, 1, `${words}${why}`, logTypes[logLevel] ?? "Info")
    })
    this.runtime = ManagedRuntime.make(Layer.mergeAll(NodeZlib.layer, NodeClientNames.layer(), Logger.layer([logger])))
  }

  // ---- properties and settings ---------------------------------------------------------------------------------------

  /** @internal */
  readField(key: string): unknown {
    if (key === "listening") return this.isListening
    if (this.current !== undefined) {
      if (key === "localPort") return this.current.port
      if (key === "localHost") return this.current.host
    }
    return this.values[key]
  }

  /** @internal */
  writeField(key: string, value: unknown): void {
    if (this.isListening || this.isStarting) {
      if (key === "localPort") throw new ComponentError(106)
      if (key === "localHost") throw new ComponentError(107)
      if (readAtStart.has(key)) this.comesLate(key.replace(/^ssl|^./, (start) => start.toUpperCase()))
    }
    this.values[key] = value
  }

  /** What is read when listening starts was set too late for this time. */
  protected comesLate(name: string): void {
    if (this.isListening)
      this.host.log(undefined, 1, `${name} is read when listening starts: it holds from the next time on`)
  }

  /**
   * Reads or writes a setting: `NAME`, `NAME=VALUE`, `NAME[connectionId]` or `NAME[connectionId]=VALUE`; gives its value. Names
   * may be in any case. Throws 10022 for an unknown setting or a value that it does not accept; the message says what there is.
   */
  config(configurationString: string): string {
    return this.host.store.config(configurationString)
  }

  // ---- events --------------------------------------------------------------------------------------------------------

  /** Adds a listener. It may return a promise, which is waited for before the next event of the connection. */
  on<N extends keyof Events>(event: N, listener: Listener<Events[N]>): this {
    this.host.emitter.on(event, listener)
    return this
  }
  /** Adds a listener for the next event alone. */
  once<N extends keyof Events>(event: N, listener: Listener<Events[N]>): this {
    this.host.emitter.once(event, listener)
    return this
  }
  /** Takes a listener away, or all of an event. */
  off<N extends keyof Events>(event: N, listener?: Listener<Events[N]>): this {
    this.host.emitter.off(event, listener)
    return this
  }

  /** Lets events happen for a moment. They happen by themselves; this is for loops that were written for the original. */
  doEvents(ending?: Ending): Promise<void> {
    return ended(ending, async (signal) => {
      try {
        await setTimeout(eventPause, undefined, signal === undefined ? {} : { signal })
      } catch (cause) {
        throw new ComponentError(301, { cause })
      }
    })
  }

  // ---- connections ---------------------------------------------------------------------------------------------------

  protected link(connectionId: string): L {
    const link = this.links.get(connectionId)
    if (link === undefined) throw new ComponentError(126)
    return link
  }

  /**
   * Closes a connection with DisconnectStatusCode and DisconnectStatusDescription, and waits for the client's answer unless
   * WaitForCloseResponse says not to, and then for the listeners of its events, each at most CloseTimeout. Fails with 126.
   */
  disconnect(connectionId: string, ending?: Ending): Promise<void> {
    return ended(ending, (signal) => this.link(connectionId).disconnect(signal))
  }

  protected abstract makeLink(arrival: Arrival, open: OpenRequest): L
  /** Decides about the request, answers it, and lives with the connection. */
  protected abstract serve(link: L, open: OpenRequest): Effect.Effect<void, Refusal>

  private visit(open: OpenRequest, listening: Listening): Effect.Effect<void, Refusal> {
    return Effect.suspend(() => {
      const { request } = open
      if (this.links.size >= this.host.store.get("MaxConnections")) {
        this.host.log(undefined, 1, "A connection was refused: MaxConnections is reached", "Error")
        return Effect.fail(tooMany)
      }
      const link = this.makeLink(this.arrivals.of(open.peer), open)
      this.links.set(link.connectionId, link)
      listening.enter()
      this.host.log(link, 1, `${request.method} ${request.target} HTTP/${request.httpVersion} from ${link.remoteHost}`)
      if (this.host.logs(2)) this.host.log(link, 2, headerText(request))
      return Effect.onExit(this.serve(link, open), () =>
        Effect.sync(() => {
          this.links.delete(link.connectionId)
          listening.leave()
          link.ended()
        })
      )
    })
  }

  private admit(peer: Peer, context: Context.Context<ClientNames>): Effect.Effect<boolean> {
    const allowed = this.access.allows(peer.remoteAddress)
    return typeof allowed === "boolean"
      ? this.ask(peer, allowed)
      : Effect.flatMap(Effect.provideContext(allowed, context), (accept) => this.ask(peer, accept))
  }

  /** The decision of the listeners of ConnectionRequest, whose event is preset with that of the lists. */
  private ask(peer: Peer, accept: boolean): Effect.Effect<boolean> {
    const { emitter } = this.host
    if (!emitter.has("ConnectionRequest")) return Effect.succeed(accept)
    const event = { address: plainAddress(peer.remoteAddress), port: peer.remotePort ?? 0, accept }
    const given = emitter.emit("ConnectionRequest", event)
    if (typeof given === "boolean") return Effect.succeed(given && event.accept)
    return Effect.map(
      Effect.promise(() => given),
      (isWell) => isWell && event.accept
    )
  }

  // ---- listening -----------------------------------------------------------------------------------------------------

  protected get isListening(): boolean {
    return this.current !== undefined
  }

  /** Starts and stops happen one after the other, as they were asked for; the first at once. */
  private async change(f: () => Promise<void>): Promise<void> {
    const before = this.changing
    const { promise, resolve } = Promise.withResolvers<void>()
    this.changing = promise
    try {
      if (before !== undefined) await before
      await f()
    } finally {
      if (this.changing === promise) this.changing = undefined
      resolve()
    }
  }

  protected listen(signal: AbortSignal | undefined): Promise<void> {
    return this.change(() => this.start(signal))
  }

  private async start(signal: AbortSignal | undefined): Promise<void> {
    if (this.isDisposed) throw disposed()
    if (this.isListening) throw new ComponentError(104)
    this.isStarting = true
    try {
      this.context = await this.runtime.context()
      const where = await whereToListen(String(this.values["localHost"]), this.host.store.get("UseIPv6"))
      const listening = await this.tryEach(where, signal)
      if (this.isDisposed) {
        await Effect.runPromise(listening.close)
        throw disposed()
      }
      this.current = listening
    } catch (cause) {
      if (this.isDisposed) throw disposed()
      throw aborted(signal) ?? fromUnknown(cause, 10022)
    } finally {
      this.isStarting = false
    }
    if (this.isDisposed) throw disposed()
    this.host.log(undefined, 1, `Listening on ${this.current?.host}:${this.current?.port}`, "Info")
  }

  private async tryEach(
    [where, ...others]: Awaited<ReturnType<typeof whereToListen>>,
    signal: AbortSignal | undefined
  ): Promise<Listening> {
    try {
      return await this.runtime.runPromise(
        start(this.listenOptions(where!), (open, listening) => this.visit(open, listening)),
        { signal }
      )
    } catch (error) {
      if (others.length === 0 || !lacksFamily(error)) throw error
      return this.tryEach(others, signal)
    }
  }

  private listenOptions(where: { readonly host: string; readonly ipv6Only: boolean }): Options {
    const { store } = this.host
    const context = this.context!
    return {
      listener: {
        ...where,
        // checked by their kinds
        port: this.values["localPort"] as number,
        backlog: this.values["connectionBacklog"] as number,
        reusePort: !store.get("BindExclusively"),
        noDelay: store.get("TcpNoDelay"),
        keepAlive: keepAlive(store.get("KeepAliveTime"), store.get("KeepAliveInterval")),
        highWaterMark: store.get("InBufferSize") || undefined,
        handshakeTimeout: store.get("HandshakeTimeout") * 1000,
        keepRawHeaders: true,
        tls: this.values["useSSL"] === true ? tlsOptions(this.commonHost, this.arrivals, this.security) : undefined,
        admit: (peer) => this.admit(peer, context)
      },
      server: {
        origin: "any",
        compression: this.compresses,
        // counted here, over all times of listening
        maxConnections: Infinity,
        maxMessageSize: store.get("MaxMessageSize"),
        maxFragments: Infinity,
        pingInterval: store.get("PingInterval") * 1000 || Infinity,
        closeTimeout: store.get("CloseTimeout") * 1000
      }
    }
  }

  /** Its events are the common ones, and more. */
  private get commonHost(): Host<CommonEvents> {
    return this.host as unknown as Host<CommonEvents>
  }

  /** What TLS is to be made of. */
  protected abstract get security(): SecurityOptions

  /** Whether permessage-deflate may be agreed on. */
  protected abstract get compresses(): boolean

  protected endListening(): Promise<void> {
    return this.change(async () => {
      const { current } = this
      if (current === undefined) return
      this.current = undefined
      this.before.add(current)
      await Effect.runPromise(current.stop)
      this.host.log(undefined, 1, "Listening no more", "Info")
      void current.over.then(() => this.before.delete(current))
    })
  }

  /** Listens no more, and disconnects every client. */
  shutdown(ending?: Ending): Promise<void> {
    return ended(ending, async (signal) => {
      const error = aborted(signal)
      if (error !== undefined) throw error
      await this.endListening()
      const closing = await Promise.allSettled([...this.links.values()].map((link) => link.disconnect(signal)))
      for (const result of closing) if (result.status === "rejected") throw result.reason
    })
  }

  /** Ends everything at once: clients are told that the server goes away (1001). Nothing is left, and nothing works after it. */
  async dispose(): Promise<void> {
    this.isDisposed = true
    await this.changing
    const all = [...this.before, ...(this.current === undefined ? [] : [this.current])]
    this.current = undefined
    for (const link of this.links.values()) link.wake()
    await Promise.all(all.map((listening) => Effect.runPromise(listening.close)))
    await this.runtime.dispose()
    await this.changing
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }
  [Symbol.dispose](): void {
    void this.dispose()
  }
}

/** The system's default time before a probe, in milliseconds: an interval cannot be set without a time. */
const keepAliveTime = 7_200_000

/** For both settings, 0 is the system's default. If a time is set, the default interval is a second, as the documents say. */
const keepAlive = (time: number, interval: number) =>
  time === 0 && interval === 0 ? {} : { time: time || keepAliveTime, interval: interval || 1000 }

const disposed = () => new ComponentError(10038, { detail: "The component is disposed." })

const aborted = (signal: AbortSignal | undefined): ComponentError | undefined =>
  signal?.aborted === true ? new ComponentError(301, { cause: signal.reason }) : undefined

/** Whether the system has no addresses of the family that was asked for. */
const lacksFamily = (error: unknown): boolean => {
  const { code } = fromUnknown(error, 10022)
  return code === 10047 || code === 10049
}
