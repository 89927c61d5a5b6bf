/**
 * TLS for a component: its settings and its certificate as the listener's options, and what happens in a handshake as events.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { X509Certificate } from "node:crypto"
import * as NodeRevocation from "../../node/NodeRevocation.ts"
import type * as NodeTls from "../../node/NodeTls.ts"
import { Certificate } from "../../tls/Certificate.ts"
import * as CertificateStore from "../../tls/CertificateStore.ts"
import * as ClientHello from "../../tls/ClientHello.ts"
import * as Identities from "../../tls/Identities.ts"
import type * as Revocation from "../../tls/Revocation.ts"
import * as TlsSettings from "../../tls/TlsSettings.ts"
import * as Vouched from "../../tls/internal/vouched.ts"
import { ComponentError, fromStore, fromUnknown, invalid, invalidSecret } from "../ComponentError.ts"
import type { Code } from "../ErrorCode.ts"
import type { CommonEvents, SSLConnectionRequestEvent } from "../Events.ts"
import type { Arrival, Arrivals } from "./arrivals.ts"
import type { Store } from "../Settings.ts"
import type { Host } from "./host.ts"
import { authoritiesOf, overlooks, pemsOf, settingsOf } from "./tls.ts"

export interface Options {
  readonly component: "WSServer" | "WebSocketProxy"
  /** The certificate that was chosen by properties. */
  readonly certificate: Certificate
  /** Whether SSLConnectionRequest fires. */
  readonly asks: boolean
  /** Whether clients are asked for a certificate. */
  readonly authenticates: boolean
}

/** What the listener is to know. Throws what is wrong with it, by its documented code. */
export const tlsOptions = (host: Host<CommonEvents>, arrivals: Arrivals, options: Options): NodeTls.Options => {
  const { values } = host.store
  // the issuers that a client sent are not in a ticket, and what is overlooked depends on them
  const mayOverlook = options.authenticates && values.SSLSecurityFlags !== 0
  const settings = TlsSettings.make({
    ...settingsOf(host.store, options.component),
    ...(mayOverlook && { sessionTickets: false })
  })
  if (Result.isFailure(settings))
    throw new ComponentError(270, { detail: settings.failure.message, cause: settings.failure })
  const usual = withChain(usable(options.certificate), options.component === "WSServer" ? values.SSLCACerts : "")
  const authorities = options.authenticates ? authoritiesOf(host.store, options.component) : []
  const revocation = revocationOf(values.SSLCheckCRL, options.component === "WSServer" ? values.SSLCheckOCSP : 0)
  const isStrict = settings.success.secureContext.ciphers?.includes("@SECLEVEL=0") !== true
  const judge = judgement(host.store, authorities, revocation, isStrict)
  /** What is wrong with certificates, where that is not what OpenSSL says. */
  const judged = new WeakMap<Arrival, string>()
  const known = new Known()
  return {
    identities: Identities.make((hello, peer) =>
      options.asks && host.emitter.has("SSLConnectionRequest")
        ? Effect.map(ask(host, arrivals.of(peer), hello), (other) => (other === undefined ? usual : known.of(other)))
        : Effect.succeed(usual)
    ),
    settings: settings.success,
    ...(options.authenticates && {
      clientCertificates: {
        ca: authorities,
        systemCa: false,
        required: false,
        revocation,
        decide: (presented, peer) =>
          Effect.flatMap(judge(presented), (status) => {
            const arrival = arrivals.of(peer)
            if (status !== presented.status && status !== "OK") judged.set(arrival, status)
            return authenticate(host, arrival, presented.certificate, status)
          })
      }
    }),
    inactivityTimeout: values.DefaultConnectionTimeout === 0 ? undefined : values.DefaultConnectionTimeout * 1000,
    onStatus: (peer, message) => {
      if (!host.emitter.has("SSLStatus")) return
      const { connectionId, turns } = arrivals.of(peer)
      turns.offer(() => host.emitter.emit("SSLStatus", { connectionId, message }))
    },
    onFailure: (peer, error) => {
      const arrival = arrivals.of(peer)
      host.report(arrival, failure(error, judged.get(arrival)), 276)
    },
    records: values.LogSSLPackets && options.asks
  }
}

/** A certificate that a server can show. */
const usable = (certificate: Certificate): Certificate => {
  if (!certificate.hasCertificate && certificate.privateKey === undefined) throw new ComponentError(282)
  const checked = CertificateStore.requirePrivateKey(certificate)
  if (Result.isFailure(checked)) throw fromStore(checked.failure)
  return checked.success
}

/** With certificates of authorities to be sent along (SSLCACerts). */
const withChain = (certificate: Certificate, pems: string): Certificate => {
  const more = pemsOf("SSLCACerts", pems)
  if (more.length === 0) return certificate
  const chain = more.map((pem) => new X509Certificate(pem).raw)
  return new Certificate({
    der: certificate.der,
    privateKey: certificate.privateKey,
    chain: [...certificate.chain, ...chain]
  })
}

/** How many certificates that listeners have named are remembered. */
const maxKnown = 256

/** Certificates that were named before: what TLS has made of one is used further, so that its sessions can be resumed. */
class Known {
  private readonly certificates = new Map<string, Certificate>()

  of(certificate: Certificate): Certificate {
    const id = [certificate.der!, ...certificate.chain].map((der) => Buffer.from(der).toString("latin1")).join("")
    const known = this.certificates.get(id)
    if (known !== undefined) return known
    if (this.certificates.size >= maxKnown) this.certificates.clear()
    this.certificates.set(id, certificate)
    return certificate
  }
}

/** Another certificate, if a listener names one. */
const ask = (
  host: Host<CommonEvents>,
  arrival: Arrival,
  hello: ClientHello.ClientHello
): Effect.Effect<Certificate | undefined, Identities.NoIdentity> =>
  Effect.suspend(() => {
    const { connectionId, turns } = arrival
    const event = {
      connectionId,
      supportedCipherSuites: ClientHello.cipherSuiteNames(hello).join(","),
      supportedSignatureAlgs: ClientHello.signatureAlgorithmNames(hello).join(","),
      certStoreType: 0,
      certStore: "",
      certPassword: "",
      certSubject: ""
    }
    const given = turns.take(() => host.emitter.emit("SSLConnectionRequest", event))
    return Effect.flatMap(
      typeof given === "boolean" ? Effect.succeed(given) : Effect.promise(() => given),
      (isWell) => {
        if (!isWell) return Effect.fail(new Identities.NoIdentity({ serverName: hello.serverName, names: [] }))
        return event.certStore === "" ? Effect.succeed(undefined) : load(host, arrival, event)
      }
    )
  })

/** A store that cannot be used is told, and the usual certificate serves. */
const load = (
  host: Host<CommonEvents>,
  arrival: Arrival,
  event: SSLConnectionRequestEvent
): Effect.Effect<Certificate | undefined> =>
  Effect.catch(
    Effect.flatMap(
      Effect.flatMap(Effect.fromResult(storeOf(event)), (store) =>
        Effect.mapError(CertificateStore.load(store), fromStore)
      ),
      (certificate) => Effect.mapError(Effect.fromResult(CertificateStore.requirePrivateKey(certificate)), fromStore)
    ),
    (error) => Effect.sync((): undefined => void host.report(arrival, error, 271))
  )

/** The store that a listener names, and the subject in it. Not every listener has types. */
const storeOf = (event: SSLConnectionRequestEvent): Result.Result<StoreAndSubject, ComponentError> => {
  const { certPassword, certStore, certStoreType, certSubject } = event
  if (!CertificateStore.isCertStoreType(certStoreType)) {
    return Result.fail(invalid("CertStoreType", "a value of CertStoreTypes", certStoreType))
  }
  if (typeof certStore !== "string") return Result.fail(invalidSecret("CertStore", "text", certStore))
  if (typeof certPassword !== "string") return Result.fail(invalidSecret("CertPassword", "text", certPassword))
  if (typeof certSubject !== "string") return Result.fail(invalid("CertSubject", "text", certSubject))
  return Result.succeed({ type: certStoreType, store: certStore, password: certPassword, subject: certSubject })
}

interface StoreAndSubject extends CertificateStore.Store {
  readonly subject: string
}

const modes: Readonly<Record<0 | 1 | 2, Revocation.Mode>> = { 0: "off", 1: "ifNamed", 2: "required" }

/** The check that SSLCheckCRL and SSLCheckOCSP ask for, if they do. */
const revocationOf = (crl: 0 | 1 | 2, ocsp: 0 | 1 | 2): Revocation.Revocation["Service"] | undefined =>
  // without lists of one's own there is nothing to read, and to fail at
  crl === 0 && ocsp === 0
    ? undefined
    : Effect.runSync(Effect.orDie(NodeRevocation.make({ crl: modes[crl], ocsp: modes[ocsp] })))

/** What is wrong with a client's certificate, but for what SSLSecurityFlags overlook; `OK` if nothing is. */
const judgement = (
  store: Store,
  authorities: ReadonlyArray<string>,
  revocation: Revocation.Revocation["Service"] | undefined,
  isStrict: boolean
): ((presented: NodeTls.Presented) => Effect.Effect<string>) => {
  let trusted: ReadonlyArray<X509Certificate> | undefined
  return ({ certificate, status }) => {
    const isOverlooked = (failure: string) => overlooks(store.values.SSLSecurityFlags, failure)
    const unless = (failure: string) => (isOverlooked(failure) ? "OK" : failure)
    // revocation is looked at last, when all else is fine
    if (certificate === undefined || !isOverlooked(status) || isOfRevocation(status)) {
      return Effect.succeed(unless(status))
    }
    const { failures, issuer } = Vouched.look(certificate, (trusted ??= readable(authorities)), isStrict)
    const other = failures.find((failure) => !isOverlooked(failure))
    if (other !== undefined || revocation === undefined) return Effect.succeed(other ?? "OK")
    if (issuer === undefined) return Effect.succeed(unless("UNABLE_TO_GET_CRL_ISSUER"))
    return Effect.match(revocation.check(certificate, issuer), {
      onFailure: ({ message, reason }) =>
        reason._tag === "Revoked" ? `CERT_REVOKED: ${message}` : unless(`REVOCATION_UNKNOWN: ${message}`),
      onSuccess: () => "OK"
    })
  }
}

const isOfRevocation = (status: string): boolean => /^(REVOCATION_UNKNOWN|UNABLE_TO_GET_CRL_ISSUER)/.test(status)

/** Of authorities that are trusted for some purposes alone OpenSSL knows which; where it is not asked, nobody is trusted by them. */
const readable = (pems: ReadonlyArray<string>): ReadonlyArray<X509Certificate> =>
  pems.filter((pem) => !pem.startsWith("-----BEGIN TRUSTED")).map((pem) => new X509Certificate(pem))

/** Leaves it to the listeners of SSLClientAuthentication whether a client may come in. */
const authenticate = (
  host: Host<CommonEvents>,
  { connectionId, turns }: Arrival,
  certificate: Certificate | undefined,
  status: string
): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const isWell = certificate !== undefined && status === "OK"
    const encoded = (host.store.values.SSLIncludeCertChain ? certificate?.chainPem : certificate?.pem) ?? ""
    const event = {
      connectionId,
      certEncoded: encoded,
      certEncodedB: new TextEncoder().encode(encoded),
      certSubject: certificate?.subject ?? "",
      certIssuer: certificate?.issuer ?? "",
      status: certificate === undefined ? "No certificate was shown." : status,
      accept: isWell
    }
    const given = turns.take(() => host.emitter.emit("SSLClientAuthentication", event))
    return Effect.map(
      typeof given === "boolean" ? Effect.succeed(given) : Effect.promise(() => given),
      (isDone) => isDone && event.accept
    )
  })

const codes: Partial<Record<NodeTls.TlsHandshakeError["kind"], Code>> = {
  NoIdentity: 282,
  BadIdentity: 273,
  Timeout: 10060,
  Inactive: 10060,
  Gone: 10054,
  Unused: 10054
}

/** A client's certificate that was refused: by what is wrong with it, if it is one of these. */
const clientCodes: ReadonlyArray<readonly [Code, RegExp]> = [
  [281, /without a certificate/],
  [274, /UNABLE_TO_GET_ISSUER_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE/],
  [275, /SELF_SIGNED_CERT_IN_CHAIN|CERT_SIGNATURE_FAILURE|CERT_CHAIN_TOO_LONG|INVALID_CA|PATH_LENGTH_EXCEEDED/]
]

/** Why a handshake failed, by its documented code; `judged` is what else is wrong with a certificate than what is overlooked. */
const failure = (error: NodeTls.TlsHandshakeError, judged: string | undefined): ComponentError => {
  if (error.kind === "ClientCertificate") {
    // what the client calls itself says nothing
    const message = judged?.replace(/:.*/s, "") ?? error.message.replace(/"(?:[^"\\]|\\.)*"/, "")
    const code = clientCodes.find(([, words]) => words.test(message))?.[0] ?? 280
    const detail = judged === undefined ? error.message : `${error.message}, which is overlooked, and ${judged}`
    return new ComponentError(code, { detail, cause: error })
  }
  const code = codes[error.kind]
  return code === undefined
    ? new ComponentError(276, { detail: error.message, cause: error })
    : fromUnknown(error, code)
}
