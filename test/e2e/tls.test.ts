/**
 * wss with peers of other makes: a browser and Python, which verify the certificate.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { createHash, X509Certificate } from "node:crypto"
import { promisify } from "node:util"
import type { Browser } from "playwright-core"
import { certificate, path, read, text, write } from "../tls/openssl.ts"
import { launch } from "./chromium.ts"
import { command } from "./command.ts"

const run = promisify(execFile)

const ca = ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"]
certificate("authority", { extensions: ca })
for (const [name, kind] of [
  ["ec", "p256"],
  ["rsa", "rsa2048"]
] as const) {
  const extensions = ["subjectAltName=DNS:localhost,IP:127.0.0.1", "extendedKeyUsage=serverAuth"]
  certificate(name, { kind, issuer: "authority", extensions })
}
certificate("client", { issuer: "authority", extensions: ["extendedKeyUsage=clientAuth"] })
certificate("stranger")
write("both.pem", text("client.crt") + text("client.key"))

const wss = ["--cert", path("ec.crt"), "--cert", path("rsa.crt"), "--key", path("ec.key"), "--key", path("rsa.key")]
const asked = [...wss, "--client-ca", path("authority.crt")]

/** The hash of the one public key that the browser is to trust. */
const spki = (name: string): string =>
  createHash("sha256")
    .update(new X509Certificate(read(`${name}.crt`)).publicKey.export({ type: "spki", format: "der" }))
    .digest("base64")

describe("Chromium", () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launch(`--ignore-certificate-errors-spki-list=${spki("ec")}`)
  })
  afterAll(() => browser.close())

  /** How a connection of a page comes out: what is echoed and how it closes. */
  const visit = async (port: number) => {
    const page = await browser.newPage()
    const result = await page.evaluate(
      (url) =>
        new Promise<{ readonly same: boolean; readonly code: number; readonly wasClean: boolean }>((resolve) => {
          const socket = new WebSocket(url)
          const sent = new Uint8Array(4 * 1024 * 1024).map((_, i) => i * 7)
          let same = false
          socket.binaryType = "arraybuffer"
          socket.addEventListener("open", () => socket.send(sent))
          socket.addEventListener("message", ({ data }) => {
            same = new Uint8Array(data as ArrayBuffer).every((byte, i) => byte === sent[i])
            socket.close(4321, "enough")
          })
          socket.addEventListener("close", ({ code, wasClean }) => resolve({ same, code, wasClean }))
        }),
      `wss://localhost:${port}`
    )
    await page.close()
    return result
  }

  it("echoes over wss, with the certificate whose kind of key it prefers", async () => {
    await using echo = await command("echo", "127.0.0.1:0", ...wss)
    assert.deepStrictEqual(await visit(echo.port), { same: true, code: 4321, wasClean: true })
  })

  it("refuses a certificate that it does not trust", async () => {
    await using echo = await command("echo", "127.0.0.1:0", "--cert", path("rsa.crt"), "--key", path("rsa.key"))
    assert.deepStrictEqual(await visit(echo.port), { same: false, code: 1006, wasClean: false })
  })

  // a page's WebSocket asks nobody for one: only what was chosen for a page of the same server counts
  it.each(["required", "optional"])("gets nowhere where a certificate of its own is %s", async (kind) => {
    await using echo = await command("echo", "127.0.0.1:0", ...asked, "--client-cert", kind)
    assert.deepStrictEqual(await visit(echo.port), { same: false, code: 1006, wasClean: false })
  })
})

const python = `
import asyncio, ssl, sys, websockets

async def main(url, ca, version, *mine):
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
    if mine:
        context.load_cert_chain(mine[0])
    async with websockets.connect(url, ssl=context, max_size=None, compression="deflate") as socket:
        for message in ["hello", "κόσμε" * 1000, bytes(range(256)) * 40000, ""]:
            await socket.send(message)
            echoed = await socket.recv()
            assert echoed == message, (type(echoed), len(echoed))
        print(socket.transport.get_extra_info("ssl_object").version())
        await socket.close(code=3000, reason="enough")
    print(socket.close_code)

asyncio.run(main(*sys.argv[1:]))
`

describe("Python's websockets", () => {
  const py = (port: number, version: string, ...mine: ReadonlyArray<string>) =>
    run("/usr/bin/python3", ["-c", python, `wss://localhost:${port}`, path("authority.crt"), version, ...mine])

  it.each(["TLSv1_2", "TLSv1_3"])("echoes over %s", async (version) => {
    await using echo = await command("echo", "127.0.0.1:0", ...wss)
    const { stdout } = await py(echo.port, version)
    assert.strictEqual(stdout, `${version.replace("_", ".")}\n3000\n`)
  })

  it("is let in with its certificate, and not without it", async () => {
    await using echo = await command("echo", "127.0.0.1:0", ...asked)
    for (const version of ["TLSv1_2", "TLSv1_3"]) {
      const { stdout } = await py(echo.port, version, path("both.pem"))
      assert.match(stdout, /3000/)
      const error = await py(echo.port, version).then(
        () => assert.fail("it was let in"),
        (error: { readonly stderr: string }) => error.stderr
      )
      assert.match(error, version === "TLSv1_3" ? /TLSV13_ALERT_CERTIFICATE_REQUIRED/ : /HANDSHAKE_FAILURE/)
    }
  })
})
