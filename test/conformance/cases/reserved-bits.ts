/**
 * Group 3: without an extension that defines them, RSV1, RSV2 and RSV3 must be 0 (RFC 6455 section 5.2). What came
 * before the illegal frame is answered; what comes behind it is not.
 */
import { family, type Group, member } from "../case.ts"
import { binary, close, continuation, ping, pong, text } from "../wire/frame.ts"
import { deliver, DELIVERIES } from "./delivery.ts"

interface Position {
  readonly title: string
  /** The messages that are echoed before the connection fails. */
  readonly echoed: ReadonlyArray<string>
  readonly frames: (rsv: number) => ReadonlyArray<Uint8Array>
}

const POSITIONS: ReadonlyArray<Position> = [
  { title: "in a text message", echoed: [], frames: (rsv) => [text("illegal", { rsv })] },
  { title: "in an empty text message", echoed: [], frames: (rsv) => [text("", { rsv })] },
  { title: "in a binary message", echoed: [], frames: (rsv) => [binary("illegal", { rsv })] },
  {
    title: "in the second of two messages, before a Ping",
    echoed: ["legal"],
    frames: (rsv) => [text("legal"), text("illegal", { rsv }), ping("unheard")]
  },
  {
    title: "in the middle of several messages",
    echoed: ["one", "two"],
    frames: (rsv) => [text("one"), text("two"), text("three", { rsv }), text("four"), close(1000)]
  },
  { title: "in a Ping behind a message", echoed: ["legal"], frames: (rsv) => [text("legal"), ping("p", { rsv })] },
  { title: "in a Pong", echoed: [], frames: (rsv) => [pong("p", { rsv })] },
  { title: "in a Close", echoed: [], frames: (rsv) => [close(1000, "", { rsv })] },
  {
    title: "in a Close behind a message",
    echoed: ["legal"],
    frames: (rsv) => [text("legal"), close(1000, "", { rsv })]
  },
  {
    title: "in the first fragment of a message",
    echoed: [],
    frames: (rsv) => [text("illegal", { rsv, fin: false }), continuation("", {})]
  },
  {
    title: "in the last fragment of a message",
    echoed: ["legal"],
    frames: (rsv) => [text("legal"), text("frag", { fin: false }), continuation("ment", { rsv })]
  }
]

export const reservedBits: Group = {
  title: "3 reserved bits",
  cases: [1, 2, 3, 4, 5, 6, 7].flatMap((rsv) =>
    family(`3.${rsv}`, "RFC 6455 section 5.2", [
      ...POSITIONS.flatMap((position) =>
        DELIVERIES.map((delivery) =>
          member(`RSV ${rsv} ${position.title}, ${delivery}`, async (connect) => {
            const peer = await connect()
            await deliver(peer, delivery, position.frames(rsv))
            for (const message of position.echoed) await peer.expectText(message)
            await peer.expectFailure(1002)
          })
        )
      ),
      member(`RSV ${rsv}: the header of the frame is enough to fail the connection`, async (connect) => {
        const peer = await connect()
        peer.send(text("never sent", { rsv }).subarray(0, 6))
        await peer.expectFailure(1002)
      })
    ])
  )
}
