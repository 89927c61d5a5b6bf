/**
 * ASN.1 values (X.690) as a tree to walk by hand: X.509, PKCS#7, PKCS#8 and PKCS#12 need a few fields each. The library under
 * it bounds depth and size. A node keeps its exact bytes, since certificates are hashed and compared as they were written.
 *
 * What is not there, or not of the asked type, throws `Malformed` with the name that the caller gave it.
 */
import * as asn1 from "asn1js"
import { malformed } from "./malformed.ts"

const universal = 1
const contextSpecific = 3

/** A value and what it holds. */
export class Node {
  private readonly block: asn1.AsnType
  private nodes: ReadonlyArray<Node> | undefined

  constructor(block: asn1.AsnType) {
    this.block = block
  }

  /** Tag, length and content, as they were read. */
  get der(): Uint8Array {
    return this.block.valueBeforeDecodeView
  }
  /** The content of a primitive value. */
  get content(): Uint8Array {
    return this.der.subarray(this.block.idBlock.blockLength + this.block.lenBlock.blockLength)
  }
  get constructed(): boolean {
    return this.block.idBlock.isConstructed
  }
  /** What a constructed value holds, whatever its tag. */
  get children(): ReadonlyArray<Node> {
    if (this.nodes === undefined) {
      const { valueBlock } = this.block
      const values =
        this.constructed && "value" in valueBlock && Array.isArray(valueBlock.value) ? valueBlock.value : []
      this.nodes = values.filter((value) => value instanceof asn1.BaseBlock).map((value) => new Node(value))
    }
    return this.nodes
  }
  /** Whether it has this universal tag. */
  is(tag: number): boolean {
    return this.block.idBlock.tagClass === universal && this.block.idBlock.tagNumber === tag
  }
  /** Whether it is `[tag]`, in context. */
  isContext(tag: number): boolean {
    return this.block.idBlock.tagClass === contextSpecific && this.block.idBlock.tagNumber === tag
  }
  /** The text of a string of any of the ASN.1 string types, `undefined` if it is none. */
  get text(): string | undefined {
    return this.block instanceof asn1.BaseStringBlock ? this.block.getValue() : undefined
  }
  /** The dotted object identifier, `undefined` if it is none. */
  get oid(): string | undefined {
    return this.block instanceof asn1.ObjectIdentifier ? this.block.getValue() : undefined
  }
}

const tags = { integer: 2, bitString: 3, octetString: 4, null: 5, oid: 6, sequence: 16, set: 17 } as const

/** Reads one value, which is all the bytes. */
export const decode = (bytes: Uint8Array, what: string): Node => {
  const { offset, result } = asn1.fromBER(bytes)
  if (offset === -1) throw malformed(`${what} is not ASN.1: ${result.error}`)
  if (offset !== bytes.length) throw malformed(`${what} is followed by ${bytes.length - offset} more bytes`)
  return new Node(result)
}

const expect = (node: Node | undefined, tag: number, what: string): Node => {
  if (node === undefined) throw malformed(`${what} is missing`)
  if (!node.is(tag)) throw malformed(`${what} is not of the ASN.1 type that it should be`)
  return node
}

export const isSequence = (node: Node | undefined): node is Node => node?.is(tags.sequence) === true

export const isInteger = (node: Node | undefined): node is Node => node?.is(tags.integer) === true

export const isOctets = (node: Node | undefined): node is Node => node?.is(tags.octetString) === true

export const isBits = (node: Node | undefined): node is Node => node?.is(tags.bitString) === true

/** The values in a SEQUENCE. */
export const sequence = (node: Node | undefined, what: string): ReadonlyArray<Node> =>
  expect(node, tags.sequence, what).children

/** The values in a SET. */
export const set = (node: Node | undefined, what: string): ReadonlyArray<Node> => expect(node, tags.set, what).children

export const oid = (node: Node | undefined, what: string): string => {
  const value = node?.oid
  if (value === undefined) throw malformed(`${what} is not an object identifier`)
  return value
}

/** An INTEGER that is no larger than a number holds exactly. */
export const integer = (node: Node | undefined, what: string): number => {
  const { content } = expect(node, tags.integer, what)
  if (content.length === 0 || content.length > 6) throw malformed(`${what} is out of range`)
  return Buffer.from(content).readIntBE(0, content.length)
}

const joined = (node: Node): Uint8Array =>
  // BER may cut a string into pieces, which are primitive strings or again cut
  node.constructed ? Buffer.concat(node.children.map(joined)) : node.content

/** The content of an OCTET STRING. */
export const octets = (node: Node | undefined, what: string): Uint8Array => joined(expect(node, tags.octetString, what))

/** The content of `[tag] IMPLICIT OCTET STRING`. */
export const implicitOctets = (node: Node | undefined, tag: number, what: string): Uint8Array => {
  if (node === undefined || !node.isContext(tag)) throw malformed(`${what} is missing`)
  return joined(node)
}

/** The content of a BIT STRING, without the byte that counts unused bits. */
export const bits = (node: Node | undefined, what: string): Uint8Array =>
  expect(node, tags.bitString, what).content.subarray(1)

/** The value in `[tag] EXPLICIT`. */
export const explicit = (node: Node | undefined, tag: number, what: string): Node => {
  const inner = node?.isContext(tag) === true ? node.children[0] : undefined
  if (inner === undefined) throw malformed(`${what} is missing`)
  return inner
}
