/**
 * The settings about TLS as the options that they mean.
 */
import * as Result from "effect/Result"
import { readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import * as Authorities from "../../tls/internal/authorities.ts"
import * as Pem from "../../tls/internal/pem.ts"
import { readRegularFile } from "../../tls/internal/regularFile.ts"
import type * as TlsSettings from "../../tls/TlsSettings.ts"
import { ComponentError } from "../ComponentError.ts"
import type { Store } from "../Settings.ts"

/** The bits of SSLEnabledProtocols: one for servers and one for clients, which are taken for the same. */
const protocolBits: ReadonlyArray<readonly [TlsSettings.Version, number]> = [
  ["TLSv1", 0xc0],
  ["TLSv1.1", 0x300],
  ["TLSv1.2", 0xc00],
  ["TLSv1.3", 0x3000]
]

const versionsOf = (mask: number): Pick<TlsSettings.Options, "minVersion" | "maxVersion" | "excludedVersions"> => {
  const enabled = protocolBits.filter(([, bits]) => (mask & bits) !== 0).map(([version]) => version)
  if (enabled.length === 0) {
    throw new ComponentError(270, {
      detail: `SSLEnabledProtocols: ${mask} has none of TLS 1.0 (192), 1.1 (768), 1.2 (3072) and 1.3 (12288).`
    })
  }
  return {
    minVersion: enabled[0],
    maxVersion: enabled.at(-1),
    excludedVersions: protocolBits.map(([version]) => version).filter((version) => !enabled.includes(version))
  }
}

const split = (text: string, separator: string): ReadonlyArray<string> =>
  text.split(separator).flatMap((name) => name.trim() || [])

/** Names of a setting, if somebody has set it: the default of the documents is left to OpenSSL, which knows newer ones too. */
const chosen = (
  store: Store,
  name: "TLS12SignatureAlgorithms" | "TLS13SignatureAlgorithms" | "TLS12SupportedGroups" | "TLS13SupportedGroups"
) => (store.isSet(name) ? split(store.values[name], ",") : [])

/** Those of two versions, as far as they are spoken. */
const both = (mask: number, tls12: ReadonlyArray<string>, tls13: ReadonlyArray<string>) => {
  const names = [...((mask & 0xc00) === 0 ? [] : tls12), ...((mask & 0x3000) === 0 ? [] : tls13)]
  return names.length === 0 ? undefined : [...new Set(names)]
}

/** What is to be spoken. Throws 270 for what cannot be. */
export const settingsOf = (store: Store, component: "WSServer" | "WebSocketProxy"): TlsSettings.Options => {
  const { values } = store
  const mask = values.SSLEnabledProtocols
  // those of Windows say nothing here
  const suites = split(values.SSLEnabledCipherSuites, ";").filter((name) => !/^CALG_/i.test(name))
  const cipherList = component === "WebSocketProxy" ? values.OpenSSLCipherList || undefined : undefined
  if (cipherList !== undefined && values.SSLCipherStrength > 0) {
    throw new ComponentError(270, {
      detail: "OpenSSLCipherList: SSLCipherStrength cannot be kept with it; set one of them alone."
    })
  }
  const hasOwn = suites.length > 0 && !suites.includes("*")
  return {
    ...versionsOf(mask),
    cipherList,
    // there is no larger group
    dhGroupBits: Math.min(values.PreferredDHGroupBits, 8192),
    cipherSuites: hasOwn && cipherList === undefined ? suites : undefined,
    minCipherStrength: values.SSLCipherStrength === 0 ? undefined : values.SSLCipherStrength,
    groups: both(mask, chosen(store, "TLS12SupportedGroups"), chosen(store, "TLS13SupportedGroups")),
    signatureAlgorithms: both(
      mask,
      chosen(store, "TLS12SignatureAlgorithms"),
      chosen(store, "TLS13SignatureAlgorithms")
    ),
    sessionTickets: values.ReuseSSLSession,
    keyLogFile: values.SSLKeyLogFile || undefined
  }
}

/** The certificates of a text, each as its PEM. */
const certificatesOf = (text: string): ReadonlyArray<string> =>
  Pem.parse(text)
    .filter(Pem.isCertificate)
    .map((block) => block.text)

/** The certificates in the text of a setting. Throws 271 if it has none, or one that cannot be read. */
export const pemsOf = (setting: string, text: string): ReadonlyArray<string> => {
  if (text.trim() === "") return []
  const read = Authorities.read([text])
  if (Result.isSuccess(read)) return read.success
  throw new ComponentError(271, { detail: `${setting}: ${read.failure.message}.`, cause: read.failure })
}

/** What a file or a folder holds. Throws 271 if it cannot be had. */
const opened = <A>(setting: string, read: () => A): A => {
  try {
    return read()
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new ComponentError(271, { detail: `${setting}: ${why}`, cause })
  }
}

const textOf = (path: string): string => readRegularFile(path, path).toString("latin1")

const pemsOfFile = (path: string): ReadonlyArray<string> =>
  path === ""
    ? []
    : pemsOf(
        "OpenSSLCAFile",
        opened("OpenSSLCAFile", () => textOf(path))
      )

/** Of its files; folders in it, links to nothing and files of something else are passed over, as OpenSSL does. */
const pemsOfFolder = (path: string): ReadonlyArray<string> => {
  if (path === "") return []
  const files = opened("OpenSSLCADir", () => readdirSync(path)).map((name) => join(path, name))
  return files
    .filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile() === true)
    .flatMap((file) => certificatesOf(opened("OpenSSLCADir", () => textOf(file))))
    .flatMap((block) => pemsOf("OpenSSLCADir", block))
}

/** The first of the files that there is: all of one that somebody has chosen; of the system's, what can be read. */
const systemPems = (store: Store): ReadonlyArray<string> => {
  for (const path of split(store.values.CACertFilePaths, ";")) {
    let text: string
    try {
      text = textOf(path)
    } catch {
      continue
    }
    if (store.isSet("CACertFilePaths")) return pemsOf("CACertFilePaths", text)
    return certificatesOf(text).flatMap((block) => Result.getOrElse(Authorities.read([block]), () => []))
  }
  return []
}

/** The authorities that client certificates are held against. */
export const authoritiesOf = (store: Store, component: "WSServer" | "WebSocketProxy"): ReadonlyArray<string> => {
  const { values } = store
  const own =
    component === "WSServer"
      ? pemsOf("SSLClientCACerts", values.SSLClientCACerts)
      : [
          ...pemsOf("SSLCACerts", values.SSLCACerts),
          ...pemsOfFile(values.OpenSSLCAFile),
          ...pemsOfFolder(values.OpenSSLCADir)
        ]
  return [...new Set([...own, ...systemPems(store)])]
}

/** SSLSecurityFlags, and what of a failed verification each overlooks. */
const overlooked: ReadonlyArray<readonly [flag: number, failures: RegExp]> = [
  [0x1, /CERT_(HAS_EXPIRED|NOT_YET_VALID)/],
  [0x10, /UNABLE_TO_GET_ISSUER|SELF_SIGNED|UNABLE_TO_VERIFY_LEAF|CERT_UNTRUSTED/],
  [0x20, /INVALID_PURPOSE/],
  [0x100 | 0x200 | 0x400 | 0x800, /UNABLE_TO_GET_CRL|REVOCATION_UNKNOWN/],
  [0x4000 | 0x8000, /SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED/],
  [0x80000000, /HOSTNAME_MISMATCH|ALTNAME/]
]

/** Whether flags overlook a failure, by its name; the words behind that are others', such as addresses in certificates. */
export const overlooks = (flags: number, failure: string): boolean => {
  const name = failure.replace(/:.*/s, "")
  return overlooked.some(([flag, failures]) => (flags & flag) !== 0 && failures.test(name))
}
