/**
 * What revocation is asked of: an HTTP server on the loopback that serves what the test says, such as lists of `openssl ca` and
 * answers of `openssl ocsp`, and counts who asks.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { execFileSync, spawn } from "node:child_process"
import { createPrivateKey, sign } from "node:crypto"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Asn1 from "../../src/tls/internal/asn1.ts"
import * as Ocsp from "../../src/tls/internal/ocsp.ts"
import { encode, tags } from "../../src/tls/internal/tlv.ts"
import type { Authority } from "./authority.ts"
import { folder, path, read, write } from "./openssl.ts"

/** What is served: bytes, or whatever is done with the answer. */
export type Serve = (asked: Buffer, response: Http.ServerResponse) => Uint8Array | void

export interface Responder {
  readonly port: number
  /** Says what is served below a path. */
  readonly at: (path: string, serve: Serve) => string
  /** What was asked for: `METHOD /path`. */
  readonly log: Array<string>
}

const bodyOf = (request: Http.IncomingMessage, done: (body: Buffer) => void) => {
  const chunks: Array<Buffer> = []
  request.on("data", (chunk: Buffer) => chunks.push(chunk))
  request.on("end", () => done(Buffer.concat(chunks)))
}

/** What OCSP asks by GET is in the path. */
const inPath = (url: string) => Buffer.from(decodeURIComponent(url.split("/").slice(2).join("/")), "base64")

export const listen: Effect.Effect<Responder, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.callback<{ readonly server: Http.Server; readonly responder: Responder }>((resume) => {
      const served = new Map<string, Serve>()
      const log: Array<string> = []
      const server = Http.createServer((request, response) => {
        const { method = "", url = "" } = request
        const name = url.split("/")[1] ?? ""
        log.push(`${method} /${name}`)
        bodyOf(request, (body) => {
          const serve = served.get(name)
          if (serve === undefined) return response.writeHead(404).end()
          const bytes = serve(method === "GET" ? inPath(url) : body, response)
          return bytes === undefined ? undefined : response.end(bytes)
        })
      })
      server.listen(0, "127.0.0.1", () => {
        // a TCP server's address is one of IP
        const { port } = server.address() as AddressInfo
        const at = (name: string, serve: Serve) => {
          served.set(name, serve)
          return `http://127.0.0.1:${port}/${name}`
        }
        resume(Effect.succeed({ server, responder: { port, at, log } }))
      })
    }),
    ({ server }) =>
      Effect.sync(() => {
        server.close()
        server.closeAllConnections()
      })
  ),
  ({ responder }) => responder
)

export interface Answering {
  /** The name of who signs; the authority itself by default. */
  readonly signer?: string
  readonly args?: ReadonlyArray<string>
}

const sequence = (...parts: ReadonlyArray<Uint8Array>) => encode(tags.sequence, ...parts)

let questions = 0

/** Answers as `openssl ocsp` does for an authority, with what its index says at that time. */
export const ocsp =
  (authority: Authority, { args = ["-ndays", "1"], signer = authority.name }: Answering = {}) =>
  (asked: Buffer): Buffer => {
    const name = `question${questions++}`
    write(`${name}.der`, asked)
    const own = ["-index", authority.index, "-CA", path(`${authority.name}.crt`)]
    const signs = ["-rsigner", path(`${signer}.crt`), "-rkey", path(`${signer}.key`)]
    const files = ["-reqin", `${name}.der`, "-respout", `${name}.answer`]
    execFileSync("openssl", ["ocsp", ...own, ...signs, ...files, ...args], { cwd: folder, stdio: "pipe" })
    return read(`${name}.answer`)
  }

/** An answer of `openssl ocsp`, with an extension for its only certificate, signed anew by the authority's key of P-256. */
export const extended =
  (authority: Authority, extension: Uint8Array) =>
  (asked: Buffer): Uint8Array => {
    const answer = Ocsp.parse(ocsp(authority)(asked))
    const key = createPrivateKey(read(`${authority.name}.key`))
    const single = Asn1.sequence(answer.answers[0], "the answer")
    const extensions = encode(0xa1, sequence(extension))
    const answers = sequence(sequence(...single.map(({ der }) => der), extensions))
    const before = Asn1.sequence(Asn1.decode(answer.body, "the data"), "the data").slice(0, 2)
    const body = sequence(...before.map(({ der }) => der), answers)
    const signature = encode(0x03, Buffer.of(0), sign("sha256", body, key))
    const basic = encode(0x04, sequence(body, answer.algorithm, signature))
    const type = Buffer.from("06092b0601050507300101", "hex")
    return sequence(Buffer.of(0x0a, 1, 0), encode(0xa0, sequence(type, basic)))
  }

/** Runs `openssl ocsp` as a server for an authority, on a port of the system's choice. */
export const program = (authority: Authority): Effect.Effect<number, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<{ readonly port: number; readonly stop: () => void }>((resume) => {
        const own = ["-index", authority.index, "-CA", `${authority.name}.crt`, "-ndays", "1"]
        const signs = ["-rsigner", `${authority.name}.crt`, "-rkey", `${authority.name}.key`]
        const child = spawn("openssl", ["ocsp", "-port", "0", ...own, ...signs], { cwd: folder })
        let output = ""
        const look = (chunk: Buffer) => {
          output += chunk.toString("latin1")
          const port = /ACCEPT \S*:(\d+) /.exec(output)?.[1]
          if (port !== undefined) resume(Effect.succeed({ port: Number(port), stop: () => void child.kill() }))
        }
        child.stdout.on("data", look)
        child.stderr.on("data", look)
        child.once("exit", () => resume(Effect.die(new Error(`openssl ocsp ended: ${output}`))))
      }),
      ({ stop }) => Effect.sync(stop)
    ),
    ({ port }) => port
  )
