/**
 * The certificate of the servers that speak TLS, with its key in one PEM file: RSA 2048, made anew for each run of the
 * benchmark and removed with it. The load generator does not verify it.
 */
import forge from "node-forge"
import { generateKeyPairSync } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

let file: string | undefined

const make = (): string => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
  const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString()
  const signer = forge.pki.privateKeyFromPem(key)
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = forge.pki.setRsaPublicKey(signer.n, signer.e)
  certificate.serialNumber = "01"
  certificate.validity.notAfter = new Date(Date.now() + 86_400_000)
  const name = [{ name: "commonName", value: "localhost" }]
  certificate.setSubject(name)
  certificate.setIssuer(name)
  certificate.sign(signer, forge.md.sha256.create())
  return forge.pki.certificateToPem(certificate) + key
}

/** Its path. */
export const certificateFile = (): string => {
  if (file !== undefined) return file
  const folder = mkdtempSync(join(tmpdir(), "bench-"))
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }))
  file = join(folder, "server.pem")
  writeFileSync(file, make(), { mode: 0o600 })
  return file
}
