/**
 * Groups for the DHE suites of TLS 1.2, in the form in which OpenSSL takes them (PKCS#3). They are those of RFC 3526, which Node
 * has by name.
 */
import { Integer, Sequence } from "asn1js"
import { getDiffieHellman } from "node:crypto"

const groups: ReadonlyArray<readonly [bits: number, name: string]> = [
  [2048, "modp14"],
  [3072, "modp15"],
  [4096, "modp16"],
  [6144, "modp17"],
  [8192, "modp18"]
]

/** An unsigned number as ASN.1 has it: its first bit is a sign. */
const integer = (bytes: Uint8Array): Integer => {
  const signed = new Uint8Array(bytes.length + 1)
  signed.set(bytes, 1)
  return new Integer({ valueHex: (bytes[0]! & 0x80) === 0 ? bytes.slice().buffer : signed.buffer })
}

/** The bits of the largest group. */
export const maxBits = 8192

/** The smallest group of at least so many bits, of which there are {@link maxBits} at most, as PEM. */
export const pemOf = (bits: number): string => {
  const [, name] = groups.find(([size]) => size >= bits) ?? groups.at(-1)!
  const group = getDiffieHellman(name)
  const der = new Sequence({ value: [integer(group.getPrime()), integer(group.getGenerator())] }).toBER()
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? []
  return ["-----BEGIN DH PARAMETERS-----", ...lines, "-----END DH PARAMETERS-----", ""].join("\n")
}
