/**
 * The groups of TLS by number (RFC 8446 section 4.2.7, RFC 8422, RFC 7919): their IANA names, the names that OpenSSL takes, and
 * the names in the documented settings, such as `ecdhe_secp256r1` and `ffdhe_2048`.
 *
 * @since 0.1.0
 */

/**
 * A group for key exchange.
 *
 * @category models
 * @since 0.1.0
 */
export interface Group {
  readonly id: number
  /** The name that IANA registers. */
  readonly name: string
  /** The name that OpenSSL takes. */
  readonly opensslName: string
  /** The name in the documented settings, where they have it. */
  readonly documentedName: string | undefined
  /** Other names of the same. */
  readonly aliases: ReadonlyArray<string>
}

const rows: ReadonlyArray<readonly [id: number, name: string, openssl: string, documented?: string, ...Array<string>]> =
  [
    [0x0016, "secp256k1", "secp256k1"],
    [0x0017, "secp256r1", "P-256", "ecdhe_secp256r1", "prime256v1"],
    [0x0018, "secp384r1", "P-384", "ecdhe_secp384r1"],
    [0x0019, "secp521r1", "P-521", "ecdhe_secp521r1"],
    [0x001a, "brainpoolP256r1", "brainpoolP256r1"],
    [0x001b, "brainpoolP384r1", "brainpoolP384r1"],
    [0x001c, "brainpoolP512r1", "brainpoolP512r1"],
    [0x001d, "x25519", "X25519", "ecdhe_x25519"],
    [0x001e, "x448", "X448", "ecdhe_x448"],
    [0x001f, "brainpoolP256r1tls13", "brainpoolP256r1tls13"],
    [0x0020, "brainpoolP384r1tls13", "brainpoolP384r1tls13"],
    [0x0021, "brainpoolP512r1tls13", "brainpoolP512r1tls13"],
    [0x0100, "ffdhe2048", "ffdhe2048", "ffdhe_2048"],
    [0x0101, "ffdhe3072", "ffdhe3072", "ffdhe_3072"],
    [0x0102, "ffdhe4096", "ffdhe4096", "ffdhe_4096"],
    [0x0103, "ffdhe6144", "ffdhe6144", "ffdhe_6144"],
    [0x0104, "ffdhe8192", "ffdhe8192", "ffdhe_8192"],
    [0x0200, "MLKEM512", "MLKEM512"],
    [0x0201, "MLKEM768", "MLKEM768"],
    [0x0202, "MLKEM1024", "MLKEM1024"],
    [0x11eb, "SecP256r1MLKEM768", "SecP256r1MLKEM768"],
    [0x11ec, "X25519MLKEM768", "X25519MLKEM768"],
    [0x11ed, "SecP384r1MLKEM1024", "SecP384r1MLKEM1024"]
  ]

/**
 * All groups, by their numbers upwards.
 *
 * @category values
 * @since 0.1.0
 */
export const all: ReadonlyArray<Group> = rows.map(([id, name, opensslName, documentedName, ...aliases]) => ({
  id,
  name,
  opensslName,
  documentedName,
  aliases
}))

const byId = new Map(all.map((group) => [group.id, group]))
const byName = new Map(
  all.flatMap((group) =>
    [group.name, group.opensslName, group.documentedName, ...group.aliases]
      .filter((name) => name !== undefined)
      .map((name) => [name.toLowerCase(), group])
  )
)

/**
 * The group of a number.
 *
 * @category getters
 * @since 0.1.0
 */
export const fromId = (id: number): Group | undefined => byId.get(id)

/**
 * The group of a documented, an IANA or an OpenSSL name, in any case.
 *
 * @category getters
 * @since 0.1.0
 */
export const fromName = (name: string): Group | undefined => byName.get(name.trim().toLowerCase())

/**
 * The IANA name of a number; `0x1A1A` for one that has none here.
 *
 * @category getters
 * @since 0.1.0
 */
export const nameOf = (id: number): string =>
  byId.get(id)?.name ?? `0x${id.toString(16).toUpperCase().padStart(4, "0")}`
