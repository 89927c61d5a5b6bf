/**
 * PKCS#7 bags of certificates (RFC 5652 section 5.1: SignedData, here for its certificates alone). They hold no keys.
 */
import * as Asn1 from "./asn1.ts"
import * as Contents from "./contents.ts"
import { malformed } from "./malformed.ts"

const signedData = "1.2.840.113549.1.7.2"

/** Whether a value is a SignedData. */
export const is = (root: Asn1.Node): boolean => root.children[0]?.oid === signedData

export const read = (root: Asn1.Node): Contents.Contents => {
  const [, content] = Asn1.sequence(root, "the store")
  const signed = Asn1.sequence(Asn1.explicit(content, 0, "the signed data"), "the signed data")
  // other choices of certificate than X.509 have tags of their own
  const certificates = signed
    .filter((field) => field.isContext(0))
    .flatMap((field) => field.children)
    .filter(Asn1.isSequence)
    .map((certificate) => certificate.der)
  if (certificates.length === 0) throw malformed("it holds no certificate")
  return Contents.make({ certificates })
}
