/**
 * TLS between the acceptance of a connection and HTTP: see `NodeTls`, whose options it works by.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import { constants, randomBytes } from "node:crypto"
import { createWriteStream } from "node:fs"
import type * as Net from "node:net"
import * as tls from "node:tls"
import * as Telemetry from "../../connection/Telemetry.ts"
import { Certificate } from "../../tls/Certificate.ts"
import type { ClientHello } from "../../tls/ClientHello.ts"
import * as TlsSession from "../../tls/TlsSession.ts"
import * as TlsSettings from "../../tls/TlsSettings.ts"
import type { ClientCertificates, Options, Presented } from "../NodeTls.ts"
import { TlsHandshakeError } from "../NodeTls.ts"
import { describeAlert, describeHello, gone, readHello, unused } from "./firstBytes.ts"
import { alertOf, type Fault, faultOf, isHttp } from "./handshakeFault.ts"
import { layOver, type TcpPeer } from "./peer.ts"
import { formatRecord, RecordTap } from "./recordTap.ts"
import { notPlain, response } from "./upgrade.ts"
import { layOn } from "./reset.ts"
import { checking } from "./revoked.ts"

export interface Gate {
  /** The connection as HTTP is to see it: over TLS, or as it is. Whoever runs it ends it when `timeout` is over. */
  readonly secure: (socket: Net.Socket, peer: TcpPeer) => Effect.Effect<Net.Socket, TlsHandshakeError>
  /** Tells of a handshake that was ended for taking too long. */
  readonly late: (peer: TcpPeer) => Effect.Effect<void>
}

/** The authorities that clients' certificates are trusted from; `undefined` stands for those of Node. */
const authorities = ({ ca, systemCa = ca === undefined }: ClientCertificates): Array<string> | undefined => {
  if (ca === undefined) return systemCa ? undefined : []
  if (!systemCa) return [...ca]
  // what the system trusts, or Node where the system says nothing: both would be more names than a request may carry
  const system = tls.getCACertificates("system")
  return [...new Set([...ca, ...(system.length > 0 ? system : tls.getCACertificates("default"))])]
}

/** Secure contexts by their certificate, for as long as the certificate is in use. */
class Contexts {
  private readonly made = new WeakMap<Certificate, tls.SecureContext>()
  private readonly shared: tls.SecureContextOptions

  constructor({ secureContext }: TlsSettings.TlsSettings, clientCertificates: ClientCertificates | undefined) {
    const ca = clientCertificates === undefined ? undefined : authorities(clientCertificates)
    this.shared = {
      ...secureContext,
      ...(ca !== undefined && { ca }),
      ...(clientCertificates?.revocation !== undefined && {
        secureOptions: (secureContext.secureOptions ?? 0) | constants.SSL_OP_NO_TICKET
      }),
      // a session with a client's certificate is taken up again by this listener alone
      sessionIdContext: randomBytes(16).toString("hex")
    }
  }

  of(certificate: Certificate): Effect.Effect<tls.SecureContext, TlsHandshakeError> {
    const known = this.made.get(certificate)
    if (known !== undefined) return Effect.succeed(known)
    return Effect.try({
      try: () => {
        const context = tls.createSecureContext({ ...this.shared, ...TlsSettings.identity(certificate) })
        this.made.set(certificate, context)
        return context
      },
      catch: (cause) =>
        new TlsHandshakeError({
          kind: "BadIdentity",
          message: `the certificate ${JSON.stringify(certificate.subject)} cannot be used: ${String(cause)}`,
          alert: 80,
          cause
        })
    })
  }
}

/** Appends lines to the key log file; what cannot be written is told once, and then nothing is. */
const openKeyLog = (file: string): Effect.Effect<(line: Buffer) => void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const runFork = Effect.runForkWith(yield* Effect.context<never>())
    const stream = yield* Effect.acquireRelease(
      Effect.sync(() => createWriteStream(file, { flags: "a", mode: 0o600 })),
      (stream) => Effect.callback<void>((resume) => void stream.end(() => resume(Effect.void)))
    )
    stream.on("error", (cause) => {
      runFork(Effect.logError(`The TLS key log file ${JSON.stringify(file)} cannot be written`, cause))
    })
    return (line) => {
      if (!stream.destroyed) stream.write(line)
    }
  })

/** TLS that failed in a way of its own after the handshake tells it by this event alone. */
function onTlsError(this: tls.TLSSocket, error: Error): void {
  this.destroy(error)
}

const plainAnswer = response(notPlain)

/** Names of protocols as ALPN has them: RFC 7301 section 3.1. */
const encodeProtocols = (names: ReadonlyArray<string>): Uint8Array =>
  Buffer.concat(names.flatMap((name) => [Buffer.of(Buffer.byteLength(name)), Buffer.from(name)]))

interface Verifying {
  verifyError(): { readonly code?: string } | null
}

/** What OpenSSL found out about the client's certificate; Node keeps it where `tls.Server` finds it. */
const verifyError = (stream: tls.TLSSocket): string => {
  // present since Node 0.12, and in no declaration; where it should be missing, nobody is trusted
  const { ssl } = stream as unknown as { readonly ssl: Partial<Verifying> | null }
  if (typeof ssl?.verifyError !== "function") return "UNSPECIFIED"
  const error = ssl.verifyError()
  return error === null || error === undefined ? "OK" : (error.code ?? "UNSPECIFIED")
}

/** The issuers that a client may send with its certificate. */
const maxChain = 10

const present = (stream: tls.TLSSocket): Presented => {
  const leaf = stream.getPeerX509Certificate()
  if (leaf === undefined) return { certificate: undefined, status: "no certificate was shown" }
  const chain: Array<Uint8Array> = []
  for (let it = leaf.issuerCertificate; it !== undefined && chain.length < maxChain; it = it.issuerCertificate) {
    chain.push(it.raw)
  }
  const certificate = new Certificate({ der: leaf.raw, chain })
  const status = verifyError(stream)
  // one that was good when the session began, which is taken up again
  const isExpired = status === "OK" && leaf.validToDate.getTime() < Date.now()
  return { certificate, status: isExpired ? "CERT_HAS_EXPIRED" : status }
}

/** The name that the client asked for: `false` stands for none, and it is in no declaration. */
const serverNameOf = (stream: tls.TLSSocket): string | undefined => {
  const name: unknown = Reflect.get(stream, "servername")
  return typeof name === "string" && name !== "" ? name : undefined
}

const describeSession = ({ cipherSuite, group, isResumed, version }: TlsSession.Session): string =>
  [version, cipherSuite.name, group?.opensslName, isResumed ? "resumed" : undefined, `${cipherSuite.bits} bits`]
    .filter((it) => it !== undefined)
    .join(", ")

const isMade = (settings: TlsSettings.Options | TlsSettings.TlsSettings): settings is TlsSettings.TlsSettings =>
  "secureContext" in settings

export const make = Effect.fnUntraced(function* (
  options: Options,
  server: { readonly handshakeTimeout: number; readonly highWaterMark: number | undefined }
): Effect.fn.Return<Gate, TlsSettings.TlsSettingsError, Scope.Scope> {
  const { clientCertificates, identities, onStatus, plaintext = false } = options
  const given = options.settings ?? {}
  const settings = isMade(given) ? given : yield* Effect.fromResult(TlsSettings.make(given))
  const contexts = new Contexts(settings, clientCertificates)
  const keyLog = settings.keyLogFile === undefined ? undefined : yield* openKeyLog(settings.keyLogFile)
  const required = clientCertificates?.required ?? clientCertificates?.decide === undefined
  const socketOptions = {
    isServer: true,
    requestCert: clientCertificates !== undefined,
    // to TLS this is whether one must be shown; whether it is trusted is looked at below
    rejectUnauthorized: clientCertificates !== undefined && required,
    // as the protocol has them: Node would encode a list for each connection
    ALPNProtocols: encodeProtocols(settings.socket.ALPNProtocols ?? ["http/1.1"]),
    ...(server.highWaterMark !== undefined && { highWaterMark: server.highWaterMark })
  }
  const inactivity = options.inactivityTimeout === undefined ? Infinity : Duration.toMillis(options.inactivityTimeout)

  const tell = (peer: TcpPeer, message: () => string): void => {
    if (onStatus === undefined) return
    try {
      onStatus(peer, message())
    } catch (cause) {
      // a listener of the application's, in the middle of a socket's event
      Effect.runFork(Effect.logError("A listener of TLS states failed", cause))
    }
  }
  const told = (peer: TcpPeer, { alert, error }: Fault): TlsHandshakeError => {
    if (alert !== undefined) tell(peer, () => describeAlert(alert.direction, alert.number))
    return error
  }

  /** Fails when nothing comes for too long, looking four times in that time. */
  const watchful = <A>(self: Effect.Effect<A, TlsHandshakeError>, socket: Net.Socket) => {
    if (inactivity === Infinity || inactivity <= 0) return self
    const inactive = Effect.gen(function* () {
      let seen = socket.bytesRead
      for (let quiet = 0; quiet < 4; quiet++) {
        yield* Effect.sleep(inactivity / 4)
        if (socket.bytesRead !== seen) quiet = -1
        seen = socket.bytesRead
      }
      return yield* new TlsHandshakeError({
        kind: "Inactive",
        message: `the client sent nothing for ${inactivity / 1000} seconds during the TLS handshake`
      })
    })
    return Effect.raceFirst(self, inactive)
  }

  const handshake = (
    socket: Net.Socket,
    secureContext: tls.SecureContext,
    hello: ClientHello | undefined,
    peer: TcpPeer
  ) =>
    Effect.callback<tls.TLSSocket, TlsHandshakeError>((resume) => {
      if (socket.destroyed) return resume(Effect.fail(gone))
      const carrier =
        options.records === true ? new RecordTap(socket, (head) => tell(peer, () => formatRecord(head))) : socket
      const stream = new tls.TLSSocket(carrier, { ...socketOptions, secureContext })
      layOver(stream, peer)
      layOn(stream, socket)
      if (keyLog !== undefined) stream.on("keylog", keyLog)
      const leave = () =>
        void stream
          .off("_tlsError", onTlsFault)
          .off("secure", onSecure)
          .off("error", onError)
          .off("end", onGone)
          .off("close", onGone)
      // out of the event: what is done to the socket beneath in an event of TLS can crash Node
      const settle = (effect: Effect.Effect<tls.TLSSocket, TlsHandshakeError>) => {
        leave()
        setImmediate(() => resume(effect))
      }
      const onSecure = () => {
        stream.disableRenegotiation()
        if (onStatus !== undefined) {
          stream.on("error", (error) => {
            const alert = alertOf(error)
            tell(peer, () => (alert === undefined ? `TLS failed: ${error.message}` : describeAlert("received", alert)))
          })
        }
        if (clientCertificates !== undefined) {
          return settle(Effect.suspend(() => (stream.destroyed ? Effect.fail(gone) : Effect.succeed(stream))))
        }
        // nobody can refuse the client any more: whoever has the stream before its first byte reads from TLS itself
        leave()
        resume(Effect.succeed(stream))
      }
      // what TLS answers to HTTP is nothing; it is about to destroy the socket beneath
      const onTlsFault = (error: NodeJS.ErrnoException) => {
        if (isHttp(error)) socket.end(plainAnswer)
      }
      const onError = (error: Error) => settle(Effect.fail(told(peer, faultOf(error, hello))))
      const onGone = () => {
        const isUnused = hello === undefined && socket.bytesRead === 0
        stream.destroy()
        settle(Effect.fail(isUnused ? unused : gone))
      }
      stream
        .on("_tlsError", onTlsFault)
        .on("_tlsError", onTlsError)
        .on("secure", onSecure)
        .on("error", onError)
        .on("end", onGone)
        .on("close", onGone)
      return Effect.sync(() => {
        leave()
        stream.destroy()
      })
    })

  const refuseClient = (message: string) => new TlsHandshakeError({ kind: "ClientCertificate", message })

  /** Whether the client is let in with what it has shown. */
  const judge = (presented: Presented, peer: TcpPeer): Effect.Effect<void, TlsHandshakeError> => {
    if (clientCertificates === undefined) return Effect.void
    const { certificate, status } = presented
    const who = certificate === undefined ? "without a certificate" : `with ${JSON.stringify(certificate.subject)}`
    tell(peer, () => `Client ${who}: ${status}`)
    if (clientCertificates.decide !== undefined) {
      return Effect.flatMap(clientCertificates.decide(presented, peer), (isWell) =>
        isWell ? Effect.void : Effect.fail(refuseClient(`the client ${who} was refused; its status is ${status}`))
      )
    }
    if (certificate === undefined ? !required : status === "OK") return Effect.void
    return Effect.fail(refuseClient(`the client ${who} is not trusted: ${status}`))
  }

  const { revocation } = clientCertificates ?? {}
  const checked =
    revocation === undefined ? Effect.succeed : checking(revocation, authorities(clientCertificates ?? {}))
  const shown = (stream: tls.TLSSocket): Effect.Effect<Presented> =>
    clientCertificates === undefined
      ? Effect.succeed({ certificate: undefined, status: "not asked for" })
      : Effect.suspend(() => checked(present(stream)))

  /** Learns what was agreed on, and with whom. */
  const recognize = (
    stream: tls.TLSSocket,
    presented: Presented,
    certificate: Certificate,
    peer: TcpPeer
  ): Effect.Effect<void, TlsHandshakeError> => {
    // it may have ended while its certificate was checked
    if (stream.destroyed) return Effect.fail(gone)
    const { alpnProtocol } = stream
    const negotiated = {
      version: stream.getProtocol() ?? "unknown",
      cipherSuite: stream.getCipher().standardName,
      serverName: serverNameOf(stream),
      alpnProtocol: typeof alpnProtocol === "string" ? alpnProtocol : undefined,
      isResumed: stream.isSessionReused(),
      certificate,
      clientCertificate: presented.certificate,
      clientCertificateStatus: presented.certificate === undefined ? undefined : presented.status
    }
    peer.negotiated = () => TlsSession.make({ ...negotiated, session: stream.getSession() })
    tell(peer, () => `Handshake done: ${describeSession(peer.tls!)}`)
    return judge(presented, peer)
  }

  const negotiate = (
    socket: Net.Socket,
    peer: TcpPeer,
    certificate: Certificate,
    hello: ClientHello | undefined
  ): Effect.Effect<Net.Socket, TlsHandshakeError> =>
    Effect.flatMap(contexts.of(certificate), (context) =>
      Effect.flatMap(watchful(handshake(socket, context, hello, peer), socket), (stream) =>
        Effect.onError(
          Effect.as(
            Effect.flatMap(shown(stream), (presented) => recognize(stream, presented, certificate, peer)),
            stream
          ),
          // the socket beneath goes with it
          () => Effect.sync(() => void stream.destroy())
        )
      )
    )

  /** Reads the hello, and chooses by it. */
  const choose = Effect.fnUntraced(function* (socket: Net.Socket, peer: TcpPeer) {
    const hello = yield* watchful(readHello(socket, plaintext), socket)
    if (hello === undefined) return socket
    tell(peer, () => describeHello(hello))
    const certificate = yield* Effect.mapError(
      identities.choose(hello, peer),
      (cause) => new TlsHandshakeError({ kind: "NoIdentity", message: cause.message, alert: 112, cause })
    )
    tell(peer, () => `Certificate chosen: ${certificate.subject}`)
    return yield* negotiate(socket, peer, certificate, hello)
  })

  /**
   * To read the hello first takes time, and leaves TLS a buffer of its size, which each later read has to go through. So it is
   * done only where somebody wants to know what it says.
   */
  const work = (socket: Net.Socket, peer: TcpPeer): Effect.Effect<Net.Socket, TlsHandshakeError> => {
    const certificate = plaintext || onStatus !== undefined ? undefined : identities.forAll?.()
    return certificate === undefined ? choose(socket, peer) : negotiate(socket, peer, certificate, undefined)
  }

  const failed = (peer: TcpPeer, error: TlsHandshakeError): Effect.Effect<void> => {
    const { alert } = error
    if (alert !== undefined) tell(peer, () => describeAlert("sent", alert))
    tell(peer, () => `Handshake failed: ${error.message}`)
    options.onFailure?.(peer, error)
    return Metric.update(Telemetry.tlsHandshakes, error.kind)
  }

  const tooSlow = new TlsHandshakeError({
    kind: "Timeout",
    message: `the TLS handshake was not done within ${server.handshakeTimeout / 1000} seconds`
  })
  const done = Metric.update(Telemetry.tlsHandshakes, "ok")

  return {
    late: (peer) => Effect.suspend(() => failed(peer, tooSlow)),
    secure: (socket, peer) =>
      Effect.matchEffect(work(socket, peer), {
        onSuccess: (stream) => (stream === socket ? Effect.succeed(stream) : Effect.as(done, stream)),
        onFailure: (error) => Effect.andThen(failed(peer, error), Effect.fail(error))
      })
  }
})
