/**
 * Group 4: the reserved opcodes fail the connection (RFC 6455 section 5.2), whatever is around them.
 */
import { family, type Group, member } from "../case.ts"
import { continuation, encodeFrame, ping, text } from "../wire/frame.ts"
import { deliver, DELIVERIES } from "./delivery.ts"

interface Position {
  readonly title: string
  readonly echoed: ReadonlyArray<string>
  readonly frames: (opcode: number) => ReadonlyArray<Uint8Array>
}

const POSITIONS: ReadonlyArray<Position> = [
  { title: "without payload", echoed: [], frames: (opcode) => [encodeFrame({ opcode })] },
  { title: "with a payload", echoed: [], frames: (opcode) => [encodeFrame({ opcode, payload: "reserved" })] },
  {
    title: "without payload, behind a message and before a Ping",
    echoed: ["legal"],
    frames: (opcode) => [text("legal"), encodeFrame({ opcode }), ping("unheard")]
  },
  {
    title: "with a payload, behind two messages and before another",
    echoed: ["one", "two"],
    frames: (opcode) => [text("one"), text("two"), encodeFrame({ opcode, payload: "reserved" }), text("three")]
  },
  {
    title: "without FIN",
    echoed: [],
    frames: (opcode) => [encodeFrame({ opcode, payload: "reserved", fin: false }), continuation("rest")]
  },
  {
    title: "between the fragments of a message",
    echoed: [],
    frames: (opcode) => [text("frag", { fin: false }), encodeFrame({ opcode }), continuation("ment")]
  }
]

const reserved = (id: string, kind: string, opcodes: ReadonlyArray<number>) =>
  opcodes.flatMap((opcode) =>
    family(
      `${id}.${opcode}`,
      "RFC 6455 section 5.2",
      POSITIONS.flatMap((position) =>
        DELIVERIES.map((delivery) =>
          member(`the reserved ${kind} opcode ${opcode} ${position.title}, ${delivery}`, async (connect) => {
            const peer = await connect()
            await deliver(peer, delivery, position.frames(opcode))
            for (const message of position.echoed) await peer.expectText(message)
            await peer.expectFailure(1002)
          })
        )
      )
    )
  )

export const opcodes: Group = {
  title: "4 opcodes",
  cases: [...reserved("4.1", "data", [3, 4, 5, 6, 7]), ...reserved("4.2", "control", [11, 12, 13, 14, 15])]
}
