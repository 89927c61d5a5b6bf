/**
 * Groups 12 and 13: many compressed messages of every size, of several kinds of content (12) and with every
 * combination of the parameters of permessage-deflate (13). RFC 7692 section 7.
 */
import * as assert from "node:assert/strict"
import { type Case, family, type Group, member } from "../case.ts"
import { CORPORA, type Corpus, JSON_TEXT } from "../payload.ts"
import { BINARY, TEXT } from "../wire/frame.ts"
import { compressedMessages } from "./compressed-messages.ts"
import { negotiation } from "./negotiation.ts"

interface Plan {
  readonly size: number
  readonly count: number
  /** The compressed payload goes in fragments of this size. */
  readonly fragment?: number
  /** How many messages may be on their way at a time. */
  readonly inFlight: number
}

const full = process.env["CONFORMANCE_FULL"] === "1"

const count = (size: number): number => (full || size < 8192 ? 1000 : size < 65536 ? 100 : 50)

const countInFragments = (size: number): number => (full ? 1000 : size < 65536 ? 50 : 20)

const PLANS: ReadonlyArray<Plan> = [
  ...[16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072].map((size) => ({
    size,
    count: count(size),
    inFlight: 8
  })),
  ...[8192, 16384, 32768, 65536, 131072].map((size) => ({
    size,
    count: countInFragments(size),
    fragment: 256,
    inFlight: 1
  })),
  ...[1024, 4096, 32768].map((fragment) => ({ size: 131072, count: countInFragments(131072), fragment, inFlight: 1 }))
]

const title = (plan: Plan, name: string): string =>
  `${plan.count} messages of ${plan.size} octets of ${name}` +
  (plan.fragment === undefined ? "" : ` in fragments of ${plan.fragment}`)

const echoes =
  (offer: string, plan: Plan, corpus: Corpus): Case["run"] =>
  async (connect) => {
    const peer = await connect({ offer })
    assert.ok(peer.agreement !== undefined, `the server declines ${offer}`)
    const opcode = corpus.isText ? TEXT : BINARY
    const fragment = plan.fragment === undefined ? undefined : { fragment: plan.fragment }
    const expected: Array<Buffer> = []
    for (let sent = 0, received = 0; received < plan.count; received++) {
      for (; sent < plan.count && sent - received < plan.inFlight; sent++) {
        const message = corpus.message(sent, plan.size)
        expected.push(message)
        await peer.sendMessage(message, { opcode, compress: true, ...fragment })
      }
      await peer.expectMessage(opcode, expected.shift() ?? Buffer.alloc(0))
    }
    await peer.finish()
  }

const CONTENT_OFFER = "permessage-deflate; client_max_window_bits"

const OFFERS: ReadonlyArray<string> = [
  "permessage-deflate",
  "permessage-deflate; client_no_context_takeover",
  "permessage-deflate; server_no_context_takeover",
  "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
  "permessage-deflate; client_max_window_bits",
  "permessage-deflate; client_max_window_bits=9",
  "permessage-deflate; server_max_window_bits=9",
  "permessage-deflate; server_max_window_bits=15",
  "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9",
  "permessage-deflate; server_no_context_takeover; server_max_window_bits=9, " +
    "permessage-deflate; server_no_context_takeover, permessage-deflate",
  "permessage-deflate; unheard_of, permessage-deflate; client_no_context_takeover"
]

export const compressedContent: Group = {
  title: "12 permessage-deflate: content",
  cases: [
    ...CORPORA.flatMap((corpus, i) =>
      family(
        `12.${i + 1}`,
        "RFC 7692 section 7.2",
        PLANS.map((plan) => member(title(plan, corpus.title), echoes(CONTENT_OFFER, plan, corpus)))
      )
    ),
    ...compressedMessages
  ]
}

export const compressedParameters: Group = {
  title: "13 permessage-deflate: parameters",
  cases: [
    ...OFFERS.flatMap((offer, i) =>
      family(
        `13.${i + 1}`,
        "RFC 7692 section 7.1",
        PLANS.map((plan) => member(`${offer}: ${title(plan, JSON_TEXT.title)}`, echoes(offer, plan, JSON_TEXT)))
      )
    ),
    ...negotiation
  ]
}
