/**
 * Group 7: the closing handshake (RFC 6455 sections 5.5.1 and 7). The server ends the TCP connection, not the client.
 */
import * as assert from "node:assert/strict"
import { type Case, family, type Group, member } from "../case.ts"
import { ascii } from "../payload.ts"
import { close, CLOSE, closePayload, continuation, encodeFrame, ping, pong, text } from "../wire/frame.ts"
import { deliver, DELIVERIES, type Delivery } from "./delivery.ts"

/** Sends these frames, the last of them a Close with `code`; expects the echoes, the Close and the end. */
const closes =
  (
    frames: () => ReadonlyArray<Uint8Array>,
    code: number,
    echoed: ReadonlyArray<Uint8Array | string> = [],
    delivery: Delivery = "in one write"
  ): Case["run"] =>
  async (connect) => {
    const peer = await connect()
    await deliver(peer, delivery, frames())
    for (const message of echoed) await peer.expectText(message)
    await peer.expectClose(code)
    await peer.expectEnd()
  }

const fails =
  (frame: () => Uint8Array, code: number): Case["run"] =>
  async (connect) => {
    const peer = await connect()
    peer.send(text("legal"), frame())
    await peer.expectText("legal")
    await peer.expectFailure(code)
  }

const emptyClose = (): Buffer => encodeFrame({ opcode: CLOSE })

const LARGE = ascii(262_144)

const orderly = family("7.1", "RFC 6455 section 7.1", [
  ...DELIVERIES.flatMap((delivery) => [
    member(
      `a message, then a Close, ${delivery}`,
      closes(() => [text("hello"), close(1000)], 1000, ["hello"], delivery)
    ),
    member(
      `two Closes, ${delivery}, get one`,
      closes(() => [close(1000), close(1000)], 1000, [], delivery)
    ),
    member(
      `two Closes with different codes, ${delivery}, get the first`,
      closes(() => [close(1001), close(3000)], 1001, [], delivery)
    ),
    member(
      `a Ping behind the Close, ${delivery}, gets no Pong`,
      closes(() => [close(1000), ping("late")], 1000, [], delivery)
    ),
    member(
      `a message behind the Close, ${delivery}, is not echoed`,
      closes(() => [close(1000), text("late")], 1000, [], delivery)
    ),
    member(
      `an illegal frame behind the Close, ${delivery}, changes nothing`,
      closes(() => [close(1000), text("late", { rsv: 7 })], 1000, [], delivery)
    ),
    member(
      `a Close between the fragments of a message, ${delivery}`,
      closes(() => [text("frag", { fin: false }), close(1000), continuation("ment")], 1000, [], delivery)
    ),
    member(`a message, a Ping, a Close and a Ping, ${delivery}`, async (connect) => {
      const peer = await connect()
      await deliver(peer, delivery, [ping("first"), text("hello"), close(1000), ping("late")])
      await peer.expectPong("first")
      await peer.expectText("hello")
      await peer.expectClose(1000)
      await peer.expectEnd()
    })
  ]),
  member("the Close octet by octet within a fragmented message", async (connect) => {
    const peer = await connect()
    peer.send(text("frag", { fin: false }))
    await deliver(peer, "octet by octet", [close(1000, "enough")])
    await peer.expectClose(1000)
    await peer.expectEnd()
  }),
  member(
    "256 KiB, then a Close: all of it is echoed before the Close",
    closes(() => [text(LARGE), close(1000)], 1000, [LARGE])
  ),
  member(
    "256 KiB, a small message, a Close and a Ping",
    closes(() => [text(LARGE), text("small"), close(1000), ping("late")], 1000, [LARGE, "small"])
  ),
  member(
    "a thousand messages, then a Close: all of them are echoed before the Close",
    closes(
      () => [...Array.from({ length: 1000 }, (_, i) => text(`message ${i}`)), close(1000)],
      1000,
      Array.from({ length: 1000 }, (_, i) => `message ${i}`)
    )
  ),
  member(
    "garbage behind the Close changes nothing",
    closes(() => [close(1000), Buffer.alloc(64, 0xff)], 1000)
  ),
  member(
    "a Pong behind the Close changes nothing",
    closes(() => [close(1000), pong("late")], 1000)
  ),
  member("the Close at once after the handshake", async (connect) => {
    const peer = await connect()
    await peer.finish()
  }),
  member("a Close and the client's FIN together", async (connect) => {
    const peer = await connect()
    peer.send(text("hello"), close(1000))
    peer.tcp.end()
    await peer.expectText("hello")
    await peer.expectClose(1000)
    await peer.expectEnd()
  }),
  member("the client's FIN without a Close: the server ends the connection too", async (connect) => {
    const peer = await connect()
    peer.send(text("hello"))
    await peer.expectText("hello")
    peer.tcp.end()
    await peer.tcp.ended()
  }),
  member("the client's FIN within a frame: the server ends the connection too", async (connect) => {
    const peer = await connect()
    peer.send(text("hello").subarray(0, 8))
    peer.tcp.end()
    await peer.tcp.ended()
  }),
  member("a client that is gone does not hurt the next one", async (connect) => {
    const gone = await connect()
    gone.send(text(LARGE))
    gone.tcp.destroy()
    const peer = await connect()
    peer.send(text("hello"))
    await peer.expectText("hello")
    await peer.finish()
  })
])

const reason = (title: string, content: Buffer | string) =>
  member(title, async (connect) => {
    const peer = await connect()
    peer.send(close(1000, content))
    const answer = await peer.expectClose(1000)
    assert.ok(["", content.toString()].includes(answer.reason), `the reason is neither ours nor none: ${answer.reason}`)
    await peer.expectEnd()
  })

const payloads = family("7.2", "RFC 6455 section 5.5.1", [
  member("a Close without payload", async (connect) => {
    const peer = await connect()
    peer.send(emptyClose())
    await peer.expectClose(undefined, 1000)
    await peer.expectEnd()
  }),
  member("a Close without payload, octet by octet", async (connect) => {
    const peer = await connect()
    await deliver(peer, "octet by octet", [emptyClose()])
    await peer.expectClose(undefined, 1000)
    await peer.expectEnd()
  }),
  ...[0x00, 0x03, 0xff].map((octet) =>
    member(
      `a Close with a payload of one octet, ${octet}: 1002`,
      fails(() => encodeFrame({ opcode: CLOSE, payload: Buffer.of(octet) }), 1002)
    )
  ),
  reason("a Close with a code and no reason", ""),
  reason("a Close with a code and a reason", "Hello World!"),
  reason("a Close with a reason of 122 octets", "*".repeat(122)),
  reason("a Close with a reason of 123 octets", "*".repeat(123)),
  reason("a Close with a reason of 123 octets of many scripts", `${"€😀é".repeat(13)}€abc`),
  ...[124, 125, 1000].map((size) =>
    member(
      `a Close with a reason of ${size} octets: 1002`,
      fails(() => close(1000, "*".repeat(size)), 1002)
    )
  ),
  member("a Close with a reason of 123 octets, octet by octet", async (connect) => {
    const peer = await connect()
    await deliver(peer, "octet by octet", [close(1000, "*".repeat(123))])
    await peer.expectClose(1000)
    await peer.expectEnd()
  })
])

const BAD_REASONS = [
  "80",
  "c0af",
  "e282",
  "eda080",
  "f4908080",
  "f8808080",
  "ff",
  "cebae1bdb9cf83cebcceb5eda080656469746564"
]

const badReasons = family(
  "7.3",
  "RFC 6455 section 8.1",
  BAD_REASONS.map((octets) =>
    member(
      `a reason that is no UTF-8, ${octets}: 1007`,
      fails(() => close(1000, Buffer.from(octets, "hex")), 1007)
    )
  )
)

const VALID_CODES = [
  1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3999, 4000, 4001, 4999
]
const INVALID_CODES = [
  0, 1, 125, 126, 255, 256, 999, 1004, 1005, 1006, 1015, 1016, 1099, 1100, 1999, 2000, 2999, 5000, 32768, 65535
]

const codes = [
  ...family(
    "7.4",
    "RFC 6455 section 7.4",
    VALID_CODES.flatMap((code) => [
      member(
        `the code ${code} is echoed`,
        closes(() => [close(code)], code)
      ),
      member(
        `the code ${code} with a reason is echoed`,
        closes(() => [close(code, "the reason")], code)
      )
    ])
  ),
  ...family(
    "7.5",
    "RFC 6455 section 7.4",
    INVALID_CODES.flatMap((code) => [
      member(
        `the code ${code} fails the connection`,
        fails(() => close(code), 1002)
      ),
      member(
        `the code ${code} with a reason fails the connection`,
        fails(() => encodeFrame({ opcode: CLOSE, payload: closePayload(code, "the reason") }), 1002)
      )
    ])
  )
]

export const closing: Group = {
  title: "7 closing handshake",
  cases: [...orderly, ...payloads, ...badReasons, ...codes]
}
