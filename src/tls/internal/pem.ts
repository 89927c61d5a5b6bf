/**
 * PEM (RFC 7468, and RFC 1421's headers for old encrypted keys): labelled blocks of base64 between other text.
 */
import { malformed } from "./malformed.ts"

export interface Block {
  readonly label: string
  /** The decoded bytes. */
  readonly bytes: Uint8Array
  /** The whole block, from BEGIN to END. */
  readonly text: string
}

const begin = /-----BEGIN ([A-Z0-9][A-Z0-9 ]{0,62})-----/g

/** Whether a text has the beginning of a block. */
export const isText = (text: string): boolean => text.search(begin) !== -1

interface Scanned {
  readonly blocks: ReadonlyArray<Block>
  /** Whether a block has a beginning and no end; nothing is read behind it. */
  readonly isCut: boolean
}

const scan = (text: string): Scanned => {
  const blocks: Array<Block> = []
  begin.lastIndex = 0
  for (let match = begin.exec(text); match !== null; match = begin.exec(text)) {
    const label = match[1]!
    const end = `-----END ${label}-----`
    const at = text.indexOf(end, begin.lastIndex)
    if (at === -1) return { blocks, isCut: true }
    const body = text.slice(begin.lastIndex, at).replace(/^\s*(?:[\w-]+:[^\n]*\n)+/, "")
    blocks.push({ label, bytes: Buffer.from(body, "base64"), text: text.slice(match.index, at + end.length) })
    begin.lastIndex = at + end.length
  }
  return { blocks, isCut: false }
}

/** The complete blocks of a text, in their order. */
export const parse = (text: string): ReadonlyArray<Block> => scan(text).blocks

/** The blocks of a text of which none may be lost: throws `Malformed` if one has no end. */
export const parseWhole = (text: string): ReadonlyArray<Block> => {
  const { blocks, isCut } = scan(text)
  if (isCut) throw malformed("it is cut off: a block of PEM in it has a beginning and no end")
  return blocks
}

const certificateLabels = new Set(["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"])

export const isCertificate = (block: Block): boolean => certificateLabels.has(block.label)

/** The block of these bytes. */
export const encode = (label: string, bytes: Uint8Array): string => {
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n")
}

/** The bytes of a text that is all base64, and `undefined` for any other. */
export const base64 = (text: string): Uint8Array | undefined => {
  const compact = text.replaceAll(/\s+/g, "")
  return compact !== "" && /^[A-Za-z0-9+/]+={0,2}$/.test(compact) ? Buffer.from(compact, "base64") : undefined
}
