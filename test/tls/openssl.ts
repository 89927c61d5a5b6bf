/** Certificates and keys of every kind, made by `openssl` when a test asks for them. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll } from "@effect/vitest"

/** A folder that lasts as long as the test file. */
export const folder = mkdtempSync(join(tmpdir(), "tls-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

export const path = (name: string): string => join(folder, name)
export const write = (name: string, content: string | Uint8Array): string => {
  writeFileSync(path(name), content, { mode: 0o600 })
  return path(name)
}
export const read = (name: string): Buffer => readFileSync(path(name))
export const text = (name: string): string => readFileSync(path(name), "utf8")

/** Runs a command in the folder and gives what it printed. */
export const run = (command: string, args: ReadonlyArray<string>, input?: string): string =>
  execFileSync(command, args, {
    cwd: folder,
    encoding: "utf8",
    stdio: ["pipe", "pipe", "pipe"],
    ...(input !== undefined && { input })
  })
export const openssl = (...args: ReadonlyArray<string>): string => run("openssl", args)

/** What `openssl genpkey` needs for each kind of key. */
export const keyKinds = {
  rsa2048: ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
  rsa3072: ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
  rsapss: ["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"],
  p256: ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
  p384: ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
  p521: ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
  ed25519: ["-algorithm", "ED25519"],
  ed448: ["-algorithm", "ED448"]
} as const

export type KeyKind = keyof typeof keyKinds

const made = new Set<string>()
const once = (name: string, make: () => void): string => {
  if (!made.has(name)) make()
  made.add(name)
  return path(name)
}

/** The file of a private key (PKCS#8 in PEM), made once for each kind and name. */
export const key = (kind: KeyKind, name: string = kind): string =>
  once(`${name}.key`, () => openssl("genpkey", ...keyKinds[kind], "-out", `${name}.key`))

export interface Request {
  readonly kind?: KeyKind
  /** In the order of the certificate: `/C=US/CN=x`. */
  readonly subject?: string
  readonly extensions?: ReadonlyArray<string>
  readonly serial?: string
  /** The name of an issuer made before; itself by default. */
  readonly issuer?: string
  readonly args?: ReadonlyArray<string>
}

/** Makes `NAME.key` and `NAME.crt`, once. */
export const certificate = (name: string, request: Request = {}): string =>
  once(`${name}.crt`, () => {
    key(request.kind ?? "p256", name)
    const config = ["[req]", "distinguished_name=dn", "[dn]", "[ext]", ...(request.extensions ?? [])].join("\n")
    write(`${name}.cnf`, config)
    const { args = [], extensions, issuer, serial, subject = `/C=US/O=Test/CN=${name}` } = request
    openssl(
      ...`req -x509 -new -utf8 -days 30 -config ${name}.cnf -key ${name}.key -out ${name}.crt`.split(" "),
      "-subj",
      subject,
      ...(extensions === undefined ? [] : ["-extensions", "ext"]),
      ...(serial === undefined ? [] : ["-set_serial", serial]),
      ...(issuer === undefined ? [] : ["-CA", `${issuer}.crt`, "-CAkey", `${issuer}.key`]),
      ...args
    )
  })

/** A root, an intermediate and a leaf of theirs, with a chain file of the latter two. */
export const chain = (): void => {
  certificate("root", { extensions: ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign,cRLSign"] })
  certificate("middle", {
    issuer: "root",
    kind: "rsa2048",
    extensions: ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign,cRLSign"]
  })
  certificate("leaf", {
    issuer: "middle",
    extensions: ["subjectAltName=DNS:localhost", "extendedKeyUsage=serverAuth"]
  })
  once("chain.pem", () => void write("chain.pem", text("middle.crt") + text("root.crt")))
}
