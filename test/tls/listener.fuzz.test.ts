/**
 * Whatever comes to a port of TLS: each connection gets an answer that is TLS or nothing, or HTTP for HTTP, and its end; the
 * server goes on, and nothing is left.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric } from "effect"
import * as Telemetry from "../../src/connection/Telemetry.ts"
import { collectingLogs, echo, eventually, noneOpen, serving } from "../server/serving.ts"
import { fragmented, fromNode, fromOpenssl, hello, record, vector } from "./hellos.ts"
import { echoing, isLetIn, rest, tcp, upgraded } from "./listening.ts"

/** Numbers that are the same in each run: what fails can be tried again. */
class Dice {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }
  /** One of `0` to `sides - 1`. */
  roll(sides: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0
    return Math.floor((this.#state / 2 ** 32) * sides)
  }
  bytes(size: number): Buffer {
    return Buffer.from(Array.from({ length: size }, () => this.roll(256)))
  }
  /** What is some of these, changed a little. */
  mutation(samples: ReadonlyArray<Uint8Array>): Buffer {
    let bytes = Buffer.from(samples[this.roll(samples.length)]!)
    for (let times = 1 + this.roll(4); times > 0; times--) {
      const at = this.roll(bytes.length)
      const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)]
      switch (this.roll(5)) {
        case 0:
          bytes[at]! ^= 1 << this.roll(8)
          break
        case 1:
          bytes[at] = [0, 1, 0x7f, 0x80, 0xff][this.roll(5)]!
          break
        case 2:
          bytes = Buffer.concat([before, after.subarray(1 + this.roll(16))])
          break
        case 3:
          bytes = Buffer.concat([before, this.bytes(1 + this.roll(16)), after])
          break
        default:
          bytes = Buffer.concat([bytes, before])
      }
      if (bytes.length === 0) return bytes
    }
    return bytes
  }
}

/** The types of the records that an answer is made of, and the number of an alert in plain text at its end. */
const recordsOf = (answer: Buffer): { readonly types: ReadonlyArray<number>; readonly alert: number | undefined } => {
  const types: Array<number> = []
  let alert: number | undefined
  for (let at = 0; at < answer.length;) {
    const [type, major] = [answer[at]!, answer[at + 1]]
    const size = answer.length >= at + 5 ? answer.readUInt16BE(at + 3) : Infinity
    // OpenSSL sends its alert with the version that it was sent, and be it none
    const isKnown = major === 3 ? [20, 21, 22, 23].includes(type) : type === 21
    assert.isTrue(isKnown, `this is no TLS: ${answer.toString("hex")}`)
    assert.isAtMost(at + 5 + size, answer.length, "a record is cut")
    types.push(type)
    alert = type === 21 && size === 2 ? answer[at + 6] : undefined
    at += 5 + size
  }
  return { types, alert }
}

/** Sends these bytes in pieces, ends, and gives what comes back. */
const answerTo = (port: number, bytes: Uint8Array, dice: Dice) =>
  Effect.scoped(
    Effect.gen(function* () {
      const socket = yield* tcp(port)
      for (let at = 0; at < bytes.length;) {
        const size = dice.roll(3) === 0 ? 1 + dice.roll(20) : bytes.length
        socket.write(bytes.subarray(at, at + size))
        at += size
        yield* Effect.yieldNow
      }
      socket.end()
      return yield* rest(socket)
    })
  ).pipe(
    Effect.timeout("10 seconds"),
    Effect.catch(() => Effect.die(new Error(`nothing ends ${Buffer.from(bytes).toString("hex")}`)))
  )

/** Sockets and timers that keep the process busy. */
const held = () =>
  process.getActiveResourcesInfo().filter((name) => ["TCPSocketWrap", "TLSWrap", "Timeout"].includes(name)).length

const counted = Effect.map(Metric.value(Telemetry.tlsHandshakes), ({ occurrences }) =>
  [...occurrences.values()].reduce((sum, count) => sum + count, 0)
)

describe("what comes to a port of TLS", { timeout: 120_000 }, () => {
  const ways = [
    ["and OpenSSL reads the hello", { plaintext: false }],
    ["and the hello is read before", { plaintext: false, onStatus: () => {} }],
    ["where ws is spoken, too", { plaintext: true }],
    ["and each record is looked at", { plaintext: false, records: true, onStatus: () => {} }]
  ] as const
  it.live.each(ways)("may be anything, 3,000 times, %s", ([, options]) =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const { plaintext } = options
        const { port, server } = yield* echoing(options, { handshakeTimeout: "3 seconds" })
        const dice = new Dice(1)
        const hellos = yield* Effect.promise(() =>
          Promise.all([
            fromNode({}),
            fromNode({ maxVersion: "TLSv1.2", servername: "localhost", ALPNProtocols: ["http/1.1"] }),
            fromOpenssl("-tls1_2"),
            fromOpenssl("-alpn", "http/1.1,x")
          ])
        )
        const inputs = Array.from({ length: 3000 }, (_, i) => {
          const sample = hellos[dice.roll(hellos.length)]!
          switch (i % 5) {
            case 0:
              return dice.bytes(dice.roll(200))
            case 1:
              return sample.subarray(0, dice.roll(sample.length))
            case 2:
              return record(dice.bytes(dice.roll(400)), 16 + dice.roll(12), 0x0300 + dice.roll(5))
            case 3:
              return Buffer.concat([sample, record(dice.bytes(1 + dice.roll(60)), 20 + dice.roll(5), 0x0303)])
            default:
              return dice.mutation(hellos)
          }
        })
        const before = yield* counted
        const heldBefore = held()
        let spoken = 0
        yield* Effect.forEach(
          inputs,
          Effect.fnUntraced(function* (bytes, i) {
            const answer = yield* answerTo(port, bytes, new Dice(i))
            if (plaintext && bytes.length > 0 && bytes[0] !== 22) {
              assert.match(answer.toString("latin1"), /^(HTTP\/1\.1 4\d\d |$)/)
              return
            }
            spoken++
            recordsOf(answer)
          }),
          { concurrency: 20, discard: true }
        )
        assert.strictEqual((yield* counted) - before, spoken, "each of them is counted once")
        assert.isTrue(yield* isLetIn(port))
        yield* eventually("none is open", noneOpen(server))
        yield* eventually(
          "no socket and no timer is left",
          Effect.sync(() => held() <= heldBefore)
        )
        assert.deepStrictEqual(
          logs.filter(({ level }) => level !== "Info"),
          []
        )
      })
    )
  )

  const announced = (length: number) =>
    Buffer.concat([Buffer.of(22, 3, 1, length >> 8, length & 0xff, 1), Buffer.alloc(40)])
  const message = (length: number) => record(Buffer.concat([Buffer.of(1, 0), Buffer.of(length >> 8, length & 0xff)]))
  const cases: ReadonlyArray<readonly [string, Uint8Array, alert: number]> = [
    ["a record of change_cipher_spec", record(Buffer.of(1), 20), 10],
    ["an alert", record(Buffer.of(2, 40), 21), 10],
    ["application data", record(Buffer.alloc(30), 23), 10],
    ["a heartbeat", record(Buffer.from([1, 0xff, 0xff]), 24), 10],
    ["a record of a type that is none", record(Buffer.alloc(30), 99), 10],
    ["a record of SSL 2", Buffer.from([0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10]), 70],
    ["a record of a version that is none", record(Buffer.alloc(30), 22, 0x0400), 70],
    ["a record that is longer than any", announced(0x4001), 22],
    ["a record of all the length that can be said", announced(0xffff), 22],
    ["an empty record", record(Buffer.alloc(0)), 10],
    ["a message that is longer than any", record(Buffer.of(1, 0xff, 0xff, 0xff)), 47],
    ["a message of nothing", message(0), 50],
    ["another message than a ClientHello", record(Buffer.of(2, 0, 0, 1, 0)), 10],
    [
      "a hello in records of a byte without end",
      fragmented(Buffer.concat([Buffer.of(1, 0, 0x80, 0), Buffer.alloc(30_000)]), 1),
      47
    ],
    ["a hello without cipher suites", hello({ suites: Buffer.alloc(0) }), 50],
    ["a hello of extensions that overlap", hello({ extensions: [Buffer.of(0, 0, 0, 200, 0)] }), 50],
    ["a hello of TLS 1.0", hello({ version: 0x0301, extensions: null }), 70],
    // which knows no alert for that
    ["a hello of SSL 3", hello({ version: 0x0300, extensions: null }), 40],
    ["a hello of nothing that is known", hello({ suites: Buffer.of(0x0a, 0x0a), extensions: null }), 40],
    ["a hello of names upon names", hello({ extensions: [vector(2, Buffer.alloc(0))] }), 50]
  ]

  it.live.each(cases)("is answered with its alert: %s", ([, bytes, alert]) =>
    Effect.gen(function* () {
      const messages: Array<string> = []
      const { port } = yield* echoing({ onStatus: (_, message) => messages.push(message) })
      const answer = recordsOf(yield* answerTo(port, bytes, new Dice(3)))
      assert.deepStrictEqual(answer, { types: [21], alert }, messages.join("\n"))
      // OpenSSL, where it reads the hello itself, may have another alert for it, or none
      const other = yield* echoing()
      assert.include(["", "21"], recordsOf(yield* answerTo(other.port, bytes, new Dice(3))).types.join())
      assert.match(messages.join("\n"), new RegExp(`Alert sent: \\w+ \\(${alert}\\)\nHandshake failed: .`))
    })
  )
})

describe("TLS that comes to a port of ws", { timeout: 60_000 }, () => {
  it.live("is answered with 400 and the end", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo)
      const bytes = yield* Effect.promise(() => fromNode({}))
      assert.match((yield* answerTo(port, bytes, new Dice(4))).toString(), /^HTTP\/1\.1 400 /)
      const error = yield* Effect.flip(upgraded(port))
      assert.match(error.message, /wrong version number|packet length too long|EPROTO/)
    })
  )
})
