/**
 * Distinguished names (X.501) as the list that people write: `CN=www.server.com, OU=test, C=US, E=support@server.com`. The
 * common name comes first, then the rest from the most specific to the country, which is the reverse of how certificates hold
 * them, and the email address last. A value with a comma, or with another character that has a meaning, is in quotes, in which
 * a quote is doubled.
 */

/** A part of a name. */
export interface Attribute {
  /** The short name of the type, or its object identifier. */
  readonly type: string
  readonly value: string
}

const names: Readonly<Record<string, string>> = {
  "2.5.4.3": "CN",
  "2.5.4.4": "SN",
  "2.5.4.5": "SERIALNUMBER",
  "2.5.4.6": "C",
  "2.5.4.7": "L",
  "2.5.4.8": "S",
  "2.5.4.9": "STREET",
  "2.5.4.10": "O",
  "2.5.4.11": "OU",
  "2.5.4.12": "T",
  "2.5.4.15": "BUSINESSCATEGORY",
  "2.5.4.17": "POSTALCODE",
  "2.5.4.42": "G",
  "2.5.4.43": "I",
  "2.5.4.46": "DNQUALIFIER",
  "2.5.4.97": "ORGANIZATIONIDENTIFIER",
  "0.9.2342.19200300.100.1.1": "UID",
  "0.9.2342.19200300.100.1.25": "DC",
  "1.2.840.113549.1.9.1": "E"
}

/** What others call the same types, for names that people write. */
const aliases: Readonly<Record<string, string>> = {
  ST: "S",
  SP: "S",
  STATE: "S",
  EMAIL: "E",
  EMAILADDRESS: "E",
  COMMONNAME: "CN",
  ORGANIZATION: "O",
  COUNTRY: "C",
  LOCALITY: "L",
  GN: "G",
  GIVENNAME: "G",
  SURNAME: "SN",
  INITIALS: "I",
  TITLE: "T"
}

/** The attributes of a name as a certificate has them, with their object identifiers, by their names and in the order of this module. */
export const ordered = (attributes: ReadonlyArray<Attribute>): ReadonlyArray<Attribute> => {
  const rank = ({ type }: Attribute) => (type === "CN" ? 0 : type === "E" ? 2 : 1)
  return attributes
    .map(({ type, value }): Attribute => ({ type: names[type] ?? type, value }))
    .toReversed()
    .toSorted((a, b) => rank(a) - rank(b))
}

const quote = (value: string): string =>
  /[,"=+<>;#\r\n]|^\s|\s$/.test(value) ? `"${value.replaceAll('"', '""')}"` : value

export const format = (attributes: ReadonlyArray<Attribute>): string =>
  attributes.map(({ type, value }) => `${type}=${quote(value)}`).join(", ")

const part = /\s*([A-Za-z][\w-]*|\d+(?:\.\d+)+)\s*=\s*(?:"((?:[^"]|"")*)"|([^,"]*?))\s*(?:,|$)/y

const known = new Set(Object.values(names))

/** The short name of a type, however it is written; `undefined` for a word that is none. */
const typeOf = (written: string): string | undefined => {
  const upper = written.toUpperCase()
  const type = names[upper] ?? aliases[upper] ?? upper
  return known.has(type) || /^\d/.test(type) ? type : undefined
}

/** Reads what {@link format} and people write; `undefined` if it is no such list, or has a type that nobody knows. */
export const parse = (text: string): ReadonlyArray<Attribute> | undefined => {
  const attributes: Array<Attribute> = []
  part.lastIndex = 0
  while (part.lastIndex < text.length) {
    const match = part.exec(text)
    const type = match === null ? undefined : typeOf(match[1]!)
    if (match === null || type === undefined) return undefined
    attributes.push({ type, value: match[2]?.replaceAll('""', '"') ?? match[3]! })
  }
  return attributes
}

/** To compare by. As JSON, so that nothing in a value can be taken for another attribute. */
const normalized = (attributes: ReadonlyArray<Attribute>) =>
  attributes
    .map(({ type, value }) => JSON.stringify([type, value.toLowerCase()]))
    .toSorted()
    .join("\n")

/** Whether the text names these attributes, and no others, in whatever order, writing and case. */
export const matches = (attributes: ReadonlyArray<Attribute>, text: string): boolean => {
  const parsed = parse(text)
  return parsed !== undefined && parsed.length > 0 && normalized(parsed) === normalized(attributes)
}
