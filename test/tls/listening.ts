/** Servers that speak TLS, the certificates that they need, and clients of theirs that are TLS sockets and nothing more. */
import { Data, Effect, type Scope } from "effect"
import { once } from "node:events"
import * as Net from "node:net"
import * as tls from "node:tls"
import type * as NodeTls from "../../src/node/NodeTls.ts"
import * as CertificateStore from "../../src/tls/CertificateStore.ts"
import * as Identities from "../../src/tls/Identities.ts"
import * as Serving from "../server/serving.ts"
import { upgradeRequest, Wire } from "../server/wire.ts"
import { certificate, type Request, text } from "./openssl.ts"

/** What a store with a certificate and its key is as text. */
export const pemOf = (name: string): string => text(`${name}.key`) + text(`${name}.crt`)

/** Makes a certificate and loads it. */
export const identity = (name: string, request: Request = {}) => {
  certificate(name, request)
  return CertificateStore.load({ type: CertificateStore.CertStoreType.cstPEMKeyBlob, store: pemOf(name) })
}

/** A certificate for these DNS names. */
export const named = (name: string, names: ReadonlyArray<string>, request: Request = {}) =>
  identity(name, { extensions: [`subjectAltName=${names.map((it) => `DNS:${it}`).join(",")}`], ...request })

/** A certificate for `localhost` with no more said. */
export const localhost = named("localhost", ["localhost"])

export type TlsOptions = Partial<NodeTls.Options>

/** TLS with the certificate of `localhost`, or whichever is chosen. */
export const withTls = (options: TlsOptions = {}) =>
  Effect.map(localhost, (certificate) => ({ identities: Identities.one(certificate), ...options }))

/** An echo server over TLS. */
export const echoing = Effect.fnUntraced(function* (options: TlsOptions = {}, others: Serving.Options = {}) {
  return yield* Serving.serving(Serving.echo, { ...others, tls: yield* withTls(options) })
})

/** What a client saw of a connection that came to nothing. */
export class DialError extends Data.TaggedError("DialError")<{ readonly message: string }> {}

/** A TLS socket that is connected, destroyed with the scope; fails as the client sees it. */
export const dial = (
  port: number,
  options: tls.ConnectionOptions = {}
): Effect.Effect<tls.TLSSocket, DialError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<tls.TLSSocket, DialError>((resume) => {
      const socket = tls.connect({
        host: "127.0.0.1",
        port,
        servername: "localhost",
        rejectUnauthorized: false,
        allowHalfOpen: true,
        ...options
      } as tls.ConnectionOptions)
      socket.once("error", ({ message }) => resume(Effect.fail(new DialError({ message }))))
      socket.on("error", () => {})
      socket.once("close", () => resume(Effect.fail(new DialError({ message: "closed" }))))
      socket.once("secureConnect", () => resume(Effect.succeed(socket)))
      return Effect.sync(() => void socket.destroy())
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** The same, upgraded to WebSocket. */
export const upgraded = Effect.fnUntraced(function* (port: number, options: tls.ConnectionOptions = {}) {
  const wire = new Wire(yield* dial(port, options))
  wire.write(upgradeRequest())
  const response = yield* wire.response
  if (response.status !== 101) return yield* Effect.die(new Error(`${response.status} came: ${response.body}`))
  return wire
})

/** Whether a client gets through to HTTP: in TLS 1.3 it may be connected and be refused after that. */
export const isLetIn = (port: number, options: tls.ConnectionOptions = {}): Effect.Effect<boolean> =>
  Effect.scoped(
    Effect.flatMap(dial(port, options), (socket) =>
      Effect.callback<boolean>((resume) => {
        const lost = () => resume(Effect.succeed(false))
        socket.on("end", lost).on("close", lost)
        socket.on("data", () => resume(Effect.succeed(true)))
        socket.write(upgradeRequest())
      })
    )
  ).pipe(Effect.catch(() => Effect.succeed(false)))

/** A plain TCP socket. */
export const tcp = (port: number): Effect.Effect<Net.Socket, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const socket = Net.connect({ host: "127.0.0.1", port, allowHalfOpen: true })
      await once(socket, "connect")
      socket.on("error", () => {})
      return socket
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** All bytes until the end. */
export const rest = (socket: Net.Socket): Effect.Effect<Buffer> =>
  Effect.callback<Buffer>((resume) => {
    const chunks: Array<Buffer> = []
    const done = () => resume(Effect.succeed(Buffer.concat(chunks)))
    socket.on("data", (chunk: Buffer) => chunks.push(chunk))
    socket.on("end", done).on("close", done)
    socket.resume()
  })
