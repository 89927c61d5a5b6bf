/**
 * Families 0.2 to 0.5: opening handshakes that are refused, each with a whole HTTP response that says why (RFC 6455
 * section 4.2, RFC 9110, RFC 9112).
 */
import * as assert from "node:assert/strict"
import { type Case, type Connect, family } from "../case.ts"
import {
  encodeHead,
  having,
  newKey,
  plus,
  requestHead,
  type RequestHead,
  type Response,
  tokens,
  values,
  without
} from "../wire/http.ts"

type Edit = (head: RequestHead) => RequestHead

const isClientError = (status: number): boolean => status >= 400 && status < 500

/** Sends these octets and expects a refusal: a whole HTTP response with a body that says why. */
const refused =
  (
    octets: (connect: Connect) => Uint8Array,
    status: (status: number) => boolean,
    check: (response: Response) => void = () => {},
    bodyless = false
  ): Case["run"] =>
  async (connect) => {
    const tcp = await connect.tcp()
    tcp.write([octets(connect)])
    const response = await tcp.response(bodyless)
    assert.ok(status(response.status), `got ${response.statusLine}: ${response.body.toString()}`)
    assert.deepEqual(values(response, "Sec-WebSocket-Accept"), [], "a refusal accepts no key")
    if (!bodyless) assert.ok(response.body.toString().trim().length > 0, "the refusal says no reason")
    check(response)
  }

const refuses = (
  edit: Edit,
  status: (status: number) => boolean,
  check?: (response: Response) => void,
  bodyless?: boolean
): Case["run"] =>
  refused(({ host, target }) => encodeHead(edit(requestHead(host, target, newKey()))), status, check, bodyless)

const is = (expected: number) => (status: number) => status === expected
const SAMPLE = "dGhlIHNhbXBsZSBub25jZQ=="

const METHODS = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

const wrongMethods = family("0.2", "RFC 6455 section 4.2.1", [
  ...METHODS.map((method) => ({
    title: `${method} is refused`,
    run: refuses(
      (head) => ({ ...head, method, headers: [...head.headers, ["Content-Length", "0"]] }),
      (status) => isClientError(status) || status === 501
    )
  })),
  {
    title: "HEAD is refused",
    run: refuses(
      (head) => ({ ...head, method: "HEAD" }),
      (status) => isClientError(status) || status === 501,
      undefined,
      true
    )
  }
])

const saysVersion = (response: Response): void => {
  assert.deepEqual(tokens(response, "Sec-WebSocket-Version"), ["13"])
}

const wrongVersions = family("0.3", "RFC 6455 section 4.4", [
  {
    title: "no Sec-WebSocket-Version: 426 that names 13",
    run: refuses((head) => without(head, "Sec-WebSocket-Version"), is(426), saysVersion)
  },
  ...["", "0", "7", "8", "12", "14", "25", "99", "-13", "13.0", "0x0d", "thirteen"].map((version) => ({
    title: `Sec-WebSocket-Version: ${version === "" ? "(empty)" : version}: 426 that names 13`,
    run: refuses((head) => having(head, "Sec-WebSocket-Version", version), is(426), saysVersion)
  }))
])

const KEYS: ReadonlyArray<readonly [title: string, key: string]> = [
  ["an empty key", ""],
  ["a key that is no base64", "!!!!!!!!!!!!!!!!!!!!!!=="],
  ["a key of 15 octets", Buffer.alloc(15, 7).toString("base64")],
  ["a key of 17 octets", Buffer.alloc(17, 7).toString("base64")],
  ["a key of 8 octets", Buffer.alloc(8, 7).toString("base64")],
  ["a key of 32 octets", Buffer.alloc(32, 7).toString("base64")],
  ["a key without its padding", SAMPLE.slice(0, -2)],
  ["a key with padding within", `dGhl==${SAMPLE.slice(6)}`],
  ["a key with a space within", `dGhl ${SAMPLE.slice(5)}`],
  ["a key in base64url", "-_-_-_-_-_-_-_-_-_-_-g=="]
]

const wrongKeys = family("0.4", "RFC 6455 section 4.2.1", [
  { title: "no Sec-WebSocket-Key: 400", run: refuses((head) => without(head, "Sec-WebSocket-Key"), is(400)) },
  ...KEYS.map(([title, key]) => ({
    title: `${title}: 400`,
    run: refuses((head) => having(head, "Sec-WebSocket-Key", key), is(400))
  })),
  {
    title: "two different keys: 400",
    rfc: "RFC 6455 section 11.3.1",
    run: refuses((head) => plus(head, "Sec-WebSocket-Key", newKey()), is(400))
  },
  {
    title: "the same key twice: 400",
    rfc: "RFC 6455 section 11.3.1",
    run: refuses((head) => plus(having(head, "Sec-WebSocket-Key", SAMPLE), "Sec-WebSocket-Key", SAMPLE), is(400))
  }
])

const wrongHeads = family("0.5", "RFC 6455 section 4.2.1", [
  {
    title: "no Host: 400",
    rfc: "RFC 9112 section 3.2",
    run: refuses((head) => without(head, "Host"), is(400))
  },
  {
    title: "two Hosts: 400",
    rfc: "RFC 9112 section 3.2",
    run: refuses((head) => plus(head, "Host", "other.example"), is(400))
  },
  { title: "no Upgrade", run: refuses((head) => without(head, "Upgrade"), isClientError) },
  { title: "Upgrade: h2c", run: refuses((head) => having(head, "Upgrade", "h2c"), isClientError) },
  { title: "Upgrade: websockets", run: refuses((head) => having(head, "Upgrade", "websockets"), isClientError) },
  { title: "no Connection", run: refuses((head) => without(head, "Connection"), isClientError) },
  ...["keep-alive", "close", "Upgrade-Insecure", "not-upgrade", "Up, grade"].map((value) => ({
    title: `Connection: ${value}`,
    run: refuses((head) => having(head, "Connection", value), isClientError)
  })),
  {
    title: "HTTP/1.0 is refused",
    run: refuses(
      (head) => ({ ...head, version: "HTTP/1.0" }),
      (status) => isClientError(status) || status === 505
    )
  },
  {
    title: "a head of 128 KiB in one header: 431",
    rfc: "RFC 6585 section 5",
    run: refuses((head) => plus(head, "X-Large", "x".repeat(131072)), is(431))
  },
  {
    title: "a head of 128 KiB in 2048 headers: 431",
    rfc: "RFC 6585 section 5",
    run: refuses(
      (head) => Array.from({ length: 2048 }).reduce<RequestHead>((h, _, i) => plus(h, `X-${i}`, "x".repeat(56)), head),
      is(431)
    )
  },
  {
    title: "no HTTP at all: 400",
    rfc: "RFC 9112 section 2.2",
    run: refused(() => Buffer.from("\x16\x03\x01 this is no request\r\n\r\n", "latin1"), is(400))
  },
  {
    title: "a space before the colon of a header: 400",
    rfc: "RFC 9112 section 5.1",
    run: refuses((head) => plus(head, "X-Bad ", "1"), is(400))
  },
  {
    title: "half a head, then the client's FIN: the server ends the connection",
    run: async (connect) => {
      const tcp = await connect.tcp()
      const head = encodeHead(requestHead(connect.host, connect.target, newKey()))
      tcp.write([head.subarray(0, 60)])
      tcp.end()
      await tcp.ended()
    }
  }
])

export const refusals: ReadonlyArray<Case> = [...wrongMethods, ...wrongVersions, ...wrongKeys, ...wrongHeads]
