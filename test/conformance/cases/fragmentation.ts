/**
 * Group 5: fragments (RFC 6455 section 5.4).
 */
import { type Case, family, type Group, member, type Member } from "../case.ts"
import type { Peer } from "../client.ts"
import { noise } from "../payload.ts"
import { BINARY, binary, close, continuation, fragments, pieces, ping, pong, TEXT, text } from "../wire/frame.ts"
import { deliver, DELIVERIES, octets } from "./delivery.ts"

type Frames = () => ReadonlyArray<Uint8Array>

const everyWay = (title: string, frames: Frames, answers: (peer: Peer) => Promise<void>): Array<Member> =>
  DELIVERIES.map((delivery) =>
    member(`${title}, ${delivery}`, async (connect) => {
      const peer = await connect()
      await deliver(peer, delivery, frames())
      await answers(peer)
    })
  )

const fails = (title: string, frames: Frames, echoed: ReadonlyArray<string> = []): Array<Member> =>
  everyWay(title, frames, async (peer) => {
    for (const message of echoed) await peer.expectText(message)
    await peer.expectFailure(1002)
  })

const control = family("5.1", "RFC 6455 section 5.5", [
  ...fails("a fragmented Ping", () => [ping("frag", { fin: false }), continuation("ment")]),
  ...fails("a fragmented Pong", () => [pong("frag", { fin: false }), continuation("ment")]),
  ...fails("a fragmented Close", () => [close(1000, "frag", { fin: false }), continuation("ment")]),
  ...fails("an empty Ping without FIN", () => [ping("", { fin: false })]),
  ...fails("a Ping without FIN within a message", () => [text("a", { fin: false }), ping("p", { fin: false })])
])

const SPLIT = Buffer.from("Hello-µ@ßöäüàá-UTF-8!!")

/** Each way of cutting the text in two, one message after the other. */
const splits = (send: (peer: Peer, frames: ReadonlyArray<Buffer>) => Promise<void>): Case["run"] => {
  return async (connect) => {
    const peer = await connect()
    for (let at = 0; at <= SPLIT.length; at++) {
      await send(peer, fragments(TEXT, [SPLIT.subarray(0, at), SPLIT.subarray(at)]))
      await peer.expectText(SPLIT)
    }
    await peer.finish()
  }
}

const whole = family("5.2", "RFC 6455 section 5.4", [
  ...DELIVERIES.map((delivery) =>
    member(
      `a text in two fragments, at every split, ${delivery}`,
      splits((peer, frames) => deliver(peer, delivery, frames))
    )
  ),
  ...[1, 2, 3, 5, 7, 997].map((size) =>
    member(
      `a text in two fragments, at every split, in chops of ${size}`,
      splits((peer, frames) => peer.sendChopped(Buffer.concat(frames), size))
    )
  ),
  ...everyWay(
    "a text of three fragments, all empty",
    () => fragments(TEXT, ["", "", ""]),
    async (peer) => {
      await peer.expectText("")
      await peer.finish()
    }
  ),
  ...everyWay(
    "a text of three fragments, the first and the last empty",
    () => fragments(TEXT, ["", "middle", ""]),
    async (peer) => {
      await peer.expectText("middle")
      await peer.finish()
    }
  ),
  ...everyWay(
    "two messages of three fragments",
    () => [...fragments(TEXT, ["a", "b", "c"]), ...fragments(BINARY, ["d", "e", "f"])],
    async (peer) => {
      await peer.expectText("abc")
      await peer.expectBinary("def")
      await peer.finish()
    }
  )
])

const pongsFirst = (pongs: ReadonlyArray<string>, message: string) => async (peer: Peer) => {
  for (const payload of pongs) await peer.expectPong(payload)
  await peer.expectText(message)
  await peer.finish()
}

const MANY = Array.from({ length: 50 }, (_, i) => `ping-${i}`)

const interleaved = family("5.3", "RFC 6455 section 5.4", [
  ...everyWay(
    "a Ping between two fragments is answered before the message",
    () => [text("frag", { fin: false }), ping("between"), continuation("ment")],
    pongsFirst(["between"], "fragment")
  ),
  ...everyWay(
    "a Pong between two fragments is passed over",
    () => [text("frag", { fin: false }), pong("between"), continuation("ment")],
    pongsFirst([], "fragment")
  ),
  ...everyWay(
    "Pings between five fragments are answered before the message",
    () => [
      text("1", { fin: false }),
      continuation("2", { fin: false }),
      ping("first"),
      continuation("3", { fin: false }),
      continuation("4", { fin: false }),
      ping("second"),
      continuation("5")
    ],
    pongsFirst(["first", "second"], "12345")
  ),
  ...everyWay(
    "fifty Pings between two fragments",
    () => [text("frag", { fin: false }), ...MANY.map((payload) => ping(payload)), continuation("ment")],
    pongsFirst(MANY, "fragment")
  ),
  ...everyWay(
    "a Ping behind each of fifty fragments",
    () => [
      text("0", { fin: false }),
      ...MANY.flatMap((payload) => [continuation("x", { fin: false }), ping(payload)]),
      continuation("1")
    ],
    pongsFirst(MANY, `0${"x".repeat(50)}1`)
  ),
  ...everyWay(
    "Pings of 125 octets between fragments without payload",
    () => [
      text("", { fin: false }),
      ping("a".repeat(125)),
      continuation("", { fin: false }),
      ping("b".repeat(125)),
      continuation("")
    ],
    pongsFirst(["a".repeat(125), "b".repeat(125)], "")
  ),
  member("each Pong comes before the next fragment is sent", async (connect) => {
    const peer = await connect()
    peer.send(text("0", { fin: false }))
    for (let i = 1; i <= 10; i++) {
      peer.send(ping(`${i}`))
      await peer.expectPong(`${i}`)
      peer.send(continuation(`${i}`, { fin: i === 10 }))
    }
    await peer.expectText("012345678910")
    await peer.finish()
  })
])

const disordered = family("5.4", "RFC 6455 section 5.4", [
  ...fails("a continuation with FIN and nothing to continue", () => [continuation("nothing"), text("unheard")]),
  ...fails("a continuation without FIN and nothing to continue", () => [
    continuation("nothing", { fin: false }),
    text("unheard")
  ]),
  ...fails("an empty continuation with nothing to continue", () => [continuation("")]),
  ...fails("a continuation behind a whole message", () => [text("whole"), continuation("nothing")], ["whole"]),
  ...fails(
    "a continuation behind a message of fragments",
    () => [...fragments(TEXT, ["frag", "ment"]), continuation("nothing", { fin: false }), text("unheard")],
    ["fragment"]
  ),
  ...fails("a continuation without FIN before each of two messages", () => [
    continuation("a", { fin: false }),
    text("b"),
    continuation("c", { fin: false }),
    text("d")
  ]),
  ...fails("a Pong before a continuation with nothing to continue", () => [pong("p"), continuation("nothing")]),
  ...fails("a text within a text", () => [text("frag", { fin: false }), text("ment")]),
  ...fails("a text without FIN within a text", () => [text("frag", { fin: false }), text("ment", { fin: false })]),
  ...fails("a binary message within a text", () => [text("frag", { fin: false }), binary("ment")]),
  ...fails("a text within a binary message", () => [binary("frag", { fin: false }), text("ment")]),
  ...fails("a text behind three fragments of a text", () => [
    text("1", { fin: false }),
    continuation("2", { fin: false }),
    continuation("3", { fin: false }),
    text("4")
  ])
])

const long = (opcode: number, payload: Buffer, size: number): Case["run"] => {
  return async (connect) => {
    const peer = await connect()
    peer.sendAll(fragments(opcode, pieces(payload, size)))
    await peer.expectMessage(opcode, payload)
    await peer.finish()
  }
}

const sequences = family("5.5", "RFC 6455 section 5.4", [
  ...[100, 1000, 10_000].map((count) =>
    member(`a binary message of ${count} fragments of one octet`, long(BINARY, noise(count), 1))
  ),
  member("a binary message of 1000 fragments of 125 octets", long(BINARY, noise(125_000), 125)),
  member("a binary message of 1000 fragments of 126 octets", long(BINARY, noise(126_000), 126)),
  member("a text of 1000 fragments, cut within its characters", long(TEXT, Buffer.from("κ€😀".repeat(112)), 1)),
  member("a message of 1000 empty fragments and one octet", async (connect) => {
    const peer = await connect()
    peer.send(...fragments(TEXT, [...Array.from({ length: 1000 }, () => ""), "x"]))
    await peer.expectText("x")
    await peer.finish()
  }),
  member("a thousand messages of two fragments", async (connect) => {
    const peer = await connect()
    const messages = Array.from({ length: 1000 }, (_, i) => `message ${i}`)
    peer.send(...messages.flatMap((message) => fragments(TEXT, [message.slice(0, 4), message.slice(4)])))
    for (const message of messages) await peer.expectText(message)
    await peer.finish()
  }),
  member("a binary message of 300 fragments, octet by octet", async (connect) => {
    const peer = await connect()
    const payload = noise(300)
    await peer.sendApart(octets(Buffer.concat(fragments(BINARY, pieces(payload, 1)))))
    await peer.expectBinary(payload)
    await peer.finish()
  })
])

export const fragmentation: Group = {
  title: "5 fragmentation",
  cases: [...control, ...whole, ...interleaved, ...disordered, ...sequences]
}
