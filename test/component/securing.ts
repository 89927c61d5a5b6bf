/**
 * Components that speak TLS, with certificates made for the test, what their events told in order, and clients of them: Node's
 * `tls`, `ws` over it, and `openssl s_client`.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Net from "node:net"
import * as tls from "node:tls"
import type WS from "ws"
import type { CommonEvents, ErrorEvent } from "../../src/component/Events.ts"
import { WebSocketProxy } from "../../src/component/WebSocketProxy.ts"
import { WSServer } from "../../src/component/WSServer.ts"
import { certificate, folder, openssl, type Request, text, write } from "../tls/openssl.ts"
import { Client, echo, type Either, hear, listen } from "./component.ts"

/** Of CertStoreTypes. */
const cstPEMKeyFile = 6

/** A certificate with its key in one PEM file, made once for each name; gives the file. */
export const pem = (name: string, request?: Request): string => {
  certificate(name, request)
  return write(`${name}.pem`, text(`${name}.key`) + text(`${name}.crt`))
}

/** The same as PFX. */
export const pfx = (name: string, password: string, request?: Request): string => {
  certificate(name, request)
  openssl(
    ..."pkcs12 -export -out".split(" "),
    `${name}.pfx`,
    ..."-passout".split(" "),
    `pass:${password}`,
    "-inkey",
    `${name}.key`,
    "-in",
    `${name}.crt`
  )
  return `${folder}/${name}.pfx`
}

/** For whom the usual certificate of a test is. */
export const local: Request = { extensions: ["subjectAltName=DNS:localhost,IP:127.0.0.1"] }

/** Has a component show a certificate of a PEM file. */
export const show = (component: Either, file: string): void => {
  if (component instanceof WSServer) {
    const { sslCert } = component
    sslCert.storeType = cstPEMKeyFile
    sslCert.store = file
    sslCert.subject = "*"
  } else {
    component.sslCertStoreType = cstPEMKeyFile
    component.sslCertStore = file
    component.sslCertSubject = "*"
  }
}

const names = [
  "ConnectionRequest",
  "SSLConnectionRequest",
  "SSLClientAuthentication",
  "SSLStatus",
  "WebSocketOpenRequest",
  "Connected",
  "DataIn",
  "Error",
  "Disconnected"
] as const

export interface Options {
  /** The PEM file of the certificate. Default: one for this machine. Empty: none is set. */
  readonly certificate?: string
  readonly config?: ReadonlyArray<string>
  /** Sets what else there is to set, and adds listeners. */
  readonly on?: (component: Either) => unknown
  /** Events that nothing here listens to. */
  readonly without?: ReadonlyArray<(typeof names)[number]>
}

export class Secured<C extends Either> implements AsyncDisposable {
  readonly component: C
  /** `NAME ID` for each event. */
  readonly events: Array<string> = []
  readonly statuses: Array<CommonEvents["SSLStatus"]> = []
  readonly errors: Array<ErrorEvent> = []
  private readonly end: () => Promise<void>

  private constructor(component: C, options: Options, end: () => Promise<void>) {
    this.component = component
    this.end = end
    for (const name of names) {
      if (options.without?.includes(name) === true) continue
      hear(component, name, (event) => {
        this.events.push(`${name} ${"connectionId" in event ? event.connectionId : ""}`)
      })
    }
    if (options.without?.includes("SSLStatus") !== true)
      hear(component, "SSLStatus", (e) => this.statuses.push({ ...e }))
    hear(component, "Error", (e) => this.errors.push({ ...e }))
    for (const setting of options.config ?? []) component.config(setting)
    component.localHost = "127.0.0.1"
    component.useSSL = true
    const file = options.certificate ?? pem("server", local)
    if (file !== "") show(component, file)
    options.on?.(component)
  }

  /** A component that listens. A proxy forwards to a service that gives back what it gets. */
  static async start<C extends Either>(make: () => C, options: Options = {}): Promise<Secured<C>> {
    const component = make()
    const target = component instanceof WebSocketProxy ? await echo() : undefined
    if (component instanceof WebSocketProxy) {
      component.defaultForwardHost = "127.0.0.1"
      component.defaultForwardPort = target?.port ?? 0
    }
    const end = async () => {
      await component.dispose()
      await target?.[Symbol.asyncDispose]()
    }
    try {
      const secured = new Secured(component, options, end)
      await listen(component)
      return secured
    } catch (error) {
      await end()
      throw error
    }
  }

  get port(): number {
    return this.component.localPort
  }

  /** The messages of SSLStatus, one to a line. */
  get status(): string {
    return this.statuses.map(({ message }) => message).join("\n")
  }

  /** The codes of the errors that were told. */
  get codes(): ReadonlyArray<number> {
    return this.errors.map(({ errorCode }) => errorCode)
  }

  /** A WebSocket client, when it is open; by another port, if there is something in between. */
  async wss(options: WS.ClientOptions = {}, port = this.port): Promise<Client> {
    const client = new Client(`wss://127.0.0.1:${port}/`, { rejectUnauthorized: false, ...options })
    await once(client.socket, "open")
    return client
  }

  /** A TLS client, when its handshake is done. */
  tls(options: tls.ConnectionOptions = {}): Promise<TlsClient> {
    return TlsClient.open({ host: "127.0.0.1", port: this.port, rejectUnauthorized: false, ...options })
  }

  /** Why a TLS client could not connect; "" if it could. */
  async refusal(options: tls.ConnectionOptions = {}): Promise<string> {
    try {
      await using client = await this.tls(options)
      // with TLS 1.3 a client is done before the server is
      return await client.fate
    } catch (error) {
      return error instanceof Error ? ("code" in error ? String(error.code) : error.message) : String(error)
    }
  }

  /** Runs `openssl s_client` against it, and gives what that printed. */
  async sClient(...args: ReadonlyArray<string>): Promise<string> {
    const all = ["s_client", "-connect", `127.0.0.1:${this.port}`, ...args]
    const child = spawn("openssl", all, { cwd: folder, stdio: ["pipe", "pipe", "pipe"] })
    let printed = ""
    child.stdout.on("data", (chunk: Buffer) => (printed += chunk.toString()))
    child.stderr.on("data", (chunk: Buffer) => (printed += chunk.toString()))
    child.stdin.on("error", () => {}).end()
    await once(child, "close")
    return printed
  }

  /** The first connection's id: that of its first event which has one. */
  get id(): string {
    return this.events.map((event) => event.split(" ")[1]!).find((id) => id !== "") ?? ""
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end()
  }
}

export class TlsClient implements AsyncDisposable {
  readonly socket: tls.TLSSocket
  /** Whether the handshake with this client is over and done with for the server, too: "" if so, and else why not. */
  readonly fate: Promise<string>

  private constructor(socket: tls.TLSSocket) {
    this.socket = socket
    this.fate = new Promise((resolve) => {
      socket.on("error", (error) => resolve("code" in error ? String(error.code) : error.message))
      socket.on("close", () => resolve("closed"))
      socket.on("data", () => resolve(""))
      socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    })
  }

  static async open(options: tls.ConnectionOptions): Promise<TlsClient> {
    const socket = tls.connect(options)
    await once(socket, "secureConnect")
    return new TlsClient(socket)
  }

  /** The common name of the certificate that the server showed. */
  get shown(): string {
    return String(this.socket.getPeerCertificate().subject.CN)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.socket.closed) return
    this.socket.destroy()
    await closing(this.socket)
  }
}

/** What goes through it can be changed on its way to the server, from where it is said to be. */
export class Relay implements AsyncDisposable {
  private readonly server: Net.Server
  private readonly sockets = new Set<Net.Socket>()
  /** Changes a piece of what the client sends. */
  change: (chunk: Buffer) => Buffer = (chunk) => chunk
  /** Changes a piece of what the server sends, which is the last then. */
  changeBack: (chunk: Buffer) => Buffer = (chunk) => chunk

  private constructor(target: number) {
    this.server = Net.createServer((client) => {
      const upstream = Net.connect({ host: "127.0.0.1", port: target })
      for (const socket of [client, upstream]) {
        this.sockets.add(socket)
        socket.on("error", () => {})
      }
      // who has sent an alert goes, and the other end is to read it first
      client.on("data", (chunk: Buffer) => upstream.write(this.change(chunk)))
      upstream
        .on("data", (chunk: Buffer) => {
          const changed = this.changeBack(chunk)
          client.write(changed)
          if (changed !== chunk) upstream.pause()
        })
        .on("close", () => client.destroy())
    })
  }

  static async open(target: number): Promise<Relay> {
    const relay = new Relay(target)
    relay.server.listen({ host: "127.0.0.1", port: 0 })
    await once(relay.server, "listening")
    return relay
  }

  get port(): number {
    // net.Server gives an AddressInfo for a port
    return (this.server.address() as Net.AddressInfo).port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    await new Promise((resolve) => this.server.close(resolve))
  }
}

/** Until a socket is closed, by a reset or in order. */
export const closing = (socket: Net.Socket): Promise<void> =>
  socket.closed
    ? Promise.resolve()
    : new Promise((resolve) => void socket.on("error", () => {}).on("close", () => resolve()))
