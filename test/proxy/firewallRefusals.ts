/**
 * Firewalls that refuse, break off, say nothing or speak something else, whether they are the only one or stand behind others. A
 * dial that fails says what the firewall said, with no secret, and leaves no socket.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { inspect } from "node:util"
import type * as NodeDialer from "../../src/node/NodeDialer.ts"
import type { DialError } from "../../src/proxy/Dialer.ts"
import { soon, unhurried } from "./connected.ts"
import {
  type Before,
  dialling,
  type Kind,
  kinds,
  play,
  secret,
  socks4,
  socks4a,
  socks4WithUser,
  socks5,
  socks5WithUser,
  sockets,
  tunnel,
  tunnelWithUser,
  user
} from "./firewall.ts"
import type { TargetConnection } from "./rawTarget.ts"
import { eventually, timed } from "./watch.ts"

/** A dial that must fail, with a firewall that does as told; the secret is nowhere in what it fails with. */
const failingBehind = Effect.fnUntraced(function* (
  before: ReadonlyArray<Before>,
  kind: Pick<Kind, "at">,
  act: (firewall: TargetConnection) => Effect.Effect<unknown>,
  options: NodeDialer.Options = {}
) {
  const open = sockets()
  const error = yield* Effect.gen(function* () {
    const { dialled, firewall } = yield* dialling(kind, { ...options, before })
    yield* act(firewall)
    const error = yield* Effect.flip(Fiber.join(dialled))
    yield* firewall.watch.until("the end", () => firewall.over, soon)
    return error
  }).pipe(Effect.scoped)
  for (const shown of [error.message, inspect(error, { depth: 9 }), String(error.cause)]) {
    assert.notInclude(shown, secret)
    assert.notInclude(shown, Buffer.from(`${user}:${secret}`).toString("base64"))
  }
  yield* eventually("the sockets to be gone", () => sockets() <= open)
  return error
})

/** What the message says behind the firewall's name. */
export const said = (error: DialError) => {
  assert.strictEqual(error.kind, "FirewallFailed", error.message)
  assert.strictEqual(error.refusal.status, 502)
  assert.notInclude(error.refusal.reason, "127.0.0.1", "the client is not told what the firewall is")
  const match = /^cannot connect to 192\.0\.2\.7:5900: The (?:tunnel|SOCKS4a?|SOCKS5) firewall 127\.0\.0\.1:\d+ (.*)\.$/
  return match.exec(error.message)?.[1] ?? assert.fail(error.message)
}

export const answering = (...answers: ReadonlyArray<string | ReadonlyArray<number>>) =>
  Effect.fnUntraced(function* (firewall: TargetConnection) {
    let seen = 0
    for (const answer of answers) {
      yield* firewall.watch.until("a question", () => firewall.received > seen)
      seen = firewall.received
      yield* firewall.write(Buffer.from(answer as string))
    }
  })

const rest = [0, 0, 0, 0, 0, 0]

/** All of it, for a firewall behind these. */
export const refusals = (before: ReadonlyArray<Before>): void => {
  const failing = (
    kind: Pick<Kind, "at">,
    act: (firewall: TargetConnection) => Effect.Effect<unknown>,
    options: NodeDialer.Options = {}
  ) => failingBehind(before, kind, act, options)

  describe.each(kinds.map((kind) => [kind.name, kind] as const))("%s", { timeout: 30_000 }, (_, kind) => {
    it.live("closes at once", () =>
      Effect.gen(function* () {
        const error = yield* failing(kind, (firewall) => firewall.end())
        assert.strictEqual(said(error), "closed the connection before it answered")
      })
    )

    it.live("resets at once", () =>
      Effect.gen(function* () {
        const error = yield* failing(kind, (firewall) => firewall.reset())
        assert.match(said(error), /^broke the connection before it answered \((ECONNRESET|EPIPE)\)$/)
        assert.instanceOf(error.cause, Error)
      })
    )

    it.live("resets in place of its last answer", () =>
      Effect.gen(function* () {
        const error = yield* failing(
          kind,
          Effect.fnUntraced(function* (firewall) {
            const asked = yield* play(firewall, kind.steps.slice(0, -1))
            yield* firewall.untilReceived(asked + 1)
            yield* firewall.reset()
          })
        )
        assert.match(said(error), /^broke the connection before it answered \((ECONNRESET|EPIPE)\)$/)
        assert.instanceOf(error.cause, Error)
      })
    )

    it.live("ends in the middle of any answer", () =>
      Effect.gen(function* () {
        for (const [index, { answer }] of kind.steps.entries()) {
          for (let length = 0; length < answer.length; length++) {
            const truncated = [
              ...kind.steps.slice(0, index),
              { ...kind.steps[index]!, answer: answer.subarray(0, length) }
            ]
            const error = yield* failing(kind, (firewall) => Effect.andThen(play(firewall, truncated), firewall.end()))
            assert.strictEqual(said(error), "closed the connection before it answered", `${length} of answer ${index}`)
          }
        }
      })
    )

    it.live("says nothing: the dial timeout", () =>
      Effect.gen(function* () {
        const [error, millis] = yield* timed(failing(kind, () => Effect.void, { dialTimeout: 200 }))
        assert.strictEqual(error.kind, "TimedOut")
        assert.strictEqual(error.refusal.status, 504)
        assert.isAtLeast(millis, 190)
        assert.isBelow(millis, unhurried)
      })
    )

    it.live("falls silent in its last answer: the dial timeout", () =>
      Effect.gen(function* () {
        const { answer, ask } = kind.steps.at(-1)!
        const steps = [...kind.steps.slice(0, -1), { ask, answer: answer.subarray(0, -1) }]
        const error = yield* failing(kind, (firewall) => play(firewall, steps), { dialTimeout: 300 })
        assert.strictEqual(error.kind, "TimedOut")
      })
    )

    it.live("speaks garbage", () =>
      Effect.gen(function* () {
        const error = yield* failing(kind, answering("\x01\xff garbage, and more of it than any answer has".repeat(20)))
        assert.match(said(error), /^does not (answer in HTTP|speak SOCKS)/)
      })
    )
  })

  describe("a tunnel that is refused", { timeout: 30_000 }, () => {
    it.live.each([
      ["HTTP/1.1 403 Filtered\r\n\r\n", "refused the connection: 403 Filtered"],
      ["HTTP/1.1 502 Bad Gateway\r\ncontent-length: 3\r\n\r\nno!", "refused the connection: 502 Bad Gateway"],
      ["HTTP/1.0 500\r\n\r\n", "refused the connection: 500"],
      ["HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n", "refused the connection: 302 Found"],
      ["HTTP/1.1 101 Switching Protocols\r\n\r\n", "refused the connection: 101 Switching Protocols"],
      ["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Filtered\r\n\r\n", "refused the connection: 403 Filtered"],
      ["HTTP/1.1 102 Processing\r\n\r\n".repeat(17), "answered more than 16 times with 1xx"],
      ["HTTP/1.1 400 a\tb\xe9\r\n\r\n", "refused the connection: 400 a b"],
      [`HTTP/1.1 400 ${"long ".repeat(100)}\r\n\r\n`, `refused the connection: 400 ${"long ".repeat(40).trim()}`],
      [
        "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        "asks for a user and a password: 407 Proxy Authentication Required"
      ],
      ["SSH-2.0-OpenSSH_9.2\r\n", "does not answer in HTTP/1.1"],
      ["\x05\x00", "does not answer in HTTP/1.1"],
      ["HTTP/2.0 200 OK\r\n\r\n", "does not answer in HTTP/1.1"]
    ] as const)("%j", ([answer, expected]) =>
      Effect.gen(function* () {
        const error = yield* failing(tunnel, answering([...Buffer.from(answer, "latin1")]))
        assert.strictEqual(said(error), expected)
      })
    )

    it.live("says that the user or the password is wrong", () =>
      Effect.gen(function* () {
        const error = yield* failing(tunnelWithUser, answering("HTTP/1.1 407 Who?\r\n\r\n"))
        assert.strictEqual(said(error), "refused the user or the password: 407 Who?")
      })
    )

    it.live.each([
      ["one header", `HTTP/1.1 200 OK\r\nx: ${"a".repeat(20_000)}\r\n\r\n`],
      ["many headers", `HTTP/1.1 200 OK\r\n${"x: a\r\n".repeat(10_000)}\r\n`],
      ["its reason", `HTTP/1.1 200 ${"a".repeat(20_000)}\r\n\r\n`]
    ] as const)("a head without measure, by %s", ([, answer]) =>
      Effect.gen(function* () {
        const error = yield* failing(tunnel, answering(answer))
        assert.strictEqual(said(error), "answered with a head of more than 16384 bytes")
      })
    )

    it.live("does not wait for the rest of a refusal's body, nor take it", () =>
      Effect.gen(function* () {
        const error = yield* failing(
          tunnel,
          Effect.fnUntraced(function* (firewall) {
            yield* firewall.untilReceived(10)
            firewall.socket.write("HTTP/1.1 403 No\r\ncontent-length: 1000000000\r\n\r\n")
            for (let i = 0; i < 64; i++) firewall.socket.write(Buffer.alloc(1 << 20))
          })
        )
        assert.strictEqual(said(error), "refused the connection: 403 No")
      })
    )
  })

  describe("a tunnel that is granted", { timeout: 30_000 }, () => {
    it.live.each([
      ["HTTP/1.0", "HTTP/1.0 200 Connection established\r\n\r\n"],
      ["another 2xx", "HTTP/1.1 204 No Content\r\n\r\n"],
      ["Content-Length, which means nothing", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"],
      ["Transfer-Encoding, which means nothing", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]
    ] as const)("with %s", ([, answer]) =>
      Effect.gen(function* () {
        const { dialled, firewall } = yield* dialling(tunnel, { before })
        yield* answering(`${answer}hello`)(firewall)
        const reader = yield* (yield* Fiber.join(dialled)).reader
        const [chunk] = yield* reader.pull
        assert.strictEqual(Buffer.from(chunk as Uint8Array).toString(), "hello")
      }).pipe(Effect.scoped)
    )
  })

  describe("SOCKS4 that is refused", { timeout: 30_000 }, () => {
    it.live.each([
      [91, "rejected the request, or failed to connect (reply 91)"],
      [92, "rejected the request: it found no identd on this machine (reply 92)"],
      [93, "rejected the request: identd on this machine names another user (reply 93)"],
      [94, "refused the connection for a reason that has no name (reply 94)"],
      [0, "refused the connection for a reason that has no name (reply 0)"]
    ] as const)("%i", ([code, expected]) =>
      Effect.gen(function* () {
        for (const kind of [socks4, socks4WithUser, socks4a]) {
          assert.strictEqual(said(yield* failing(kind, answering([0, code, ...rest]))), expected)
        }
      })
    )

    it.live("another version", () =>
      Effect.gen(function* () {
        assert.strictEqual(
          said(yield* failing(socks4, answering([5, 90, ...rest]))),
          "does not speak SOCKS4: its answer begins with byte 5"
        )
        assert.strictEqual(
          said(yield* failing(socks4a, answering("HTTP/1.1 400 Bad Request\r\n\r\n"))),
          "does not speak SOCKS4: its answer begins with byte 72"
        )
      })
    )
  })

  describe("SOCKS5 that is refused", { timeout: 30_000 }, () => {
    const sentences = [
      "reports a general failure",
      "does not allow this connection",
      "reports that the network is unreachable",
      "reports that the host is unreachable",
      "reports that the target refused the connection",
      "reports that the TTL has expired",
      "does not support connecting",
      "does not support addresses of this type",
      "refused the connection for a reason that has no name"
    ]
    it.live.each([
      ...sentences.map((sentence, index) => [index + 1, sentence] as const),
      [255, sentences[8]!] as const
    ])("%i", ([code, expected]) =>
      Effect.gen(function* () {
        const reply = [5, code, 0, 1, ...rest]
        const full = `${expected} (reply ${code})`
        assert.strictEqual(said(yield* failing(socks5, answering([5, 0], reply))), full)
        assert.strictEqual(said(yield* failing(socks5WithUser, answering([5, 2], [1, 0], reply))), full)
      })
    )

    it.live.each([
      ["another version", [[4, 90, ...rest]], "does not speak SOCKS5: its answer begins with byte 4"],
      ["HTTP", ["HTTP/1.1 400 Bad Request\r\n\r\n"], "does not speak SOCKS5: its answer begins with byte 72"],
      [
        "another version later",
        [
          [5, 0],
          [4, 0, 0, 1, ...rest]
        ],
        "does not speak SOCKS5: its reply begins with byte 4"
      ],
      [
        "no address",
        [
          [5, 0],
          [5, 0, 0, 9, ...rest]
        ],
        "replied with an address of no known type (9)"
      ],
      ["authentication required", [[5, 255]], "does not accept connections without authentication"],
      [
        "authentication that was not offered",
        [
          [5, 2],
          [1, 0],
          [5, 0, 0, 1, ...rest]
        ],
        "asks for a user and a password"
      ],
      ["GSSAPI", [[5, 1]], "wants to authenticate in a way that was not offered (1)"]
    ] as const)("%s", ([, answers, expected]) =>
      Effect.gen(function* () {
        assert.strictEqual(said(yield* failing(socks5, answering(...answers))), expected)
      })
    )

    it.live.each([
      [
        "the wrong password",
        [
          [5, 2],
          [1, 1]
        ],
        "refused the user or the password"
      ],
      ["no way to authenticate", [[5, 255]], "accepts neither a user and a password nor none"],
      ["answers before it is asked", [[5, 2, 1, 0, 5, 0, 0, 1, ...rest]], "gave no answer of SOCKS"]
    ] as const)("%s, with a user", ([, answers, expected]) =>
      Effect.gen(function* () {
        assert.strictEqual(said(yield* failing(socks5WithUser, answering(...answers))), expected)
      })
    )

    it.live("a user whom nobody asks for is no fault", () =>
      Effect.gen(function* () {
        const { dialled, firewall } = yield* dialling(socks5WithUser, { before })
        yield* answering([5, 0], [5, 0, 0, 4, ...Array.from({ length: 18 }, () => 7)])(firewall)
        yield* Fiber.join(dialled)
        assert.notInclude(firewall.text, secret)
      }).pipe(Effect.scoped)
    )
  })
}
