/** ClientHellos of real clients, captured over loopback, and a writer of hellos of one's own. */
import { spawn } from "node:child_process"
import { createServer, type Socket } from "node:net"
import type { AddressInfo } from "node:net"
import * as tls from "node:tls"

/** The first bytes that a client sends, until its hello is answered by an alert. */
const capture = (connect: (port: number) => () => void): Promise<Uint8Array> =>
  new Promise((resolve, reject) => {
    let disconnect = () => {}
    const chunks: Array<Buffer> = []
    const server = createServer((socket: Socket) => {
      socket.on("error", () => {})
      socket.on("data", (chunk) => {
        chunks.push(Buffer.from(chunk))
        const bytes = Buffer.concat(chunks)
        // handshake records of one message: whole when its length is there
        if (bytes.length < 9 || bytes.length < 9 + bytes.readUIntBE(6, 3)) return
        socket.destroy()
        server.close()
        disconnect()
        resolve(new Uint8Array(bytes))
      })
    })
    server.on("error", reject)
    server.listen(0, "127.0.0.1", () => {
      // a TCP server's address is one of IP
      disconnect = connect((server.address() as AddressInfo).port)
    })
  })

export const fromOpenssl = (...args: ReadonlyArray<string>): Promise<Uint8Array> =>
  capture((port) => {
    const child = spawn("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, ...args], { stdio: "ignore" })
    return () => void child.kill()
  })

export const fromNode = (options: tls.ConnectionOptions): Promise<Uint8Array> =>
  capture((port) => {
    const socket = tls.connect({ host: "127.0.0.1", port, ...options })
    socket.on("error", () => {})
    return () => void socket.destroy()
  })

const size = (bytes: number, value: number) => {
  const out = Buffer.alloc(bytes)
  out.writeUIntBE(value, 0, bytes)
  return out
}

/** Bytes behind their length. */
export const vector = (lengthBytes: number, ...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const content = Buffer.concat(parts)
  return Buffer.concat([size(lengthBytes, content.length), content])
}

export const extension = (type: number, ...parts: ReadonlyArray<Uint8Array>): Buffer =>
  Buffer.concat([size(2, type), vector(2, ...parts)])

export const hostName = (name: string): Buffer =>
  extension(0, vector(2, Buffer.of(0), vector(2, Buffer.from(name, "latin1"))))

export interface Hello {
  readonly version?: number
  readonly session?: Uint8Array
  readonly suites?: Uint8Array
  readonly compressions?: Uint8Array
  /** Written as the last field; `null` for none at all. */
  readonly extensions?: ReadonlyArray<Uint8Array> | null
  readonly trailing?: Uint8Array
}

/** The body of a hello. */
export const body = (hello: Hello = {}): Buffer =>
  Buffer.concat([
    size(2, hello.version ?? 0x0303),
    Buffer.alloc(32, 7),
    vector(1, hello.session ?? Buffer.alloc(0)),
    vector(2, hello.suites ?? Buffer.of(0x13, 0x01)),
    vector(1, hello.compressions ?? Buffer.of(0)),
    hello.extensions === null ? Buffer.alloc(0) : vector(2, ...(hello.extensions ?? [])),
    hello.trailing ?? Buffer.alloc(0)
  ])

export const message = (content: Uint8Array, type = 1): Buffer => Buffer.concat([Buffer.of(type), vector(3, content)])

export const record = (content: Uint8Array, type = 22, version = 0x0301): Buffer =>
  Buffer.concat([Buffer.of(type), size(2, version), vector(2, content)])

/** A hello in one record. */
export const hello = (options: Hello = {}): Buffer => record(message(body(options)))

/** The same message in records of at most so many bytes. */
export const fragmented = (content: Uint8Array, most: number): Buffer => {
  const records: Array<Buffer> = []
  for (let at = 0; at < content.length; at += most) records.push(record(content.subarray(at, at + most)))
  return Buffer.concat(records)
}
