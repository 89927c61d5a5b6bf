/**
 * The certificates of authorities that somebody trusts, in PEM. Each has to be readable and whole: OpenSSL passes over what it
 * cannot read, and whoever that authority has signed would be refused, with nobody being told why.
 */
import * as Result from "effect/Result"
import { X509Certificate } from "node:crypto"
import { from, type Malformed, malformed } from "./malformed.ts"
import * as Pem from "./pem.ts"

/** A trusted certificate of OpenSSL's also says what for, behind the certificate: it is left to OpenSSL as it is. */
const encode = ({ bytes, label, text }: Pem.Block): string => {
  const { raw } = new X509Certificate(bytes)
  return label === "TRUSTED CERTIFICATE" ? `${text}\n` : Pem.encode("CERTIFICATE", raw)
}

const readOne = (given: string | Uint8Array): ReadonlyArray<string> => {
  const text = typeof given === "string" ? given : Buffer.from(given).toString("latin1")
  const blocks = Pem.parseWhole(text).filter(Pem.isCertificate)
  if (blocks.length === 0) throw malformed("expected certificates of authorities in PEM, got a text without one")
  return blocks.map(encode)
}

/** Each certificate of texts that may have several, by itself. */
export const read = (given: ReadonlyArray<string | Uint8Array>): Result.Result<ReadonlyArray<string>, Malformed> =>
  Result.try({
    try: () => given.flatMap(readOne),
    catch: from("a certificate of an authority cannot be read; give each whole, from BEGIN to END")
  })
