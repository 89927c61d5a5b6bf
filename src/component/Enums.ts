/**
 * The enumerations of the documents: objects of documented names and numbers, and the union of the numbers as a type.
 *
 * @since 0.1.0
 */

/**
 * What a connection makes of what is sent.
 *
 * @category enums
 * @since 0.1.0
 */
export const DataFormats = {
  /** Strings are text, bytes are binary. */
  dfAutomatic: 0,
  /** All is text; bytes must be UTF-8. */
  dfText: 1,
  /** All is binary; strings are encoded as UTF-8. */
  dfBinary: 2,
  /** A ping with the data as its payload, at most 125 bytes. */
  dfPing: 9,
  /** A pong that nobody asked for, likewise. */
  dfPong: 10
} as const

/**
 * One of the numbers of the formats.
 *
 * @category enums
 * @since 0.1.0
 */
export type DataFormats = (typeof DataFormats)[keyof typeof DataFormats]

/**
 * Who does TLS. There is one implementation here, OpenSSL in Node, which counts as internal.
 *
 * @category enums
 * @since 0.1.0
 */
export const WSServerSSLProviders = { sslpAutomatic: 0, sslpPlatform: 1, sslpInternal: 2 } as const

/**
 * One of the numbers of the providers.
 *
 * @category enums
 * @since 0.1.0
 */
export type WSServerSSLProviders = (typeof WSServerSSLProviders)[keyof typeof WSServerSSLProviders]

/**
 * Where a certificate and its key come from.
 *
 * @category enums
 * @since 0.1.0
 */
export const CertStoreTypes = {
  cstUser: 0,
  cstMachine: 1,
  cstPFXFile: 2,
  cstPFXBlob: 3,
  cstJKSFile: 4,
  cstJKSBlob: 5,
  cstPEMKeyFile: 6,
  cstPEMKeyBlob: 7,
  cstPublicKeyFile: 8,
  cstPublicKeyBlob: 9,
  cstSSHPublicKeyBlob: 10,
  cstP7BFile: 11,
  cstP7BBlob: 12,
  cstSSHPublicKeyFile: 13,
  cstPPKFile: 14,
  cstPPKBlob: 15,
  cstXMLFile: 16,
  cstXMLBlob: 17,
  cstJWKFile: 18,
  cstJWKBlob: 19,
  cstBCFKSFile: 21,
  cstBCFKSBlob: 22,
  cstPKCS11: 23,
  cstAuto: 99
} as const

/**
 * One of the numbers of the types.
 *
 * @category enums
 * @since 0.1.0
 */
export type CertStoreTypes = (typeof CertStoreTypes)[keyof typeof CertStoreTypes]

/**
 * How a firewall is asked to connect.
 *
 * @category enums
 * @since 0.1.0
 */
export const FirewallTypes = { fwNone: 0, fwTunnel: 1, fwSOCKS4: 2, fwSOCKS5: 3, fwSOCKS4A: 10 } as const

/**
 * One of the numbers of the types.
 *
 * @category enums
 * @since 0.1.0
 */
export type FirewallTypes = (typeof FirewallTypes)[keyof typeof FirewallTypes]

/**
 * How much is told by the Log event: each level tells what those before it do, and more.
 *
 * @category enums
 * @since 0.1.0
 */
export const LogLevels = { none: 0, info: 1, verbose: 2, debug: 3 } as const

/**
 * One of the numbers of the levels.
 *
 * @category enums
 * @since 0.1.0
 */
export type LogLevels = (typeof LogLevels)[keyof typeof LogLevels]
