/** Extensions, as certificates, revocation lists and OCSP responses have them (RFC 5280 section 4.1). */
import * as Asn1 from "./asn1.ts"

export interface Extension {
  readonly critical: boolean
  readonly value: Uint8Array
}

export type Extensions = ReadonlyMap<string, Extension>

export const none: Extensions = new Map()

/** Each extension of a list by its object identifier. */
export const read = (list: Asn1.Node | undefined): Extensions =>
  new Map(
    Asn1.sequence(list, "the extensions").map((extension) => {
      const parts = Asn1.sequence(extension, "an extension")
      // extnID, critical DEFAULT FALSE, extnValue
      const critical = parts.length === 3 && (parts[1]!.content[0] ?? 0) !== 0
      return [
        Asn1.oid(parts[0], "an extension's name"),
        { critical, value: Asn1.octets(parts.at(-1), "an extension's value") }
      ]
    })
  )

/** The critical ones that are not known here: what has them must not be used. */
export const unknown = (extensions: Extensions, known: ReadonlySet<string>): ReadonlyArray<string> =>
  [...extensions].filter(([id, { critical }]) => critical && !known.has(id)).map(([id]) => id)
