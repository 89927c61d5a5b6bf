/**
 * TLS over a connection to a target that is open, direct or through a firewall: the handshake, and the verdict on the target's
 * certificate. Both ways of the connection then end by themselves as in TCP: a `close_notify` is the end of one side. Node does
 * not tell a FIN that comes without one from it, so that whoever is on the way can make a connection look ended.
 */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import type * as Net from "node:net"
import * as Tls from "node:tls"
import { DialError } from "../../proxy/Dialer.ts"
import type { Target } from "../../proxy/Target.ts"
import { Certificate } from "../../tls/Certificate.ts"
import type { Revocation } from "../../tls/Revocation.ts"
import type { TlsClient } from "../../tls/TlsClient.ts"
import { layOn } from "./reset.ts"
import * as Failure from "./tlsFailure.ts"

/** What is to be said if the time is over now. */
export interface Progress {
  late: string | undefined
}

const ignore = () => {}

/** The host of a target whose name the firewall looks up is behind a star. */
const hostOf = ({ host }: Target): string => (host.startsWith("*") ? host.slice(1) : host)

/** What is wrong with the certificate, if anything. */
const fault = (socket: Tls.TLSSocket, target: Target, client: TlsClient): DialError | undefined => {
  if (client.insecure || socket.authorized) return undefined
  // Node's types say Error, and it gives the code
  const verdict: unknown = socket.authorizationError
  const code = typeof verdict === "string" ? verdict : String(verdict ?? "no verdict")
  const name = client.verifiedName(hostOf(target))
  const detail = Failure.certificate(code, name, socket.getPeerX509Certificate())
  return new DialError({ target, kind: "TlsFailed", detail, cause: verdict })
}

/** Appends the secrets of the connection to a file that somebody asked for; what the file does not take is lost. */
const logKeys = (socket: Tls.TLSSocket, file: string) =>
  socket.on("keylog", (line: Buffer) => Fs.appendFile(file, line, { mode: 0o600 }, ignore))

const handshake = (
  target: Target,
  connection: Net.Socket,
  client: TlsClient
): Effect.Effect<Tls.TLSSocket, DialError> =>
  Effect.callback<Tls.TLSSocket, DialError>((resume) => {
    const socket = Tls.connect({ ...client.connection(hostOf(target)), socket: connection })
    layOn(socket, connection)
    // whoever reads adds a listener of its own, but not before this fiber runs on
    socket.on("error", ignore)
    if (client.keyLogFile !== undefined) logKeys(socket, client.keyLogFile)
    const failed = (error: DialError) => {
      finish()
      socket.destroy()
      resume(Effect.fail(error))
    }
    const onError = (cause: Error) =>
      failed(new DialError({ target, kind: "TlsFailed", detail: Failure.handshake(cause), cause }))
    const onClose = () =>
      failed(
        new DialError({ target, kind: "TlsFailed", detail: "The target closed the connection in the TLS handshake." })
      )
    const onSecure = () => {
      const error = fault(socket, target, client)
      if (error !== undefined) return failed(error)
      finish()
      resume(Effect.succeed(socket))
    }
    const finish = () => socket.off("error", onError).off("close", onClose).off("secureConnect", onSecure)
    socket.once("error", onError).once("close", onClose).once("secureConnect", onSecure)
    return Effect.sync(() => void socket.destroy())
  })

const warn = (target: Target) =>
  Effect.logWarning(`connected to ${target} with TLS that is insecure: its certificate was not verified`)

/** Asks whether the target's certificate has been revoked. */
const askRevocation = Effect.fnUntraced(function* (
  target: Target,
  socket: Tls.TLSSocket,
  revocation: Revocation["Service"]
): Effect.fn.Return<void, DialError> {
  const refused = (why: string, cause?: unknown) =>
    new DialError({ target, kind: "TlsFailed", detail: `The target was not accepted: ${why}.`, cause })
  // the only way to the issuer if the target did not send it
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
  target: Target,
  connection: Net.Socket,
  client: TlsClient,
  progress: Progress
): Effect.Effect<Tls.TLSSocket, DialError> => {
  progress.late = "It took the connection, but did not finish the TLS handshake in time; it may not speak TLS."
  return Effect.tap(handshake(target, connection, client), (socket) => {
    if (client.insecure) return warn(target)
    progress.late = "Whether its certificate has been revoked could not be found out in time."
    return client.revocation === undefined ? Effect.void : askRevocation(target, socket, client.revocation)
  })
}
