/**
 * TLS over a connection that is open, to a target, direct or through a firewall, or to a firewall: the handshake, and the verdict
 * on the peer's certificate. Both ways of the connection then end by themselves as in TCP: a `close_notify` is the end of one
 * side. Node treats a FIN without one the same, so anybody on the network path can make a connection look ended.
 */
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Fs from "node:fs"
import type * as Net from "node:net"
import * as Tls from "node:tls"
import { DialError } from "../../proxy/Dialer.ts"
import type { Target } from "../../proxy/Target.ts"
import { Certificate } from "../../tls/Certificate.ts"
import type { Revocation } from "../../tls/Revocation.ts"
import type { TlsClient } from "../../tls/TlsClient.ts"
import { quiet } from "./connecting.ts"
import { layOn } from "./reset.ts"
import * as Failure from "./tlsFailure.ts"

/** With whom TLS is spoken. */
export interface Peer {
  readonly name: Failure.Peer
  /** The name or address that its certificate is to be for, where the options say no other. */
  readonly host: string
  /** For a log. */
  readonly shown: string
  /** Makes a failure of a sentence about it. */
  readonly error: (detail: string, cause?: unknown) => DialError
}

/** What is to be said if the time is over now. */
export interface Progress {
  late: string | undefined
}

export const toTarget = (target: Target): Peer => ({
  name: "target",
  // the host of a target whose name the firewall looks up is behind a star
  host: target.host.startsWith("*") ? target.host.slice(1) : target.host,
  shown: String(target),
  error: (detail, cause) => new DialError({ target, kind: "TlsFailed", detail, cause })
})

/** What is wrong with the certificate, if anything. */
const fault = (socket: Tls.TLSSocket, peer: Peer, client: TlsClient): DialError | undefined => {
  if (client.insecure || socket.authorized) return undefined
  // Node's types say Error, and it gives the code
  const verdict: unknown = socket.authorizationError
  const code = typeof verdict === "string" ? verdict : String(verdict ?? "no verdict")
  const name = client.verifiedName(peer.host)
  return peer.error(Failure.certificate(code, name, socket.getPeerX509Certificate(), peer.name), verdict)
}

/** Appends the secrets of the connection to a file that somebody asked for; what the file does not take is lost. */
const logKeys = (socket: Tls.TLSSocket, file: string) =>
  socket.on("keylog", (line: Buffer) => Fs.appendFile(file, line, { mode: 0o600 }, constVoid))

const handshake = (peer: Peer, connection: Net.Socket, client: TlsClient): Effect.Effect<Tls.TLSSocket, DialError> =>
  Effect.callback<Tls.TLSSocket, DialError>((resume) => {
    const socket = quiet(Tls.connect({ ...client.connection(peer.host), socket: connection }))
    layOn(socket, connection)
    if (client.keyLogFile !== undefined) logKeys(socket, client.keyLogFile)
    const failed = (error: DialError) => {
      finish()
      socket.destroy()
      resume(Effect.fail(error))
    }
    const onError = (cause: Error) => failed(peer.error(Failure.handshake(cause, peer.name), cause))
    const onClose = () =>
      failed(peer.error(`The ${peer.name} closed the connection in the TLS handshake.`, { code: "ECONNRESET" }))
    const onSecure = () => {
      const error = fault(socket, peer, client)
      if (error !== undefined) return failed(error)
      finish()
      resume(Effect.succeed(socket))
    }
    const finish = () => socket.off("error", onError).off("close", onClose).off("secureConnect", onSecure)
    socket.once("error", onError).once("close", onClose).once("secureConnect", onSecure)
    return Effect.sync(() => void socket.destroy())
  })

const warn = ({ shown }: Peer) =>
  Effect.logWarning(`connected to ${shown} with TLS that is insecure: its certificate was not verified`)

/** Asks whether the peer's certificate has been revoked. */
const askRevocation = Effect.fnUntraced(function* (
  peer: Peer,
  socket: Tls.TLSSocket,
  revocation: Revocation["Service"]
): Effect.fn.Return<void, DialError> {
  const refused = (why: string, cause?: unknown) => peer.error(`The ${peer.name} was not accepted: ${why}.`, cause)
  // the only way to the issuer if the peer did not send it
  const presented = socket.getPeerCertificate(true)
  const [certificate, issuer] = [presented.raw, presented.issuerCertificate?.raw].map((der) =>
    der === undefined ? undefined : new Certificate({ der })
  )
  if (certificate === undefined || issuer === undefined) return yield* refused("its certificate's issuer is not known")
  yield* Effect.mapError(revocation.check(certificate, issuer), (cause) => refused(cause.message, cause))
  // meanwhile nobody read
  if (socket.destroyed) return yield* refused("it ended the connection while its certificate was checked")
})

/** Makes a connection one of TLS. Whoever gives it sees to its end if this fails or is interrupted. */
export const secure = (
  peer: Peer,
  connection: Net.Socket,
  client: TlsClient,
  progress: Progress
): Effect.Effect<Tls.TLSSocket, DialError> => {
  const who = peer.name === "target" ? "It" : `The ${peer.shown}`
  progress.late = `${who} took the connection, but did not finish the TLS handshake in time; it may not speak TLS.`
  return Effect.tap(handshake(peer, connection, client), (socket) => {
    if (client.insecure) return warn(peer)
    progress.late = `Whether ${peer.name === "target" ? "its" : "the firewall's"} certificate has been revoked could not be found out in time.`
    return client.revocation === undefined ? Effect.void : askRevocation(peer, socket, client.revocation)
  })
}
