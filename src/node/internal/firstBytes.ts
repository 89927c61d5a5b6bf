/**
 * The ClientHello, read off a socket before TLS is there to do so. What was read is put back for TLS, byte for byte.
 */
import * as Effect from "effect/Effect"
import type * as Net from "node:net"
import * as Alerts from "../../tls/Alerts.ts"
import * as ClientHello from "../../tls/ClientHello.ts"
import { TlsHandshakeError } from "../NodeTls.ts"

const handshakeRecord = 22

/** Reads the hello and leaves the socket paused; `undefined` if it is not TLS, and may be plain text. */
export const readHello = (
  socket: Net.Socket,
  plaintext: boolean
): Effect.Effect<ClientHello.ClientHello | undefined, TlsHandshakeError> =>
  Effect.callback((resume) => {
    if (socket.destroyed) return resume(Effect.fail(gone))
    const reader = new ClientHello.Reader()
    let maybePlain = plaintext
    const leave = () => void socket.off("data", onData).off("end", onGone).off("close", onGone)
    const onGone = () => {
      leave()
      resume(Effect.fail(reader.received.length === 0 ? unused : gone))
    }
    const onData = (chunk: Buffer) => {
      const isPlain = maybePlain && chunk[0] !== handshakeRecord
      maybePlain = false
      const outcome = isPlain ? undefined : reader.push(chunk)
      if (outcome?._tag === "NeedMore") return
      leave()
      socket.pause()
      if (outcome?._tag === "NotTls") return resume(Effect.fail(notTls(outcome)))
      socket.unshift(outcome === undefined ? chunk : reader.received)
      resume(Effect.succeed(outcome?.hello))
    }
    socket.on("data", onData).on("end", onGone).on("close", onGone)
    // it is paused if something was read of it before
    socket.resume()
    return Effect.sync(leave)
  })

export const gone = new TlsHandshakeError({
  kind: "Gone",
  message: "the client ended the connection before the TLS handshake was done"
})

export const unused = new TlsHandshakeError({
  kind: "Unused",
  message: "the client ended the connection before a byte came"
})

const notTls = ({ alert, isHttp, reason }: Extract<ClientHello.Outcome, { readonly _tag: "NotTls" }>) =>
  new TlsHandshakeError({
    kind: "NotTls",
    message: reason,
    ...(isHttp ? { isHttp } : { alert: ClientHello.alertRecord(alert)[6] })
  })

/** The most application protocols that are named. */
const maxProtocols = 10

export const describeHello = (hello: ClientHello.ClientHello): string => {
  const versions = ClientHello.withoutGrease(hello.supportedVersions).map(
    (version) =>
      ({ 0x0304: "TLSv1.3", 0x0303: "TLSv1.2", 0x0302: "TLSv1.1", 0x0301: "TLSv1" })[version] ?? String(version)
  )
  const name = hello.serverName === undefined ? "no server name" : `server name ${JSON.stringify(hello.serverName)}`
  // bytes of the client's choice, and as many as it likes: for a log
  const offered = hello.alpnProtocols.slice(0, maxProtocols).map((it) => it.replaceAll(/[^!-~]/g, "?"))
  if (hello.alpnProtocols.length > maxProtocols) offered.push("…")
  const protocols = offered.length === 0 ? "no protocols" : `protocols ${offered.join(", ")}`
  const suites = ClientHello.withoutGrease(hello.cipherSuites).length
  return `ClientHello: ${versions.join(", ")}, ${name}, ${suites} cipher suites, ${protocols}`
}

export const describeAlert = (direction: "received" | "sent", alert: number): string =>
  `Alert ${direction}: ${Alerts.format(alert)}`
