/**
 * Families 12.6 and on: compressed messages octet by octet (RFC 7692 sections 6, 7.2 and 8), legal ones and illegal
 * ones.
 */
import * as assert from "node:assert/strict"
import * as zlib from "node:zlib"
import { type Case, type Connect, family, member } from "../case.ts"
import type { Peer } from "../client.ts"
import { ascii, noise } from "../payload.ts"
import {
  BINARY,
  binary,
  close,
  continuation,
  encodeFrame,
  type FrameSpec,
  fragments,
  pieces,
  ping,
  pong,
  TEXT,
  text
} from "../wire/frame.ts"
import { octets } from "./delivery.ts"
import { INVALID } from "./utf8-sequences.ts"

const OFFERS = ["permessage-deflate", "permessage-deflate; client_no_context_takeover; server_no_context_takeover"]

const RSV1: Partial<FrameSpec> = { rsv: 4 }

const hex = (source: string): Buffer => Buffer.from(source.replaceAll(" ", ""), "hex")

const opened = async (connect: Connect, offer: string): Promise<Peer> => {
  const peer = await connect({ offer })
  assert.ok(peer.agreement !== undefined, `the server declines ${offer}`)
  return peer
}

/** The payload of one compressed message that stands alone. */
const deflated = (content: Uint8Array | string): Buffer =>
  zlib.deflateRawSync(content, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -4)

/** The same test with context takeover and without. */
const both = (title: string, run: (peer: Peer) => Promise<void>, rfc = "RFC 7692 section 7.2") =>
  OFFERS.map((offer, i) =>
    member(
      `${title}, ${i === 0 ? "with" : "without"} context takeover`,
      async (connect) => run(await opened(connect, offer)),
      { rfc }
    )
  )

const echoed = (title: string, frames: () => ReadonlyArray<Uint8Array>, answers: ReadonlyArray<string>, rfc?: string) =>
  both(
    title,
    async (peer) => {
      peer.sendAll(frames())
      for (const answer of answers) await peer.expectText(answer)
      await peer.finish()
    },
    rfc
  )

const HELLO = hex("f2 48 cd c9 c9 07 00")
const FINAL = hex("f3 48 cd c9 c9 07 00 00")
const STORED = hex("00 05 00 fa ff 48 65 6c 6c 6f 00")
const TWO_BLOCKS = hex("f2 48 05 00 00 00 ff ff ca c9 c9 07 00")
const EMPTY = hex("00")
const EMPTY_FIXED = hex("02 00")

const golden = family("12.6", "RFC 7692 section 7.2.3", [
  ...echoed("the sample message", () => [text(HELLO, RSV1)], ["Hello"], "RFC 7692 section 7.2.3.1"),
  ...echoed(
    "the sample message in two fragments",
    () => fragments(TEXT, [HELLO.subarray(0, 3), HELLO.subarray(3)], RSV1),
    ["Hello"],
    "RFC 7692 section 7.2.3.1"
  ),
  member(
    "the second sample message refers back to the first",
    async (connect) => {
      const peer = await opened(connect, "permessage-deflate")
      // A server may ask the client to do without takeover; then there is nothing to refer to.
      const second = peer.agreement?.clientTakeover === true ? hex("f2 00 11 00 00") : HELLO
      peer.send(text(HELLO, RSV1), text(second, RSV1), text(second, RSV1))
      for (let i = 0; i < 3; i++) await peer.expectText("Hello")
      await peer.finish()
    },
    { rfc: "RFC 7692 section 7.2.3.2" }
  ),
  ...echoed("a stored block", () => [text(STORED, RSV1)], ["Hello"], "RFC 7692 section 7.2.3.3"),
  ...echoed("a block with BFINAL", () => [text(FINAL, RSV1)], ["Hello"], "RFC 7692 section 7.2.3.4"),
  ...echoed("two blocks in one message", () => [text(TWO_BLOCKS, RSV1)], ["Hello"], "RFC 7692 section 7.2.3.5"),
  ...echoed("an empty message, a stored block", () => [text(EMPTY, RSV1)], [""], "RFC 7692 section 7.2.3.6"),
  ...echoed("an empty message, a fixed block", () => [text(EMPTY_FIXED, RSV1)], [""], "RFC 7692 section 7.2.3.6"),
  ...echoed(
    "messages behind one with BFINAL",
    () => [FINAL, HELLO, FINAL, FINAL, STORED, EMPTY, HELLO].map((payload) => text(payload, RSV1)),
    ["Hello", "Hello", "Hello", "Hello", "Hello", "", "Hello"],
    "RFC 7692 section 7.2.3.4"
  ),
  ...echoed(
    "all the samples in one write",
    () => [HELLO, STORED, TWO_BLOCKS, EMPTY, HELLO, EMPTY_FIXED].map((payload) => text(payload, RSV1)),
    ["Hello", "Hello", "Hello", "", "Hello", ""]
  )
])

const ALPHABET = ascii(2000, 9).toString()

const legal = family("12.7", "RFC 7692 section 6", [
  ...both("a message that is not compressed", async (peer) => {
    for (let i = 0; i < 20; i++) {
      await peer.sendMessage(`${ALPHABET}${i}`, { opcode: TEXT, compress: i % 3 !== 1 })
      await peer.expectText(`${ALPHABET}${i}`)
    }
    await peer.finish()
  }),
  ...[1, 2, 3, 125, 126].flatMap((size) =>
    both(`fragments of ${size} octets, RSV1 in the first only`, async (peer) => {
      for (let i = 0; i < 3; i++) {
        await peer.sendMessage(ALPHABET, { opcode: TEXT, compress: true, fragment: size })
        await peer.expectText(ALPHABET)
      }
      await peer.finish()
    })
  ),
  ...echoed(
    "empty fragments before, between and behind",
    () => fragments(TEXT, ["", HELLO.subarray(0, 3), "", "", HELLO.subarray(3), ""], RSV1),
    ["Hello"]
  ),
  ...both("Pings between the fragments are not compressed", async (peer) => {
    const [first = HELLO, ...rest] = fragments(TEXT, pieces(HELLO, 1), RSV1)
    peer.send(first, ...rest.flatMap((fragment, i) => [ping(`${i}`), fragment]))
    for (let i = 0; i < rest.length; i++) await peer.expectPong(`${i}`)
    await peer.expectText("Hello")
    await peer.finish()
  }),
  ...both("octet by octet", async (peer) => {
    await peer.sendApart(octets(Buffer.concat([text(HELLO, RSV1), binary(deflated(ALPHABET), RSV1)])))
    await peer.expectText("Hello")
    await peer.expectBinary(ALPHABET)
    await peer.finish()
  }),
  ...both("what does not compress", async (peer) => {
    for (const size of [1, 100, 10_000, 100_000]) {
      await peer.sendMessage(noise(size), { opcode: BINARY, compress: true })
      await peer.expectBinary(noise(size))
    }
    await peer.finish()
  }),
  ...both("16 MiB of one octet", async (peer) => {
    const payload = Buffer.alloc(16 * 1024 * 1024, "a")
    await peer.sendMessage(payload, { opcode: TEXT, compress: true })
    await peer.expectText(payload)
    await peer.finish()
  }),
  ...both("a thousand messages in one write, then the Close", async (peer) => {
    const payload = deflated(ALPHABET)
    peer.sendAll([...Array.from({ length: 1000 }, () => text(payload, RSV1)), close(1000)])
    for (let i = 0; i < 1000; i++) await peer.expectText(ALPHABET)
    await peer.expectClose(1000)
    await peer.expectEnd()
  }),
  ...both("messages of all sizes up to 300 octets", async (peer) => {
    for (let size = 0; size <= 300; size++) {
      await peer.sendMessage(ALPHABET.slice(size, 2 * size), { opcode: TEXT, compress: true })
      await peer.expectText(ALPHABET.slice(size, 2 * size))
    }
    await peer.finish()
  })
])

/** A compressed message is echoed; these frames then fail the connection. */
const fails = (title: string, frames: () => ReadonlyArray<Uint8Array>, ...codes: ReadonlyArray<number>) =>
  both(
    title,
    async (peer) => {
      peer.send(text(HELLO, RSV1), ...frames(), text("unheard"))
      await peer.expectText("Hello")
      await peer.expectFailure(...codes)
    },
    "RFC 7692 section 6"
  )

const illegalBits = family("12.8", "RFC 7692 section 6", [
  ...fails("RSV1 in the last fragment too", () => [...compressedFragments({}, { rsv: 4 })], 1002),
  ...fails("RSV1 in a fragment in the middle too", () => [...compressedFragments({ rsv: 4 }, {})], 1002),
  ...fails("RSV1 in a continuation only", () => [text("frag", { fin: false }), continuation("ment", RSV1)], 1002),
  ...fails("RSV1 in a Ping", () => [ping(deflated("ping"), RSV1)], 1002),
  ...fails("RSV1 in a Pong", () => [pong(deflated("pong"), RSV1)], 1002),
  ...fails("RSV1 in a Close", () => [close(1000, "", RSV1)], 1002),
  ...fails(
    "RSV1 in a Ping within a compressed message",
    () => [text(HELLO.subarray(0, 3), { ...RSV1, fin: false }), ping("p", RSV1)],
    1002
  ),
  ...[1, 2, 3, 5, 6, 7].flatMap((rsv) => fails(`RSV ${rsv} in a message`, () => [text(HELLO, { rsv })], 1002)),
  ...fails("a reserved opcode with RSV1", () => [encodeFrame({ opcode: 3, payload: HELLO, ...RSV1 })], 1002),
  ...fails("a continuation with RSV1 and nothing to continue", () => [continuation(HELLO, RSV1)], 1002),
  ...fails("an unmasked compressed message", () => [text(HELLO, { ...RSV1, mask: false })], 1002)
])

const compressedFragments = (middle: Partial<FrameSpec>, last: Partial<FrameSpec>): Array<Buffer> => [
  text(HELLO.subarray(0, 2), { ...RSV1, fin: false }),
  continuation(HELLO.subarray(2, 4), { ...middle, fin: false }),
  continuation(HELLO.subarray(4), last)
]

const GARBAGE: ReadonlyArray<readonly [title: string, payload: Buffer]> = [
  ["a block of the reserved type", hex("07 00")],
  ["a block of the reserved type with BFINAL", hex("07 ff ff")],
  ["a stored block whose length contradicts itself", hex("00 05 00 05 00 48 65 6c 6c 6f 00")],
  ["a distance beyond everything that was sent", hex("02 7e 3f 7e 3f 00")],
  ["text that was not compressed", Buffer.from("this was not compressed at all, and says so")],
  ["noise", Buffer.concat([Buffer.of(0x06), noise(200)])],
  ["a dynamic block with too many codes", hex("fc ff ff ff ff ff ff")]
]

const garbage = family(
  "12.9",
  "RFC 7692 section 7.2.2",
  GARBAGE.flatMap(([title, payload]) => [
    ...fails(title, () => [binary(payload, RSV1)], 1007, 1002, 1011, 1003),
    ...fails(`${title}, in fragments`, () => fragments(TEXT, pieces(payload, 1), RSV1), 1007, 1002, 1011, 1003)
  ])
)

const REPRESENTATIVES = INVALID.flatMap(([, members]) => members.slice(0, 2))

const badText = family("12.10", "RFC 6455 section 8.1", [
  ...REPRESENTATIVES.flatMap(({ octets: sequence, title }) => [
    ...fails(`compressed text that is not UTF-8, ${title}`, () => [text(deflated(sequence), RSV1)], 1007)
  ]),
  ...fails(
    "compressed text that is not UTF-8, in fragments",
    () => fragments(TEXT, pieces(deflated(hex("cebae1bdb9cf83cebcceb5eda080656469746564")), 3), RSV1),
    1007
  ),
  ...both("compressed octets that are not UTF-8 in a binary message", async (peer) => {
    for (const { octets: sequence } of REPRESENTATIVES) {
      await peer.sendMessage(sequence, { opcode: BINARY, compress: true })
      await peer.expectBinary(sequence)
    }
    await peer.finish()
  }),
  ...both("compressed text whose characters are cut by its fragments", async (peer) => {
    const content = "κόσμε€😀".repeat(50)
    for (const size of [1, 2, 3]) {
      await peer.sendMessage(content, { opcode: TEXT, compress: true, fragment: size })
      await peer.expectText(content)
    }
    await peer.finish()
  })
])

export const compressedMessages: ReadonlyArray<Case> = [...golden, ...legal, ...illegalBits, ...garbage, ...badText]
