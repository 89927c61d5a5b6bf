/**
 * Certificate authorities of `openssl ca`, with what they issued and revoked: for dates of the test's choice, for revocation
 * lists, and for OCSP responders.
 */
import { mkdirSync } from "node:fs"
import { openssl, path, read, text, write } from "./openssl.ts"

export interface Issue {
  /** Lines of an extension section. Default: a server's for localhost and 127.0.0.1. */
  readonly extensions?: ReadonlyArray<string>
  /** `YYYYMMDDHHMMSSZ`. */
  readonly from?: string
  readonly to?: string
  /** The hash that it is signed by. Default: SHA-256. */
  readonly hash?: string
}

export interface Crl {
  readonly from?: string
  readonly to?: string
  /** Default: DER. */
  readonly pem?: boolean
  /** Lines of a section for the issuing distribution point. */
  readonly scope?: ReadonlyArray<string>
  readonly args?: ReadonlyArray<string>
}

const forServers = ["subjectAltName=DNS:localhost,IP:127.0.0.1", "extendedKeyUsage=serverAuth"]

/** An EC key, or one of RSA. */
export type Key = "p256" | "rsa" | "ed25519"

const keyArgs: Readonly<Record<Key, ReadonlyArray<string>>> = {
  p256: ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
  rsa: ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
  ed25519: ["-algorithm", "ED25519"]
}

export class Authority {
  readonly name: string
  readonly #config: string
  #sections = 0

  constructor(name: string, key: Key = "p256", subject = `/C=US/O=Test/CN=${name}`) {
    this.name = name
    this.#config = `${name}-ca.cnf`
    mkdirSync(path(`${name}-ca`))
    write(`${name}-ca/index.txt`, "")
    write(`${name}-ca/serial`, "1000\n")
    write(`${name}-ca/crlnumber`, "01\n")
    openssl("genpkey", ...keyArgs[key], "-out", `${name}.key`)
    const config = `
[ca]
default_ca=own
[own]
database=${path(`${name}-ca/index.txt`)}
serial=${path(`${name}-ca/serial`)}
crlnumber=${path(`${name}-ca/crlnumber`)}
new_certs_dir=${path(`${name}-ca`)}
certificate=${path(`${name}.crt`)}
private_key=${path(`${name}.key`)}
default_md=${key === "ed25519" ? "null" : "sha256"}
default_days=30
default_crl_days=7
policy=any
unique_subject=no
[any]
commonName=supplied
countryName=optional
organizationName=optional
[req]
distinguished_name=dn
[dn]
[root]
basicConstraints=critical,CA:TRUE
keyUsage=keyCertSign,cRLSign
subjectKeyIdentifier=hash
`
    write(this.#config, config)
    const args = ["-config", this.#config, "-extensions", "root", "-days", "30"]
    openssl("req", "-x509", "-new", "-key", `${name}.key`, "-out", `${name}.crt`, "-subj", subject, ...args)
  }

  get pem(): string {
    return text(`${this.name}.crt`)
  }

  #section(lines: ReadonlyArray<string>): string {
    const section = `section${this.#sections++}`
    write(this.#config, [text(this.#config), `[${section}]`, ...lines].join("\n"))
    return section
  }

  /** Makes `NAME.key` and `NAME.crt`. */
  issue(name: string, { extensions = forServers, from, hash, to }: Issue = {}): void {
    openssl("genpkey", ...keyArgs.p256, "-out", `${name}.key`)
    const request = ["-new", "-key", `${name}.key`, "-out", `${name}.csr`, "-subj", `/C=US/O=Test/CN=${name}`]
    openssl("req", ...request, "-config", this.#config)
    const section = this.#section([...extensions, "authorityKeyIdentifier=keyid"])
    const dates = [...(from === undefined ? [] : ["-startdate", from]), ...(to === undefined ? [] : ["-enddate", to])]
    const signs = hash === undefined ? [] : ["-md", hash]
    const args = ["-batch", "-notext", "-config", this.#config, "-extensions", section, ...dates, ...signs]
    openssl("ca", ...args, "-in", `${name}.csr`, "-out", `${name}.crt`)
  }

  revoke(name: string, reason?: string): void {
    const why = reason === undefined ? [] : ["-crl_reason", reason]
    openssl("ca", "-config", this.#config, "-revoke", `${name}.crt`, ...why)
  }

  /** The revocation list of now. */
  crl({ args = [], from, pem = false, scope, to }: Crl = {}): Buffer {
    const file = `${this.name}.crl`
    const dates = [
      ...(from === undefined ? [] : ["-crl_lastupdate", from]),
      ...(to === undefined ? [] : ["-crl_nextupdate", to])
    ]
    const point = scope === undefined ? [] : [`issuingDistributionPoint=critical,@${this.#section(scope)}`]
    const section = ["-crlexts", this.#section(["authorityKeyIdentifier=keyid", ...point])]
    openssl("ca", "-config", this.#config, "-gencrl", "-out", `${file}.pem`, ...dates, ...section, ...args)
    if (pem) return read(`${file}.pem`)
    openssl("crl", "-in", `${file}.pem`, "-outform", "DER", "-out", file)
    return read(file)
  }

  /** Adds lines to the record of what was issued, or puts them in place of it. */
  record(lines: ReadonlyArray<string>, instead = false): void {
    const file = `${this.name}-ca/index.txt`
    write(
      file,
      [
        ...(instead
          ? []
          : text(file)
              .split("\n")
              .filter((line) => line !== "")),
        ...lines,
        ""
      ].join("\n")
    )
  }

  /** The file that an OCSP responder reads. */
  get index(): string {
    return path(`${this.name}-ca/index.txt`)
  }
}
