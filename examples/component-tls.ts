/**
 * An echo server over TLS with the component `WSServer`. The certificate and its key are two PEM files, or one PFX file with a
 * password.
 *
 *   CERT=cert.pem KEY=key.pem npm run example examples/component-tls.ts
 *   PFX=server.pfx PASSWORD=secret npm run example examples/component-tls.ts
 */
import { readFileSync } from "node:fs"
import { Certificate, CertStoreTypes, WSServer } from "effect-websocket/component"

const { CERT, KEY, PASSWORD = "", PFX, PORT = "8443" } = process.env

/** The certificate that the environment names. */
const certificate = (): Certificate => {
  if (PFX !== undefined) return new Certificate(CertStoreTypes.cstPFXFile, PFX, PASSWORD, "*")
  if (CERT === undefined || KEY === undefined) throw new Error("set CERT and KEY, or PFX and PASSWORD")
  // both as one store
  const pem = readFileSync(KEY, "utf8") + readFileSync(CERT, "utf8")
  return new Certificate(CertStoreTypes.cstPEMKeyBlob, pem, PASSWORD, "*")
}

const server = new WSServer()
server.localHost = "127.0.0.1"
server.localPort = Number(PORT)
server.useSSL = true
server.sslCert = certificate()
// TLS 1.2 alone is the documented default; this is TLS 1.2 and 1.3
server.config("SSLEnabledProtocols=15360")
server.config("BufferMessage=true")

server
  .on("SSLStatus", (e) => console.log(`${e.connectionId}: ${e.message}`))
  .on("DataIn", (e) => server.sendText(e.connectionId, e.text))
  .on("Error", (e) => console.error(`${e.errorCode}: ${e.description}`))

await server.startListening()
console.log(`Echoing on wss://${server.localHost}:${server.localPort}`)

process.once("SIGTERM", () => server.dispose())
process.once("SIGINT", () => server.dispose())
