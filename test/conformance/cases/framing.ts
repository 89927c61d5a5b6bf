/**
 * Group 1: messages of one frame come back as they went, around every change of the length's encoding.
 */
import { family, type Group, member } from "../case.ts"
import { ascii, noise } from "../payload.ts"
import { BINARY, encodeFrame, TEXT } from "../wire/frame.ts"

const SIZES = [0, 1, 124, 125, 126, 127, 128, 254, 255, 256, 65534, 65535, 65536, 65537]

const KINDS = [
  { id: "1.1", name: "text", opcode: TEXT, payload: ascii },
  { id: "1.2", name: "binary", opcode: BINARY, payload: noise }
] as const

export const framing: Group = {
  title: "1 framing and echo",
  cases: KINDS.flatMap(({ id, name, opcode, payload }) =>
    family(id, "RFC 6455 section 5.2", [
      ...SIZES.map((size) =>
        member(`${name}, ${size} octets`, async (connect) => {
          const peer = await connect()
          const content = payload(size)
          await peer.sendMessage(content, { opcode })
          await peer.expectMessage(opcode, content)
          await peer.finish()
        })
      ),
      member(`${name}, 65536 octets in chops of 997`, async (connect) => {
        const peer = await connect()
        const content = payload(65536)
        await peer.sendChopped(encodeFrame({ opcode, payload: content }), 997)
        await peer.expectMessage(opcode, content)
        await peer.finish()
      })
    ])
  )
}
