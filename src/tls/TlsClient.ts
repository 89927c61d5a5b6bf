/**
 * TLS as the client of a target: whom to trust, which name to ask for and to verify, what to present. Options become what
 * Node's `tls.connect` takes, once: the certificates of the authorities are read when the settings are made, and not at each
 * connection.
 *
 * Whoever connects with it verifies: the target's certificate must lead to a trusted authority, be valid now, and be for the
 * name. Only `insecure` turns that off, and never by default.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import { isIP } from "node:net"
import * as tls from "node:tls"
import { domainToASCII } from "node:url"
import type { Certificate } from "./Certificate.ts"
import { requirePrivateKey } from "./CertificateStore.ts"
import * as Authorities from "./internal/authorities.ts"
import type { Revocation } from "./Revocation.ts"
import * as TlsSettings from "./TlsSettings.ts"

/**
 * How TLS is spoken with a target. Everything has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * The name that the target is asked for (SNI) and that its certificate must be for; an IP address is only verified. Default:
   * the target's host.
   */
  readonly serverName?: string | undefined
  /** Certificates of authorities in PEM, each of which may be several, that are trusted besides the system's. */
  readonly ca?: string | Uint8Array | ReadonlyArray<string | Uint8Array> | undefined
  /** Whether `ca` alone is trusted, and no authority of the system's. Default: `false`. */
  readonly onlyGivenCa?: boolean | undefined
  /**
   * What is presented to a target that asks for a certificate, with its private key. In TLS 1.3 a target says that it misses or
   * refuses one only after the handshake: the connection is then open, and its first read fails.
   */
  readonly certificate?: Certificate | undefined
  /** Application protocols to offer, the preferred first. Default: those of `settings`. */
  readonly alpnProtocols?: ReadonlyArray<string> | undefined
  readonly settings?: TlsSettings.Options | undefined
  /**
   * Accepts any certificate, a revoked one too: whoever is on the way can read and change everything. Each connection is logged
   * as a warning. Default: `false`.
   */
  readonly insecure?: boolean | undefined
  /** What checks whether the target's certificate, once it is verified, has been revoked. Default: nothing does. */
  readonly revocation?: Revocation["Service"] | undefined
}

/**
 * Options that are ready to connect with.
 *
 * @category models
 * @since 0.1.0
 */
export interface TlsClient {
  /** The options for a target's host, without a socket. They leave the verdict on the certificate to who connects. */
  readonly connection: (host: string) => tls.ConnectionOptions
  /** The name or address that the certificate of a target must be for. */
  readonly verifiedName: (host: string) => string
  readonly insecure: boolean
  readonly revocation: Revocation["Service"] | undefined
  /** The file for the lines of the `keylog` event. */
  readonly keyLogFile: string | undefined
}

/**
 * - `InvalidServerName`: `serverName` can be no name.
 * - `InvalidCa`: `ca` has no certificate, or one that cannot be read; or nothing is to be trusted.
 * - `UnusableCertificate`: `certificate` has no private key, or OpenSSL does not take it.
 * - `InvalidSettings`: `settings` or `alpnProtocols` cannot be used.
 *
 * @category errors
 * @since 0.1.0
 */
export class TlsClientError extends Data.TaggedError("TlsClientError")<{
  readonly kind: "InvalidServerName" | "InvalidCa" | "UnusableCertificate" | "InvalidSettings"
  readonly message: string
  readonly cause?: unknown
}> {}

const failed = (kind: TlsClientError["kind"], message: string, cause?: unknown) =>
  Result.fail(new TlsClientError({ kind, message, cause }))

const sentence = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

/** What a name is made of, and as long as one may be (RFC 1123 section 2.1): also with the line that some hosts have in theirs. */
const isName = (name: string): boolean => /^[\w.-]{1,253}$/.test(name)

/** A host as certificates and SNI have it: ASCII, without the root's dot, an address without its zone; empty if it is none. */
const plain = (host: string): string => {
  if (isIP(host) !== 0) return host.replace(/%.*/, "")
  const name = host.replace(/\.$/, "")
  // in ASCII it stays as it is: what makes names of Unicode would take some for addresses
  const ascii = /[^\0-\x7f]/.test(name) ? domainToASCII(name) : name
  return isName(ascii) ? ascii : ""
}

let roots: ReadonlyArray<string> | undefined

/** The authorities that this system trusts, and Node's own where the system says nothing. */
const systemRoots = (): ReadonlyArray<string> => {
  if (roots === undefined) {
    const system = tls.getCACertificates("system")
    roots = [...new Set([...(system.length > 0 ? system : tls.rootCertificates), ...tls.getCACertificates("extra")])]
  }
  return roots
}

const readCa = (ca: NonNullable<Options["ca"]>): Result.Result<ReadonlyArray<string>, TlsClientError> =>
  Result.mapError(
    Authorities.read(typeof ca === "string" || ca instanceof Uint8Array ? [ca] : ca),
    (cause) => new TlsClientError({ kind: "InvalidCa", message: cause.message, cause })
  )

const trustedBy = ({ ca, insecure, onlyGivenCa }: Options): Result.Result<tls.SecureContextOptions, TlsClientError> => {
  if (insecure === true) return Result.succeed({})
  if (ca === undefined || (Array.isArray(ca) && ca.length === 0)) {
    return onlyGivenCa === true
      ? failed("InvalidCa", "onlyGivenCa trusts the authorities in ca alone, and there are none; give some")
      : Result.succeed({ ca: [...systemRoots()] })
  }
  return Result.map(readCa(ca), (given) => ({ ca: onlyGivenCa === true ? [...given] : [...systemRoots(), ...given] }))
}

const identityOf = (certificate: Certificate | undefined) =>
  certificate === undefined
    ? Result.succeed({})
    : Result.mapBoth(requirePrivateKey(certificate), {
        onSuccess: TlsSettings.identity,
        onFailure: (cause) =>
          new TlsClientError({ kind: "UnusableCertificate", message: `certificate: ${cause.message}`, cause })
      })

const invalidSettings = (cause: TlsSettings.TlsSettingsError) =>
  new TlsClientError({ kind: "InvalidSettings", message: `${cause.setting}: ${cause.message}`, cause })

/**
 * Makes a client of options, which reads all that they name.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Result.Result<TlsClient, TlsClientError> =>
  Result.gen(function* () {
    const { alpnProtocols, insecure = false, serverName } = options
    if (serverName !== undefined && plain(serverName) === "") {
      const message = `expected a host name or an IP address as serverName, got ${JSON.stringify(serverName)}`
      return yield* failed("InvalidServerName", message)
    }
    const settings = yield* Result.mapError(
      TlsSettings.make({ ...options.settings, ...(alpnProtocols !== undefined && { alpnProtocols }) }),
      invalidSettings
    )
    const trusted = yield* trustedBy(options)
    const identity = yield* identityOf(options.certificate)
    const secureContext = yield* Result.try({
      try: () => tls.createSecureContext({ ...settings.secureContext, ...trusted, ...identity }),
      catch: (cause) => {
        const kind = options.certificate === undefined ? "InvalidSettings" : "UnusableCertificate"
        return new TlsClientError({ kind, message: `OpenSSL does not take it: ${sentence(cause)}`, cause })
      }
    })
    const nameOf = (host: string) => plain(serverName ?? host) || host
    return {
      connection: (host) => {
        const name = nameOf(host)
        return {
          secureContext,
          ...settings.socket,
          ...(isIP(name) === 0 && { servername: name }),
          checkServerIdentity: (_host, certificate) => tls.checkServerIdentity(name, certificate),
          // else the socket would be destroyed, and nobody could ask what is wrong with the certificate
          rejectUnauthorized: false
        }
      },
      verifiedName: nameOf,
      insecure,
      revocation: insecure ? undefined : options.revocation,
      keyLogFile: settings.keyLogFile
    }
  })
