/** What the tests of stores share: loading, and failing as expected. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Certificate } from "../../src/tls/Certificate.ts"
import * as CertificateStore from "../../src/tls/CertificateStore.ts"
import { openssl, read, write } from "./openssl.ts"

export const { CertStoreType } = CertificateStore

export const reasonOf = <A>(effect: Effect.Effect<A, CertificateStore.CertificateStoreError>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

/** Says that opening fails with 271, and of what kind and message. */
export const cannotOpen = Effect.fnUntraced(function* (
  options: CertificateStore.Store,
  kind: CertificateStore.CannotOpenStore["kind"],
  message: RegExp
) {
  const reason = yield* reasonOf(CertificateStore.open(options))
  assert.strictEqual(reason._tag, "CannotOpenStore", reason.message)
  if (reason._tag !== "CannotOpenStore") return
  assert.strictEqual(reason.kind, kind, reason.message)
  assert.match(reason.message, message)
})

/** The certificate of a file in DER. */
export const derOf = (name: string): Buffer => {
  openssl("x509", "-in", `${name}.crt`, "-outform", "DER", "-out", `${name}.crt.der`)
  return read(`${name}.crt.der`)
}

/** Says that this is the certificate of a file, with or without the key of the same name. */
export const isCertificate = (certificate: Certificate, name: string, withKey: boolean): void => {
  assert.strictEqual(certificate.pem, read(`${name}.crt`).toString(), name)
  const key = openssl("pkey", "-in", `${name}.key`)
  assert.strictEqual(certificate.privateKeyPem, withKey ? key : "", name)
}

/** The names in a chain. */
export const chainNames = (certificate: Certificate): ReadonlyArray<string> =>
  certificate.chain.map((der) => {
    const line = openssl("x509", "-inform", "DER", "-noout", "-subject", "-in", writeTemporary(der))
    return /CN = (\S+)/.exec(line)![1]!
  })

const writeTemporary = (der: Uint8Array): string => write("chain-part.der", der)
