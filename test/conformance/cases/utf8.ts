/**
 * Group 6: the payload of a text message is UTF-8 (RFC 6455 sections 5.6 and 8.1). A message that is not fails the
 * connection with 1007, and does so at its first illegal octet, without waiting for what follows.
 */
import * as assert from "node:assert/strict"
import { isUtf8 } from "node:buffer"
import { type Case, family, type Group, member, type Member } from "../case.ts"
import type { Peer } from "../client.ts"
import { ascii, cutText, scripts } from "../payload.ts"
import { binary, continuation, fragments, ping, pieces, TEXT, text } from "../wire/frame.ts"
import { octets } from "./delivery.ts"
import { firstIllegal, INVALID, KOSME, type Sequence, VALID } from "./utf8-sequences.ts"

const RFC = "RFC 6455 section 8.1"

const SAMPLE = Buffer.concat([KOSME, Buffer.from(" — ")])
const EDITED = Buffer.from("edited")

/** The sequence comes back: whole, in two fragments at every split, octet by octet as fragments and on the wire. */
const accepted = (sequence: Sequence): Member =>
  member(sequence.title, async (connect) => {
    assert.ok(isUtf8(sequence.octets), "the case is wrong: this is no UTF-8")
    const peer = await connect()
    for (const content of [sequence.octets, Buffer.concat([SAMPLE, sequence.octets, EDITED])]) {
      peer.send(text(content))
      await peer.expectText(content)
      for (let at = 0; at <= content.length; at++) {
        peer.send(...fragments(TEXT, [content.subarray(0, at), content.subarray(at)]))
        await peer.expectText(content)
      }
      peer.send(...fragments(TEXT, pieces(content, 1)))
      await peer.expectText(content)
      await peer.sendApart(octets(text(content)))
      await peer.expectText(content)
    }
    await peer.finish()
  })

/** The sequence fails the connection, however it comes. */
const rejected = (sequence: Sequence): Member =>
  member(sequence.title, async (connect) => {
    assert.ok(!isUtf8(sequence.octets), "the case is wrong: this is UTF-8")
    const within = Buffer.concat([SAMPLE, sequence.octets, EDITED])
    const ways: ReadonlyArray<(peer: Peer) => Promise<void> | void> = [
      (peer) => peer.send(text(sequence.octets)),
      (peer) => peer.send(text(within)),
      (peer) => peer.send(text(Buffer.concat([SAMPLE, sequence.octets]))),
      (peer) => peer.send(...fragments(TEXT, pieces(within, 1))),
      (peer) => peer.send(...fragments(TEXT, [SAMPLE, sequence.octets, EDITED])),
      (peer) => peer.send(...fragments(TEXT, [SAMPLE, sequence.octets, ""])),
      (peer) => peer.sendApart(octets(text(within)))
    ]
    for (const send of ways) {
      const peer = await connect()
      await send(peer)
      await peer.expectFailure(1007)
    }
    const peer = await connect()
    peer.send(text("legal"), binary(sequence.octets), text(within), text("unheard"))
    await peer.expectText("legal")
    await peer.expectBinary(sequence.octets)
    await peer.expectFailure(1007)
  })

const prefixes = family(
  "6.3",
  RFC,
  Array.from({ length: KOSME.length }, (_, i) => {
    const sequence = { title: `the first ${i + 1} octets of kosme`, octets: KOSME.subarray(0, i + 1) }
    return isUtf8(sequence.octets) ? accepted(sequence) : rejected(sequence)
  })
)

const large = family("6.4", RFC, [
  ...[1000, 997, 1460, 4096].map((size) =>
    member(`64 KiB of many scripts in chops of ${size}`, async (connect) => {
      const peer = await connect()
      const content = scripts(65536)
      await peer.sendChopped(text(content), size)
      await peer.expectText(content)
      await peer.finish()
    })
  ),
  ...[1, 2, 3, 4, 5, 7, 1300].map((size) =>
    member(`16 KiB of many scripts in fragments of ${size}`, async (connect) => {
      const peer = await connect()
      const content = scripts(16384)
      peer.sendAll(fragments(TEXT, pieces(content, size)))
      await peer.expectText(content)
      await peer.finish()
    })
  ),
  ...["é", "€", "😀"].flatMap((character) =>
    Array.from({ length: Buffer.byteLength(character) }, (_, shift) =>
      member(`200 KiB of "${character}", shifted by ${shift}`, async (connect) => {
        const peer = await connect()
        const content = Buffer.concat([ascii(shift), cutText(Buffer.from(character), 0, 204800)])
        peer.send(text(content))
        await peer.expectText(content)
        await peer.finish()
      })
    )
  ),
  ...[0, 1, 65534, 65535, 65536, 131072, 199_999].map((at) =>
    member(`an illegal octet at ${at} of 200000`, async (connect) => {
      const peer = await connect()
      const content = ascii(200_000)
      content[at] = 0xff
      peer.send(text(content))
      await peer.expectFailure(1007)
    })
  ),
  member("a character cut by two fragments with a Ping between them", async (connect) => {
    const peer = await connect()
    peer.send(text(Buffer.of(0xf0, 0x9f), { fin: false }), ping("€"), continuation(Buffer.of(0x98, 0x80)))
    await peer.expectPong("€")
    await peer.expectText("😀")
    await peer.finish()
  }),
  member("a character begun in one message is not ended by the next", async (connect) => {
    const peer = await connect()
    peer.send(text("legal"), text(Buffer.of(0xf0, 0x9f)), text(Buffer.of(0x98, 0x80)))
    await peer.expectText("legal")
    await peer.expectFailure(1007)
  }),
  member("a binary message may be anything", async (connect) => {
    const peer = await connect()
    for (const [, members] of INVALID) {
      for (const { octets: payload } of members) {
        peer.send(binary(payload))
        await peer.expectBinary(payload)
      }
    }
    await peer.finish()
  })
])

const FAST: ReadonlyArray<string> = [
  "80",
  "c3a9a9",
  "c0",
  "c1bf",
  "c320",
  "c3c3",
  "e080",
  "e220",
  "e28220",
  "e282e2",
  "eda080",
  "edb080",
  "f080",
  "f0a020",
  "f09f9820",
  "f4908080",
  "f5",
  "f8",
  "fc",
  "fe",
  "ff"
]

/** Sends a message up to its first illegal octet; gives what would end it, which is sent only where that is tolerated. */
interface Way {
  readonly title: string
  readonly begin: (peer: Peer, legal: Buffer, illegal: Buffer) => Promise<Buffer>
}

/** A frame that announces more than its first part holds. */
const unfinished = (known: Buffer): { readonly sent: Buffer; readonly rest: Buffer } => {
  const frame = text(Buffer.concat([known, EDITED]))
  const at = frame.length - EDITED.length
  return { sent: frame.subarray(0, at), rest: frame.subarray(at) }
}

const WAYS: ReadonlyArray<Way> = [
  {
    title: "in a fragment",
    begin: async (peer, legal, illegal) => {
      peer.send(text(legal, { fin: false }), ping("so far"))
      await peer.expectPong("so far")
      peer.send(continuation(illegal, { fin: false }))
      return continuation(EDITED)
    }
  },
  {
    title: "within a frame",
    begin: async (peer, legal, illegal) => {
      const { rest, sent } = unfinished(Buffer.concat([legal, illegal]))
      peer.send(sent)
      return rest
    }
  },
  {
    title: "within a frame, octet by octet",
    begin: async (peer, legal, illegal) => {
      const { rest, sent } = unfinished(Buffer.concat([legal, illegal]))
      await peer.sendApart(octets(sent))
      return rest
    }
  }
]

const atOnce = (way: Way, octetsInHex: string): Member => {
  const sequence = Buffer.from(octetsInHex, "hex")
  const at = firstIllegal(sequence)
  const legal = Buffer.concat([SAMPLE, sequence.subarray(0, at)])
  const illegal = sequence.subarray(at, at + 1)
  const run =
    (whole: boolean): Case["run"] =>
    async (connect) => {
      assert.ok(illegal.length === 1, "the case is wrong: nothing in it is illegal")
      const peer = await connect()
      const rest = await way.begin(peer, legal, illegal)
      if (whole) peer.send(rest)
      await peer.expectFailure(1007)
    }
  return member(`${octetsInHex} fails at octet ${at + 1}, ${way.title}`, run(false), { tolerated: run(true) })
}

export const utf8: Group = {
  title: "6 UTF-8",
  cases: [
    ...VALID.flatMap(([, members], i) => family(`6.1.${i + 1}`, RFC, members.map(accepted))),
    ...INVALID.flatMap(([, members], i) => family(`6.2.${i + 1}`, RFC, members.map(rejected))),
    ...prefixes,
    ...large,
    ...WAYS.flatMap((way, i) =>
      family(
        `6.5.${i + 1}`,
        RFC,
        FAST.map((sequence) => atOnce(way, sequence))
      )
    )
  ]
}
