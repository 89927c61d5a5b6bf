/**
 * Group 2: Ping and Pong (RFC 6455 sections 5.5.2 and 5.5.3).
 */
import * as assert from "node:assert/strict"
import { family, type Group, member, type Member } from "../case.ts"
import { noise } from "../payload.ts"
import { ping, pong, text } from "../wire/frame.ts"
import { deliver, DELIVERIES } from "./delivery.ts"

const answered = (title: string, payload: Uint8Array | string): Member =>
  member(title, async (connect) => {
    const peer = await connect()
    peer.send(ping(payload))
    await peer.expectPong(payload)
    await peer.finish()
  })

const single = family("2.1", "RFC 6455 section 5.5.2", [
  answered("a Ping without payload", ""),
  answered("a Ping with a text payload", "Hello, world!"),
  answered("a Ping with a binary payload", Buffer.from([0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff])),
  answered("a Ping of 124 octets", noise(124)),
  answered("a Ping of 125 octets", noise(125)),
  member("a Ping of 125 octets, octet by octet", async (connect) => {
    const peer = await connect()
    await deliver(peer, "octet by octet", [ping(noise(125))])
    await peer.expectPong(noise(125))
    await peer.finish()
  })
])

const tooLong = family("2.2", "RFC 6455 section 5.5", [
  ...DELIVERIES.map((delivery) =>
    member(`a Ping of 126 octets fails the connection, ${delivery}`, async (connect) => {
      const peer = await connect()
      await deliver(peer, delivery, [ping(noise(126))])
      await peer.expectFailure(1002)
    })
  ),
  member("the two octets that announce a Ping of 126 octets fail the connection", async (connect) => {
    const peer = await connect()
    peer.send(ping(noise(126)).subarray(0, 2))
    await peer.expectFailure(1002)
  }),
  ...[126, 65536].map((size) =>
    member(`a Pong of ${size} octets fails the connection`, async (connect) => {
      const peer = await connect()
      peer.send(pong(noise(size)))
      await peer.expectFailure(1002)
    })
  )
])

const unsolicited = family("2.3", "RFC 6455 section 5.5.3", [
  ...["", "unsolicited", noise(125)].map((payload) =>
    member(`an unsolicited Pong of ${payload.length} octets is passed over`, async (connect) => {
      const peer = await connect()
      peer.send(pong(payload))
      await peer.finish()
    })
  ),
  ...["", "unsolicited", noise(125)].map((payload) =>
    member(
      `an unsolicited Pong of ${payload.length} octets is passed over, a different Ping behind it is answered`,
      async (connect) => {
        const peer = await connect()
        peer.send(pong(payload), ping("a different payload"))
        await peer.expectPong("a different payload")
        await peer.finish()
      }
    )
  ),
  member("a hundred unsolicited Pongs before a message are passed over", async (connect) => {
    const peer = await connect()
    peer.send(...Array.from({ length: 100 }, (_, i) => pong(`${i}`)), text("message"))
    await peer.expectText("message")
    await peer.finish()
  })
])

const TEN = Array.from({ length: 10 }, (_, i) => `payload-${i}`)

const ten = family(
  "2.4",
  "RFC 6455 section 5.5.3",
  DELIVERIES.map((delivery) =>
    member(`ten Pings, ${delivery}, get ten Pongs in order`, async (connect) => {
      const peer = await connect()
      const frames = TEN.map((payload) => ping(payload))
      await deliver(peer, delivery, frames)
      for (const payload of TEN) await peer.expectPong(payload)
      await peer.finish()
    })
  )
)

const between = family(
  "2.5",
  "RFC 6455 section 5.5.2",
  DELIVERIES.map((delivery) =>
    member(`Pings between messages, ${delivery}: Pongs in order, messages in order`, async (connect) => {
      const peer = await connect()
      await deliver(peer, delivery, [text("one"), ping("1"), text("two"), ping("2")])
      const pongs: Array<string> = []
      const messages: Array<string> = []
      for (let i = 0; i < 4; i++) {
        const event = await peer.next("an answer")
        if (event.type === "pong") pongs.push(event.payload.toString())
        if (event.type === "message") messages.push(event.payload.toString())
      }
      assert.deepEqual({ pongs, messages }, { pongs: ["1", "2"], messages: ["one", "two"] })
      await peer.finish()
    })
  )
)

export const pings: Group = {
  title: "2 pings and pongs",
  cases: [...single, ...tooLong, ...unsolicited, ...ten, ...between]
}
