/**
 * Group 8: a client masks every frame, with any key, and writes every length in its shortest form (RFC 6455 sections
 * 5.1, 5.2 and 5.3).
 */
import { type Case, family, type Group, member } from "../case.ts"
import { noise } from "../payload.ts"
import {
  BINARY,
  binary,
  CLOSE,
  close,
  continuation,
  encodeFrame,
  type FrameSpec,
  PING,
  ping,
  pong,
  TEXT,
  text
} from "../wire/frame.ts"
import { octets } from "./delivery.ts"

/** The first message is echoed, the frame behind it fails the connection, what follows is not heard. */
const fails =
  (frame: () => Uint8Array, ...codes: ReadonlyArray<number>): Case["run"] =>
  async (connect) => {
    const peer = await connect()
    peer.send(text("legal"), frame(), text("unheard"))
    await peer.expectText("legal")
    await peer.expectFailure(...codes)
  }

const UNMASKED = [0, 1, 125, 126, 65535, 65536]

const unmasked = family("8.1", "RFC 6455 section 5.1", [
  ...UNMASKED.map((size) =>
    member(
      `an unmasked text of ${size} octets`,
      fails(() => text("x".repeat(size), { mask: false }), 1002)
    )
  ),
  member(
    "an unmasked binary message",
    fails(() => binary("x", { mask: false }), 1002)
  ),
  member(
    "an unmasked Ping",
    fails(() => ping("x", { mask: false }), 1002)
  ),
  member(
    "an unmasked Pong",
    fails(() => pong("x", { mask: false }), 1002)
  ),
  member(
    "an unmasked Close",
    fails(() => close(1000, "", { mask: false }), 1002)
  ),
  member(
    "an unmasked Close without payload",
    fails(() => encodeFrame({ opcode: CLOSE, mask: false }), 1002)
  ),
  member("an unmasked continuation of a masked message", async (connect) => {
    const peer = await connect()
    peer.send(text("frag", { fin: false }), continuation("ment", { mask: false }))
    await peer.expectFailure(1002)
  }),
  member("the two octets that announce an unmasked frame are enough", async (connect) => {
    const peer = await connect()
    peer.send(text("never sent", { mask: false }).subarray(0, 2))
    await peer.expectFailure(1002)
  }),
  member("an unmasked message, octet by octet", async (connect) => {
    const peer = await connect()
    await peer.sendApart(octets(text("unmasked", { mask: false })))
    await peer.expectFailure(1002)
  })
])

const KEYS = [
  [0, 0, 0, 0],
  [0xff, 0xff, 0xff, 0xff],
  [0, 0, 0, 1],
  [0x80, 0, 0, 0],
  [0x37, 0xfa, 0x21, 0x3d],
  [0x81, 0x85, 0x0a, 0x0d]
] as const

const keys = family("8.2", "RFC 6455 section 5.3", [
  ...KEYS.map((mask) =>
    member(`the masking key ${Buffer.from(mask).toString("hex")}`, async (connect) => {
      const peer = await connect()
      for (const size of [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 125, 126, 1000]) {
        peer.send(binary(noise(size, size + 1), { mask }))
        await peer.expectBinary(noise(size, size + 1))
      }
      peer.send(close(1000, "", { mask }))
      await peer.expectClose(1000)
      await peer.expectEnd()
    })
  ),
  member("the masked sample of RFC 6455 section 5.7", async (connect) => {
    const peer = await connect()
    peer.send(Buffer.from("818537fa213d7f9f4d5158", "hex"))
    await peer.expectText("Hello")
    await peer.finish()
  }),
  ...[1, 2, 3, 5, 6, 7].map((size) =>
    member(`the key's phase is kept over chops of ${size}`, async (connect) => {
      const peer = await connect()
      const content = noise(1001, size)
      await peer.sendChopped(binary(content), size)
      await peer.expectBinary(content)
      await peer.finish()
    })
  ),
  member("messages of 0 to 300 octets, all in one write", async (connect) => {
    const peer = await connect()
    const sizes = Array.from({ length: 301 }, (_, i) => i)
    peer.send(...sizes.map((size) => binary(noise(size, size + 1))))
    for (const size of sizes) await peer.expectBinary(noise(size, size + 1))
    await peer.finish()
  })
])

const KINDS = [
  { name: "text", opcode: TEXT },
  { name: "binary", opcode: BINARY },
  { name: "Ping", opcode: PING },
  { name: "Close", opcode: CLOSE }
] as const

const overlong = (name: string, spec: FrameSpec, size: number, lengthBits: 16 | 64): ReturnType<typeof member> =>
  member(
    `${name}: a length of ${size} in ${lengthBits} bits`,
    fails(() => encodeFrame({ ...spec, lengthBits }), 1002)
  )

const minimal = family("8.3", "RFC 6455 section 5.2", [
  ...KINDS.flatMap(({ name, opcode }) =>
    [2, 125].flatMap((size) =>
      ([16, 64] as const).map((bits) => {
        const payload = opcode === CLOSE ? Buffer.alloc(size, "\x03\xe8", "latin1") : "x".repeat(size)
        return overlong(name, { opcode, payload }, size, bits)
      })
    )
  ),
  ...[0, 1, 124].flatMap((size) =>
    ([16, 64] as const).map((bits) => overlong("text", { opcode: TEXT, payload: "x".repeat(size) }, size, bits))
  ),
  ...[126, 127, 1000, 65535].map((size) => overlong("text", { opcode: TEXT, payload: "x".repeat(size) }, size, 64))
])

/** Only the header of a frame goes out; what it announces is enough. */
const announces =
  (announced: bigint, ...codes: ReadonlyArray<number>): Case["run"] =>
  async (connect) => {
    const peer = await connect()
    peer.send(text("legal"), text("some octets", { announced, lengthBits: 64 }))
    await peer.expectText("legal")
    await peer.expectFailure(...codes)
  }

const huge = family("8.4", "RFC 6455 section 5.2", [
  member("a length of 2^63: its first bit must be 0", announces(2n ** 63n, 1002)),
  member("a length of 2^63 + 5", announces(2n ** 63n + 5n, 1002)),
  member("a length of 2^64 - 1", announces(2n ** 64n - 1n, 1002)),
  member("a length of 2^63 - 1 is too big", announces(2n ** 63n - 1n, 1009, 1002)),
  member("a length of 2^53 + 1 is too big", announces(2n ** 53n + 1n, 1009, 1002)),
  member("a length of 2^53 is too big", announces(2n ** 53n, 1009, 1002)),
  member("a length of 2^48 is too big", announces(2n ** 48n, 1009, 1002))
])

export const masking: Group = {
  title: "8 masking and lengths",
  cases: [...unmasked, ...keys, ...minimal, ...huge]
}
