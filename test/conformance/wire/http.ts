/**
 * The opening handshake on the wire: request heads (also malformed ones) and an incremental reader of the response.
 */
import { createHash, randomBytes } from "node:crypto"

export type Header = readonly [name: string, value: string]

export interface RequestHead {
  readonly method: string
  readonly target: string
  readonly version: string
  readonly headers: ReadonlyArray<Header>
}

export interface Response {
  readonly statusLine: string
  readonly status: number
  readonly headers: ReadonlyArray<Header>
  readonly body: Buffer
  /** What came behind the response. */
  readonly rest: Buffer
}

export const newKey = (): string => randomBytes(16).toString("base64")

/** RFC 6455 section 4.2.2, step 5.4. */
export const acceptOf = (key: string): string =>
  createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")

export const requestHead = (host: string, target: string, key: string): RequestHead => ({
  method: "GET",
  target,
  version: "HTTP/1.1",
  headers: [
    ["Host", host],
    ["Upgrade", "websocket"],
    ["Connection", "Upgrade"],
    ["Sec-WebSocket-Key", key],
    ["Sec-WebSocket-Version", "13"]
  ]
})

const same = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase()

export const without = (head: RequestHead, name: string): RequestHead => ({
  ...head,
  headers: head.headers.filter(([n]) => !same(n, name))
})

/** The head with one more header line at its end. */
export const plus = (head: RequestHead, name: string, value: string): RequestHead => ({
  ...head,
  headers: [...head.headers, [name, value]]
})

/** The head with another value in place of the one it has. */
export const having = (head: RequestHead, name: string, value: string): RequestHead => ({
  ...head,
  headers: head.headers.map((header) => (same(header[0], name) ? [header[0], value] : header))
})

export const encodeHead = (head: RequestHead): Buffer =>
  Buffer.from(
    `${head.method} ${head.target} ${head.version}\r\n` +
      head.headers.map(([name, value]) => `${name}: ${value}\r\n`).join("") +
      "\r\n",
    "latin1"
  )

export const values = (response: Response, name: string): Array<string> =>
  response.headers.filter(([n]) => same(n, name)).map(([, value]) => value)

/** The comma-separated members of a list header, over all its lines, in lower case. */
export const tokens = (response: Response, name: string): Array<string> =>
  values(response, name)
    .join(",")
    .split(",")
    .map((token) => token.trim().toLowerCase())
    .filter((token) => token !== "")

const parseHeader = (line: string): Header => {
  const colon = line.indexOf(":")
  if (colon <= 0 || /[\s]/.test(line.slice(0, colon))) {
    throw new Error(`the server sent a malformed header line: ${JSON.stringify(line)}`)
  }
  return [line.slice(0, colon), line.slice(colon + 1).trim()]
}

/**
 * The response at the start of `data`, or `undefined` while it is not complete. A 101 ends with its head; any other
 * must say how long its body is, so that a client knows where it ends.
 */
export const parseResponse = (data: Buffer, bodyless = false): Response | undefined => {
  const end = data.indexOf("\r\n\r\n")
  if (end < 0) {
    const start = data.subarray(0, 5).toString("latin1")
    if (!"HTTP/".startsWith(start)) throw new Error(`the server answered no HTTP but ${JSON.stringify(start)}`)
    return undefined
  }
  const [statusLine = "", ...lines] = data.subarray(0, end).toString("latin1").split("\r\n")
  const match = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(statusLine)
  if (match === null) throw new Error(`the server sent a malformed status line: ${JSON.stringify(statusLine)}`)
  const status = Number(match[1])
  const after = data.subarray(end + 4)
  const head = { statusLine, status, headers: lines.map(parseHeader), body: Buffer.alloc(0), rest: after }
  if (status === 101 || bodyless) return head
  const lengths = values(head, "Content-Length")
  const [length = ""] = lengths
  if (lengths.length !== 1 || !/^\d+$/.test(length)) {
    throw new Error(`${statusLine}: one Content-Length was expected, [${lengths.join(" | ")}] came`)
  }
  const size = Number(length)
  if (after.length < size) return undefined
  return { ...head, body: after.subarray(0, size), rest: after.subarray(size) }
}
