/**
 * Families 13.20 and on: which offers of permessage-deflate are accepted, which are declined (RFC 7692 sections 5 and
 * 7.1). An offer that cannot be accepted is declined: the connection opens without the extension.
 */
import * as assert from "node:assert/strict"
import { type Case, family, member } from "../case.ts"
import type { Peer } from "../client.ts"
import { ascii, noise } from "../payload.ts"
import { Decompressor } from "../wire/deflate.ts"
import { BINARY, TEXT, text } from "../wire/frame.ts"
import { encodeHead, newKey, plus, requestHead, values } from "../wire/http.ts"

const TEXT_4K = ascii(64).toString().repeat(64)

const echoes = async (peer: Peer, compress: boolean): Promise<void> => {
  for (const message of ["Hello", "Hello", TEXT_4K, "", TEXT_4K]) {
    await peer.sendMessage(message, { opcode: TEXT, compress })
    await peer.expectText(message)
  }
  await peer.finish()
}

const accepts =
  (offer: string | ReadonlyArray<string>): Case["run"] =>
  async (connect) => {
    const peer = await connect({ offer })
    assert.ok(peer.agreement !== undefined, "the server declines the offer")
    await echoes(peer, true)
  }

const declines =
  (offer: string): Case["run"] =>
  async (connect) => {
    const peer = await connect({ offer })
    assert.deepEqual(values(peer.response, "Sec-WebSocket-Extensions"), [])
    await echoes(peer, false)
  }

const bits = (from: number, to: number): Array<number> => Array.from({ length: to - from + 1 }, (_, i) => from + i)

const ACCEPTED: ReadonlyArray<string | ReadonlyArray<string>> = [
  "permessage-deflate",
  "permessage-deflate;client_no_context_takeover;server_no_context_takeover",
  "  permessage-deflate  ;  client_no_context_takeover  ;  server_no_context_takeover  ",
  ...bits(9, 15).map((value) => `permessage-deflate; server_max_window_bits=${value}`),
  ...bits(9, 15).map((value) => `permessage-deflate; client_max_window_bits=${value}`),
  'permessage-deflate; server_max_window_bits="10"',
  'permessage-deflate; client_max_window_bits="10"; server_max_window_bits=12',
  "permessage-deflate; client_max_window_bits; server_max_window_bits=10; client_no_context_takeover; " +
    "server_no_context_takeover",
  "permessage-deflate, permessage-deflate",
  "x-unheard-of, permessage-deflate",
  'x-unheard-of; a=1; b="two", permessage-deflate; client_max_window_bits, y-neither',
  "permessage-deflate; unheard_of, permessage-deflate",
  "permessage-deflate; unheard_of=1, permessage-deflate; server_max_window_bits=9",
  "permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=10",
  "permessage-deflate; server_max_window_bits, permessage-deflate; server_no_context_takeover",
  ["x-unheard-of", "permessage-deflate"],
  ["permessage-deflate; server_no_context_takeover", "permessage-deflate"]
]

const accepted = family(
  "13.20",
  "RFC 7692 section 7.1",
  ACCEPTED.map((offer) => {
    const title = typeof offer === "string" ? offer.trim() : offer.join(" (and in a second header) ")
    return member(`accepted: ${title}`, accepts(offer))
  })
)

const DECLINED: ReadonlyArray<string> = [
  "permessage-deflate; unheard_of",
  "permessage-deflate; unheard_of=1",
  "permessage-deflate; client_no_context_takeover; unheard_of",
  ...["", "=7", "=16", "=08", "=0", "=10.0", "=0x0a", "=1e1", "=abc", "=-10", "=010", '="08"', '="16"', "=100"].map(
    (value) => `permessage-deflate; server_max_window_bits${value}`
  ),
  ...["=7", "=16", "=08", "=0", "=10.0", "=abc", '="08"'].map(
    (value) => `permessage-deflate; client_max_window_bits${value}`
  ),
  "permessage-deflate; server_no_context_takeover=1",
  "permessage-deflate; server_no_context_takeover=true",
  "permessage-deflate; client_no_context_takeover=1",
  "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
  "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
  "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
  "permessage-deflate; server_max_window_bits=10; server_max_window_bits=11",
  "permessage-deflate; client_max_window_bits; client_max_window_bits",
  "permessage-deflate; client_max_window_bits=10; client_max_window_bits",
  "permessage-deflate; server_max_window_bits=16, permessage-deflate; unheard_of"
]

const OTHERS = ["x-webkit-deflate-frame", "permessage-bzip2", "permessage-deflate-x", "deflate", "permessage"]

const declined = family(
  "13.21",
  "RFC 7692 section 7.1",
  DECLINED.map((offer) => member(`declined: ${offer}`, declines(offer)))
)

const others = family(
  "13.25",
  "RFC 6455 section 9.1",
  OTHERS.map((offer) => member(`declined: the extension ${offer}`, declines(offer)))
)

/** What does not even have the form of the header; a quoted value has to be a token, too. */
const MALFORMED: ReadonlyArray<string> = [
  'permessage-deflate; server_max_window_bits=""',
  'permessage-deflate; x="two words"',
  'permessage-deflate; x="a, b"',
  'permessage-deflate; x="unterminated',
  'permessage-deflate; x="a" b',
  "permessage-deflate; =1",
  "permessage-deflate; x=",
  "permessage-deflate; x=1=2",
  "permessage-deflate; x y",
  "permessage-deflate;",
  "permessage-deflate;; x",
  "permessage deflate",
  "; x",
  "permessage-deflate/1"
]

const malformed = family(
  "13.24",
  "RFC 6455 section 9.1",
  MALFORMED.map((offer) =>
    member(`malformed, 400: ${offer}`, async (connect) => {
      const tcp = await connect.tcp()
      const head = requestHead(connect.host, connect.target, newKey())
      tcp.write([encodeHead(plus(head, "Sec-WebSocket-Extensions", offer))])
      const response = await tcp.response()
      assert.equal(response.status, 400, response.statusLine)
      assert.ok(response.body.toString().trim().length > 0, "the refusal says no reason")
    })
  )
)

/** Noise that repeats at a distance beyond the window: a server that keeps to the window cannot refer back to it. */
const keepsWindow =
  (windowBits: number, rest: string): Case["run"] =>
  async (connect) => {
    const peer = await connect({ offer: `permessage-deflate; server_max_window_bits=${windowBits}${rest}` })
    // A window of 256 octets is one that a server may be unable to keep to: it may decline.
    if (windowBits > 8) assert.ok(peer.agreement !== undefined, "the server declines the offer")
    if (peer.agreement !== undefined) {
      const { serverTakeover: takeover, serverWindow } = peer.agreement
      peer.decompressWith(new Decompressor({ windowBits: serverWindow, takeover, chunkSize: 64 }))
    }
    const once = noise(2 ** windowBits + 100, windowBits)
    for (const payload of [
      Buffer.concat([once, once]),
      once,
      Buffer.concat([once, once, once]),
      once.subarray(0, 64)
    ]) {
      await peer.sendMessage(payload, { opcode: BINARY, compress: peer.agreement !== undefined })
      await peer.expectBinary(payload)
    }
    await peer.finish()
  }

const windows = family("13.22", "RFC 7692 section 7.1.2", [
  ...bits(8, 14).flatMap((windowBits) => [
    member(`the server keeps to a window of ${2 ** windowBits} octets`, keepsWindow(windowBits, "")),
    member(
      `the server keeps to a window of ${2 ** windowBits} octets, without context takeover`,
      keepsWindow(windowBits, "; server_no_context_takeover")
    )
  ]),
  ...bits(8, 15).map((windowBits) =>
    member(`client_max_window_bits=${windowBits}: what the client compresses with it is read`, async (connect) => {
      const peer = await connect({ offer: `permessage-deflate; client_max_window_bits=${windowBits}` })
      const once = noise(2 ** windowBits - 300 > 0 ? 2 ** windowBits - 300 : 64, windowBits)
      for (const payload of [Buffer.concat([once, once]), once, noise(100_000)]) {
        await peer.sendMessage(payload, { opcode: BINARY, compress: peer.agreement !== undefined })
        await peer.expectBinary(payload)
      }
      await peer.finish()
    })
  )
])

const resets = family("13.23", "RFC 7692 section 7.1.1", [
  member("server_no_context_takeover: each of a hundred equal messages stands alone", async (connect) => {
    const peer = await connect({ offer: "permessage-deflate; server_no_context_takeover" })
    assert.equal(peer.agreement?.serverTakeover, false)
    for (let i = 0; i < 100; i++) {
      await peer.sendMessage(TEXT_4K, { opcode: TEXT, compress: true })
      await peer.expectText(TEXT_4K)
    }
    await peer.finish()
  }),
  member("client_no_context_takeover: each of a hundred messages of the client stands alone", async (connect) => {
    const peer = await connect({ offer: "permessage-deflate; client_no_context_takeover" })
    assert.ok(peer.agreement !== undefined, "the server declines the offer")
    for (let i = 0; i < 100; i++) {
      await peer.sendMessage(`${TEXT_4K}${i}`, { opcode: TEXT, compress: true })
      await peer.expectText(`${TEXT_4K}${i}`)
    }
    await peer.finish()
  }),
  member("RSV1 on a connection that opened without the extension", async (connect) => {
    const peer = await connect({ offer: "x-unheard-of" })
    peer.send(text("legal"), text(Buffer.from("f248cdc9c90700", "hex"), { rsv: 4 }))
    await peer.expectText("legal")
    await peer.expectFailure(1002)
  })
])

export const negotiation = [...accepted, ...declined, ...windows, ...resets, ...malformed, ...others]
