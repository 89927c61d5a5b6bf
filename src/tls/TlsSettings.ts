/**
 * The settings of TLS by the names that people know them by, the documented ones and those of IANA and OpenSSL, as what Node's
 * `tls` takes. A name that nobody knows is an error with its list; a name that is known and that this Node cannot speak, such
 * as a cipher suite of DES, is left out, and only an empty rest is an error.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import { constants } from "node:crypto"
import * as tls from "node:tls"
import type { Certificate } from "./Certificate.ts"
import * as CipherSuites from "./CipherSuites.ts"
import * as DhGroups from "./internal/dhGroups.ts"
import * as Groups from "./Groups.ts"
import * as SignatureSchemes from "./SignatureSchemes.ts"

/**
 * The versions of TLS, from old to new.
 *
 * @category values
 * @since 0.1.0
 */
export const versions = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] as const

/**
 * A version of TLS, by OpenSSL's name.
 *
 * @category models
 * @since 0.1.0
 */
export type Version = (typeof versions)[number]

/**
 * What can be set. Everything has Node's default, but for what it says.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly minVersion?: Version | undefined
  readonly maxVersion?: Version | undefined
  /** Versions between these two that are not spoken. */
  readonly excludedVersions?: ReadonlyArray<Version> | undefined
  /** IANA or OpenSSL names, the preferred first; `*` among them stands for all. */
  readonly cipherSuites?: ReadonlyArray<string> | undefined
  /**
   * OpenSSL's own cipher list for TLS up to 1.2, such as `ECDHE+AESGCM:!aRSA`, in place of `cipherSuites` and
   * `minCipherStrength`.
   */
  readonly cipherList?: string | undefined
  /** The least bits of the group of DHE suites of TLS 1.2, for which a group of RFC 3526 is taken: up to 8192. Default: no DHE. */
  readonly dhGroupBits?: number | undefined
  /** The least bits of a cipher suite's bulk cipher. */
  readonly minCipherStrength?: number | undefined
  /** Documented names such as `ecdhe_x25519`, IANA's or OpenSSL's, the preferred first. */
  readonly groups?: ReadonlyArray<string> | undefined
  /** Documented names such as `sha256-rsa` and `rsa_pss_sha256`, IANA's or OpenSSL's, the preferred first. */
  readonly signatureAlgorithms?: ReadonlyArray<string> | undefined
  /** Whether sessions may be resumed by tickets. Default: `true`. */
  readonly sessionTickets?: boolean | undefined
  /** Application protocols, the preferred first. */
  readonly alpnProtocols?: ReadonlyArray<string> | undefined
  /** The file that gets the secrets of each connection, for programs that decrypt captures. */
  readonly keyLogFile?: string | undefined
}

/**
 * Settings that Node takes.
 *
 * @category models
 * @since 0.1.0
 */
export interface TlsSettings {
  /** For `tls.createSecureContext`. */
  readonly secureContext: tls.SecureContextOptions
  /** For the socket or the server. */
  readonly socket: { readonly ALPNProtocols?: Array<string> }
  /** The file for the lines of the `keylog` event. */
  readonly keyLogFile: string | undefined
  /** Names that are known, and that this Node or these settings have no use for. */
  readonly unavailable: ReadonlyArray<string>
}

/**
 * - `UnknownName`: nobody knows the name.
 * - `NothingLeft`: each of the names is known, and none can be used here, or with the other settings.
 * - `InvalidVersions`: the newest version is older than the oldest, or all are excluded.
 * - `InvalidProtocol`: an application protocol is empty or longer than 255 bytes.
 * - `OutOfRange`: no group has so many bits.
 * - `Contradiction`: `cipherList` stands beside another setting that chooses cipher suites.
 *
 * @category errors
 * @since 0.1.0
 */
export class TlsSettingsError extends Data.TaggedError("TlsSettingsError")<{
  readonly kind: "UnknownName" | "NothingLeft" | "InvalidVersions" | "InvalidProtocol" | "OutOfRange" | "Contradiction"
  readonly setting: keyof Options
  readonly message: string
}> {}

const failed = (kind: TlsSettingsError["kind"], setting: keyof Options, message: string) =>
  new TlsSettingsError({ kind, setting, message })

/** The suites that this Node speaks, in the order of its own preference, but for those that need a password or no certificate. */
const spoken = (): ReadonlyArray<CipherSuites.CipherSuite> => {
  const available = new Set(tls.getCiphers())
  const usable = CipherSuites.all.filter(
    ({ name, opensslName }) => available.has(opensslName.toLowerCase()) && !/_PSK_|_SRP_|_anon_|_NULL_/.test(name)
  )
  // forward secrecy before the rest, authenticated encryption before CBC, long keys before short ones
  const rank = (suite: CipherSuites.CipherSuite) =>
    (CipherSuites.isTls13(suite) ? 8 : 0) +
    (/^TLS_(?:EC)?DHE_/.test(suite.name) ? 4 : 0) +
    (/GCM|CHACHA|CCM/.test(suite.name) ? 2 : 0) +
    (suite.bits >= 256 ? 1 : 0)
  return usable.toSorted((a, b) => rank(b) - rank(a))
}

const withoutVersion: Readonly<Record<Version, number>> = {
  TLSv1: constants.SSL_OP_NO_TLSv1,
  "TLSv1.1": constants.SSL_OP_NO_TLSv1_1,
  "TLSv1.2": constants.SSL_OP_NO_TLSv1_2,
  "TLSv1.3": constants.SSL_OP_NO_TLSv1_3
}

const older = (a: Version, b: Version): Version => (versions.indexOf(a) < versions.indexOf(b) ? a : b)

/** The versions that are asked for, with Node's where an option is missing. */
const askedOf = (options: Options): Result.Result<ReadonlyArray<Version>, TlsSettingsError> => {
  const max = options.maxVersion ?? tls.DEFAULT_MAX_VERSION
  const min = options.minVersion ?? older(tls.DEFAULT_MIN_VERSION, max)
  const range = versions.slice(versions.indexOf(min), versions.indexOf(max) + 1)
  if (range.length === 0) {
    return Result.fail(failed("InvalidVersions", "maxVersion", `expected a maxVersion from ${min} up, got ${max}`))
  }
  const asked = range.filter((version) => options.excludedVersions?.includes(version) !== true)
  return asked.length > 0
    ? Result.succeed(asked)
    : Result.fail(failed("InvalidVersions", "excludedVersions", `all versions from ${min} to ${max} are excluded`))
}

/** Whether a suite is for a version. */
const fits = (suite: CipherSuites.CipherSuite, version: Version): boolean => {
  if (CipherSuites.isTls13(suite)) return version === "TLSv1.3"
  if (/GCM|CHACHA|CCM|_SHA(256|384)$/.test(suite.name)) return version === "TLSv1.2"
  return version !== "TLSv1.3"
}

interface Chosen {
  readonly names: ReadonlyArray<string>
  readonly unavailable: ReadonlyArray<string>
}

const none: Chosen = { names: [], unavailable: [] }

/** Suites, and the versions that they are for: without suites of its own, OpenSSL would speak TLS 1.3 with its default ones. */
interface ChosenSuites extends Chosen {
  readonly versions: ReadonlyArray<Version>
}

const namesOf = (asked: ReadonlyArray<Version>): string =>
  asked.length === 1 ? `in ${asked[0]}` : `from ${asked[0]} to ${asked.at(-1)}`

const chooseSuites = (
  options: Options,
  asked: ReadonlyArray<Version>
): Result.Result<ChosenSuites, TlsSettingsError> => {
  const { cipherList, cipherSuites, minCipherStrength = 0 } = options
  if (cipherList !== undefined) return chooseList(options, cipherList, asked)
  if (cipherSuites === undefined && minCipherStrength === 0) return Result.succeed({ ...none, versions: asked })
  const everything = spoken()
  const named: Array<CipherSuites.CipherSuite> = []
  for (const name of cipherSuites ?? ["*"]) {
    const suite = CipherSuites.fromName(name)
    if (name.trim() === "*") named.push(...everything)
    else if (suite !== undefined) named.push(suite)
    else {
      const message = `expected names of cipher suites such as TLS_AES_128_GCM_SHA256, got ${JSON.stringify(name)}`
      return Result.fail(failed("UnknownName", "cipherSuites", message))
    }
  }
  const available = new Set(tls.getCiphers())
  const suites = [...new Set(named)]
  const use = suites.filter(
    (suite) =>
      available.has(suite.opensslName.toLowerCase()) &&
      suite.bits >= minCipherStrength &&
      asked.some((version) => fits(suite, version))
  )
  if (use.length === 0) {
    const strength = minCipherStrength === 0 ? "" : ` with ${minCipherStrength} bits or more`
    const message = `none of the cipher suites can be used here${strength} ${namesOf(asked)}`
    return Result.fail(failed("NothingLeft", "cipherSuites", `${message}; name others, or * for all`))
  }
  return Result.succeed({
    names: use.map((suite) => suite.opensslName),
    unavailable: suites.filter((suite) => !use.includes(suite)).map((suite) => suite.name),
    versions: asked.filter((version) => use.some((suite) => fits(suite, version)))
  })
}

/** OpenSSL's own list is passed on as it is; what is in it is not known here. */
const chooseList = (
  { cipherSuites, minCipherStrength = 0 }: Options,
  cipherList: string,
  asked: ReadonlyArray<Version>
): Result.Result<ChosenSuites, TlsSettingsError> => {
  const wrong = (kind: TlsSettingsError["kind"], message: string) => Result.fail(failed(kind, "cipherList", message))
  if (cipherSuites !== undefined || minCipherStrength > 0) {
    const other = cipherSuites === undefined ? "minCipherStrength" : "cipherSuites"
    return wrong("Contradiction", `expected cipherList or ${other}, got both; leave one of them out`)
  }
  if (!taken({ ciphers: cipherList })) {
    return wrong(
      "NothingLeft",
      `expected a cipher list of OpenSSL that has a cipher, got ${JSON.stringify(cipherList)}`
    )
  }
  // but for names of its suites, which Node takes out of it, a list is for TLS up to 1.2
  const isTls13 = cipherList.split(":").flatMap((name) => (name === "" ? [] : name.startsWith("TLS_")))
  const isOfUse = asked[0] !== "TLSv1.3" || isTls13.includes(true)
  const left = isTls13.includes(false) ? asked : asked.filter((version) => version === "TLSv1.3")
  if (left.length === 0) {
    const message = `expected a cipher list of OpenSSL that has a cipher ${namesOf(asked)}`
    return wrong("NothingLeft", `${message}, got ${JSON.stringify(cipherList)}`)
  }
  return Result.succeed({
    names: isOfUse ? [cipherList] : [],
    unavailable: isOfUse ? [] : [cipherList],
    versions: left
  })
}

/** Whether OpenSSL takes one name by itself: it refuses a whole list for the sake of one. */
const taken = (options: tls.SecureContextOptions): boolean => {
  try {
    tls.createSecureContext(options)
    return true
  } catch {
    return false
  }
}

const chooseNames = (
  setting: "groups" | "signatureAlgorithms",
  asked: ReadonlyArray<string> | undefined,
  lookup: (name: string) => ReadonlyArray<string>,
  accepts: (opensslName: string) => boolean
): Result.Result<Chosen, TlsSettingsError> => {
  if (asked === undefined) return Result.succeed(none)
  const found: Array<string> = []
  for (const name of asked) {
    const names = lookup(name)
    if (names.length === 0) {
      const example = setting === "groups" ? "ecdhe_x25519 or ffdhe_2048" : "sha256-rsa or rsa_pss_sha256"
      return Result.fail(
        failed("UnknownName", setting, `expected names such as ${example}, got ${JSON.stringify(name)}`)
      )
    }
    found.push(...names)
  }
  const names = [...new Set(found)]
  const use = names.filter(accepts)
  if (use.length === 0) {
    const what = setting === "groups" ? "groups" : "signature algorithms"
    const message = names.length === 0 ? `the list of ${what} is empty` : `none of the ${what} can be used here`
    return Result.fail(failed("NothingLeft", setting, `${message}; leave it out for the default`))
  }
  return Result.succeed({ names: use, unavailable: names.filter((name) => !use.includes(name)) })
}

/**
 * Makes settings for Node of options.
 *
 * **Details**
 *
 * TLS 1.0 and 1.1 need OpenSSL's security level 0, which is set where they are asked for, unless `cipherList` sets one. Cipher
 * suites for some of the versions alone narrow the versions to those.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Result.Result<TlsSettings, TlsSettingsError> =>
  Result.gen(function* () {
    const asked = yield* askedOf(options)
    for (const protocol of options.alpnProtocols ?? []) {
      const size = Buffer.byteLength(protocol)
      if (size >= 1 && size <= 255) continue
      const message = `expected application protocols of 1 to 255 bytes, got one of ${size}`
      return yield* Result.fail(failed("InvalidProtocol", "alpnProtocols", message))
    }
    const { dhGroupBits } = options
    if (dhGroupBits !== undefined && !(dhGroupBits >= 1 && dhGroupBits <= DhGroups.maxBits)) {
      const message = `expected from 1 to ${DhGroups.maxBits} bits, got ${dhGroupBits}`
      return yield* Result.fail(failed("OutOfRange", "dhGroupBits", message))
    }
    const suites = yield* chooseSuites(options, asked)
    const [minVersion, maxVersion] = [suites.versions[0]!, suites.versions.at(-1)!]
    const groups = yield* chooseNames(
      "groups",
      options.groups,
      (name) => {
        const group = Groups.fromName(name)
        return group === undefined ? [] : [group.opensslName]
      },
      (name) => taken({ ecdhCurve: name })
    )
    const signatures = yield* chooseNames(
      "signatureAlgorithms",
      options.signatureAlgorithms,
      (name) => SignatureSchemes.fromName(name).map((scheme) => scheme.opensslName),
      (name) => taken({ sigalgs: name })
    )
    const between = versions.slice(versions.indexOf(minVersion), versions.indexOf(maxVersion))
    const secureOptions = [
      ...between.filter((version) => !suites.versions.includes(version)).map((version) => withoutVersion[version]),
      ...(options.sessionTickets === false ? [constants.SSL_OP_NO_TICKET] : [])
    ]
    const old = minVersion === "TLSv1" || minVersion === "TLSv1.1"
    const ciphers = suites.names.length > 0 ? suites.names.join(":") : old ? tls.DEFAULT_CIPHERS : undefined
    // a list of OpenSSL's may say the level itself
    const level = old && ciphers?.includes("@SECLEVEL") === false ? ":@SECLEVEL=0" : ""
    return {
      secureContext: {
        minVersion,
        maxVersion,
        ...(ciphers !== undefined && { ciphers: ciphers + level }),
        ...(suites.names.length > 0 && options.cipherList === undefined && { honorCipherOrder: true }),
        ...(dhGroupBits !== undefined && { dhparam: DhGroups.pemOf(dhGroupBits) }),
        ...(groups.names.length > 0 && { ecdhCurve: groups.names.join(":") }),
        ...(signatures.names.length > 0 && { sigalgs: signatures.names.join(":") }),
        ...(secureOptions.length > 0 && { secureOptions: secureOptions.reduce((all, option) => all | option) })
      },
      socket: options.alpnProtocols === undefined ? {} : { ALPNProtocols: [...options.alpnProtocols] },
      keyLogFile: options.keyLogFile,
      unavailable: [...suites.unavailable, ...groups.unavailable, ...signatures.unavailable]
    }
  })

/**
 * What `tls.createSecureContext` takes to present a certificate: itself, its chain without the root, and its key.
 *
 * @category getters
 * @since 0.1.0
 */
export const identity = (certificate: Certificate): Pick<tls.SecureContextOptions, "cert" | "key"> => ({
  cert: certificate.chainPem,
  key: certificate.privateKeyPem
})
