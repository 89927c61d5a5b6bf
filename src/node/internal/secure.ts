/**
 * TLS between the acceptance of a connection and HTTP: see `NodeTls`, whose options it works by.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { constants, randomBytes } from "node:crypto"
import { createWriteStream } from "node:fs"
import type * as Net from "node:net"
import * as tls from "node:tls"
import * as Telemetry from "../../connection/Telemetry.ts"
import { duration } from "../../protocol/internal/option.ts"
import { Certificate } from "../../tls/Certificate.ts"
import type { ClientHello } from "../../tls/ClientHello.ts"
import * as Authorities from "../../tls/internal/authorities.ts"
import { type Malformed, malformed } from "../../tls/internal/malformed.ts"
import * as TlsSession from "../../tls/TlsSession.ts"
import * as TlsSettings from "../../tls/TlsSettings.ts"
import type { ClientCertificates, Options, Presented } from "../NodeTls.ts"
import { TlsHandshakeError } from "../NodeTls.ts"
import { describeAlert, describeHello, gone, readHello } from "./firstBytes.ts"
import type { TcpPeer } from "./peer.ts"
import { checking } from "./revoked.ts"
import { Handshake, type Settings } from "./serverHandshake.ts"

/** The connection as HTTP is to see it: over TLS, or as it is. */
type Passed = Exit.Exit<Net.Socket, TlsHandshakeError>

export interface Gate {
  /**
   * Begins a handshake, and calls `done` once with its result; the function that it returns ends it before. The caller bounds its
   * time.
   */
  readonly secure: (socket: Net.Socket, peer: TcpPeer, done: (passed: Passed) => void) => () => void
  /** Tells of a handshake that was ended for taking too long. */
  readonly late: (peer: TcpPeer) => void
}

/** The authorities that clients' certificates are trusted from; `undefined` stands for those of Node. */
const authorities = ({
  ca,
  systemCa = ca === undefined
}: ClientCertificates): Result.Result<Array<string> | undefined, Malformed> => {
  if (ca === undefined) return Result.succeed(systemCa ? undefined : [])
  return Result.mapBoth(Authorities.read(ca), {
    onFailure: ({ message }) => malformed(`clientCertificates.ca: ${message}`),
    onSuccess: (given) => {
      if (!systemCa) return [...given]
      // what the system trusts, or Node where the system says nothing: both would be more names than a request may carry
      const system = tls.getCACertificates("system")
      return [...new Set([...given, ...(system.length > 0 ? system : tls.getCACertificates("default"))])]
    }
  })
}

/** The options of TLS sockets, by the certificate that is shown, for as long as that is in use. */
class Terms {
  private readonly made = new WeakMap<Certificate, tls.TLSSocketOptions>()
  private readonly context: tls.SecureContextOptions
  private readonly socket: tls.TLSSocketOptions

  constructor(
    { secureContext }: TlsSettings.TlsSettings,
    clientCertificates: ClientCertificates | undefined,
    ca: Array<string> | undefined,
    socket: tls.TLSSocketOptions
  ) {
    this.context = {
      ...secureContext,
      ...(ca !== undefined && { ca }),
      ...(clientCertificates?.revocation !== undefined && {
        secureOptions: (secureContext.secureOptions ?? 0) | constants.SSL_OP_NO_TICKET
      }),
      // a session with a client's certificate is taken up again by this listener alone
      sessionIdContext: randomBytes(16).toString("hex")
    }
    this.socket = socket
  }

  of(certificate: Certificate): Result.Result<tls.TLSSocketOptions, TlsHandshakeError> {
    const known = this.made.get(certificate)
    if (known !== undefined) return Result.succeed(known)
    return Result.try({
      try: () => {
        const secureContext = tls.createSecureContext({ ...this.context, ...TlsSettings.identity(certificate) })
        const options = { ...this.socket, secureContext }
        this.made.set(certificate, options)
        return options
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
  server: { readonly handshakeTimeout: number; readonly highWaterMark: number | undefined; readonly isHttp2: boolean }
): Effect.fn.Return<Gate, TlsSettings.TlsSettingsError | Malformed, Scope.Scope> {
  const { clientCertificates, identities, onStatus, plaintext = false } = options
  const given = options.settings ?? {}
  const settings = isMade(given) ? given : yield* Effect.fromResult(TlsSettings.make(given))
  const { ALPNProtocols: protocols = server.isHttp2 ? ["h2", "http/1.1"] : ["http/1.1"] } = settings.socket
  if (protocols.includes("h2") && !server.isHttp2) {
    return yield* malformed("settings.alpnProtocols: h2 is spoken with the listener's option http2 alone")
  }
  const keyLog = settings.keyLogFile === undefined ? undefined : yield* openKeyLog(settings.keyLogFile)
  const required = clientCertificates?.required ?? clientCertificates?.decide === undefined
  const ca = clientCertificates === undefined ? undefined : yield* Effect.fromResult(authorities(clientCertificates))
  const terms = new Terms(settings, clientCertificates, ca, {
    isServer: true,
    requestCert: clientCertificates !== undefined,
    // to TLS this is whether one must be shown; whether it is trusted is looked at below
    rejectUnauthorized: clientCertificates !== undefined && required,
    // as the protocol has them: Node would encode a list for each connection
    ALPNProtocols: encodeProtocols(protocols),
    ...(server.highWaterMark !== undefined && { highWaterMark: server.highWaterMark })
  })
  const context = yield* Effect.context<never>()
  const runFork = Effect.runForkWith(context)
  const inactivity = duration("tls.inactivityTimeout", options.inactivityTimeout, "Infinity", "above 0")

  /** Runs a listener of the application's, in the middle of a socket's event. */
  const heard = (listener: () => void): void => {
    try {
      listener()
    } catch (cause) {
      runFork(Effect.logError("A listener of TLS states failed", cause))
    }
  }
  const tell = (peer: TcpPeer, message: () => string): void => {
    if (onStatus !== undefined) heard(() => onStatus(peer, message()))
  }
  const handshakes: Settings = {
    mayRefuse: clientCertificates !== undefined,
    keyLog,
    tell: onStatus === undefined ? undefined : (peer, message) => tell(peer, () => message),
    records: options.records === true
  }

  /** Fails when nothing comes for too long, looking four times in that time. */
  const watchful = <A>(self: Effect.Effect<A, TlsHandshakeError>, socket: Net.Socket) => {
    if (inactivity === Infinity) return self
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

  const refuseClient = (message: string) => new TlsHandshakeError({ kind: "ClientCertificate", message })

  /** Whether the client is let in with what it has shown. */
  const judge = (
    { decide }: ClientCertificates,
    presented: Presented,
    peer: TcpPeer
  ): Effect.Effect<void, TlsHandshakeError> => {
    const { certificate, status } = presented
    const who = certificate === undefined ? "without a certificate" : `with ${JSON.stringify(certificate.subject)}`
    tell(peer, () => `Client ${who}: ${status}`)
    if (decide !== undefined) {
      return Effect.flatMap(decide(presented, peer), (isWell) =>
        isWell ? Effect.void : Effect.fail(refuseClient(`the client ${who} was refused; its status is ${status}`))
      )
    }
    if (certificate === undefined ? !required : status === "OK") return Effect.void
    return Effect.fail(refuseClient(`the client ${who} is not trusted: ${status}`))
  }

  const { revocation } = clientCertificates ?? {}
  const checked = revocation === undefined ? Effect.succeed : checking(revocation, ca)

  /** Learns what was agreed on, and with whom. */
  const recognize = (
    stream: tls.TLSSocket,
    certificate: Certificate,
    peer: TcpPeer,
    presented: Presented | undefined
  ): void => {
    const { alpnProtocol } = stream
    const negotiated = {
      version: stream.getProtocol() ?? "unknown",
      cipherSuite: stream.getCipher().standardName,
      serverName: serverNameOf(stream),
      alpnProtocol: typeof alpnProtocol === "string" ? alpnProtocol : undefined,
      isResumed: stream.isSessionReused(),
      certificate,
      clientCertificate: presented?.certificate,
      clientCertificateStatus: presented?.certificate === undefined ? undefined : presented.status
    }
    const session = () => TlsSession.make({ ...negotiated, session: stream.getSession() })
    peer.negotiated = session
    tell(peer, () => `Handshake done: ${describeSession(peer.tls!)}`)
  }

  /** Recognizes a client that may have shown a certificate, and judges it. */
  const introduce = (
    asked: ClientCertificates,
    stream: tls.TLSSocket,
    certificate: Certificate,
    peer: TcpPeer
  ): Effect.Effect<tls.TLSSocket, TlsHandshakeError> =>
    Effect.suspend(() => checked(present(stream))).pipe(
      Effect.flatMap((presented) => {
        // it may have ended meanwhile
        if (stream.destroyed) return Effect.fail(gone)
        recognize(stream, certificate, peer, presented)
        return judge(asked, presented, peer)
      }),
      Effect.as(stream),
      // the socket beneath goes with it
      Effect.onError(() => Effect.sync(() => void stream.destroy()))
    )

  const negotiate = (
    socket: Net.Socket,
    peer: TcpPeer,
    certificate: Certificate,
    hello: ClientHello | undefined
  ): Effect.Effect<tls.TLSSocket, TlsHandshakeError> =>
    Effect.flatMap(Effect.fromResult(terms.of(certificate)), (spoken) => {
      const handshake = Effect.callback<tls.TLSSocket, TlsHandshakeError>((resume) => {
        if (socket.destroyed) return resume(Effect.fail(gone))
        const handshake = new Handshake(handshakes, { socket, peer, options: spoken, hello }, resume)
        return Effect.sync(() => handshake.end())
      })
      return Effect.flatMap(watchful(handshake, socket), (stream) => {
        if (clientCertificates !== undefined) return introduce(clientCertificates, stream, certificate, peer)
        recognize(stream, certificate, peer, undefined)
        return Effect.succeed(stream)
      })
    })

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

  const failed = (peer: TcpPeer, error: TlsHandshakeError): void => {
    const { alert } = error
    if (alert !== undefined) tell(peer, () => describeAlert("sent", alert))
    tell(peer, () => `Handshake failed: ${error.message}`)
    heard(() => options.onFailure?.(peer, error))
    Telemetry.tlsHandshakes.updateUnsafe(error.kind, context)
  }
  const tooSlow = new TlsHandshakeError({
    kind: "Timeout",
    message: `the TLS handshake was not done within ${server.handshakeTimeout / 1000} seconds`
  })

  /**
   * Reading the ClientHello first takes time, and leaves TLS a buffer of that size, which each later read has to go through. So
   * it is done only if somebody needs it.
   */
  const readsHello = plaintext || onStatus !== undefined
  /** Whether the handshake may still be refused when it is done, or has to be watched for inactivity. */
  const isWatched = clientCertificates !== undefined || inactivity !== Infinity

  return {
    late: (peer) => failed(peer, tooSlow),
    secure: (socket, peer, done) => {
      const finish = (passed: Passed) => {
        if (Exit.isFailure(passed)) {
          const error = Option.getOrUndefined(Exit.findErrorOption(passed))
          if (error !== undefined) failed(peer, error)
        } else if (passed.value !== socket) {
          Telemetry.tlsHandshakes.updateUnsafe("ok", context)
        }
        done(passed)
      }
      const certificate = readsHello ? undefined : identities.forAll?.()
      const spoken = certificate === undefined || isWatched ? undefined : terms.of(certificate)
      if (certificate !== undefined && spoken !== undefined && Result.isSuccess(spoken)) {
        // nothing to decide
        const handshake = new Handshake(
          handshakes,
          { socket, peer, options: spoken.success, hello: undefined },
          (passed) => {
            if (Exit.isSuccess(passed)) recognize(passed.value, certificate, peer, undefined)
            finish(passed)
          }
        )
        return () => handshake.end()
      }
      const fiber = runFork(
        certificate === undefined ? choose(socket, peer) : negotiate(socket, peer, certificate, undefined)
      )
      const end = () => fiber.interruptUnsafe()
      socket.once("close", end)
      fiber.addObserver((passed) => {
        socket.off("close", end)
        finish(passed)
      })
      return end
    }
  }
})
