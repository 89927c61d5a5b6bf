/**
 * Group 11: TCP has no message boundaries. However a stream of several frames is cut, the answers are the same.
 */
import * as assert from "node:assert/strict"
import { type Connect, family, type Group, member } from "../case.ts"
import type { Pause } from "../wire/tcp.ts"
import { binary, close, continuation, ping, text } from "../wire/frame.ts"

const FRAMES = [
  text("Hé"),
  ping("p1"),
  binary(Buffer.of(0, 255)),
  text("fr", { fin: false }),
  ping(),
  continuation("ag"),
  close(1000, "bye")
]
const STREAM = Buffer.concat(FRAMES)

/** The same, with an illegal frame where the Close was. */
const ILLEGAL = Buffer.concat([...FRAMES.slice(0, -1), text("x", { rsv: 1 }), text("unheard")])

const answersTo = async (connect: Connect, parts: ReadonlyArray<Uint8Array>, pause: Pause): Promise<Array<string>> => {
  const peer = await connect()
  await peer.sendApart(parts, pause)
  const answers: Array<string> = []
  for (;;) {
    const event = await peer.next("the next answer")
    switch (event.type) {
      case "message":
        answers.push(`message ${event.opcode} ${event.payload.toString("hex")}`)
        break
      case "pong":
        answers.push(`pong ${event.payload.toString()}`)
        break
      case "close":
        answers.push(`close ${event.code}`)
        break
      case "end":
        peer.dispose()
        return answers
    }
  }
}

const BEGINNING = ["message 1 48c3a9", "pong p1", "message 2 00ff", "pong ", "message 1 66726167"]

/** Pongs may overtake messages, messages not each other. */
const inOrder = (answers: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...answers.filter((answer) => answer.startsWith("message")),
  ...answers.filter((answer) => answer.startsWith("pong")),
  ...answers.slice(answers.findIndex((answer) => answer.startsWith("close")))
]

const cut = (stream: Buffer, ...positions: ReadonlyArray<number>): Array<Buffer> =>
  [0, ...positions].map((from, i) => stream.subarray(from, positions[i] ?? stream.length))

const allCuts = async (
  connect: Connect,
  cuts: ReadonlyArray<ReadonlyArray<number>>,
  stream: Buffer,
  last: string
): Promise<void> => {
  const expected = inOrder([...BEGINNING, last])
  const waiting = [...cuts]
  const worker = async (): Promise<void> => {
    for (let positions = waiting.pop(); positions !== undefined; positions = waiting.pop()) {
      const answers = await answersTo(connect, cut(stream, ...positions), "moment")
      assert.deepEqual(inOrder(answers), expected, `cut at ${positions.join(" and ")}`)
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
}

const each = (stream: Buffer): Array<number> => Array.from({ length: stream.length - 1 }, (_, i) => i + 1)

const inTwo = (stream: Buffer): Array<Array<number>> => each(stream).map((at) => [at])

/** Cuts in three: a second one 1, 2, 5 and 13 octets behind each first one. */
const inThree = (stream: Buffer): Array<Array<number>> =>
  each(stream).flatMap((at) => [1, 2, 5, 13].map((gap) => [at, at + gap]).filter(([, b = 0]) => b < stream.length))

const STREAMS = [
  { title: "a stream that ends with a Close", stream: STREAM, last: "close 1000" },
  { title: "a stream that ends with an illegal frame", stream: ILLEGAL, last: "close 1002" }
]

export const byteStream: Group = {
  title: "11 the byte stream",
  cases: family(
    "11.1",
    "RFC 6455 section 5",
    STREAMS.flatMap(({ title, stream, last }) => [
      member(`${title}, of ${stream.length} octets, whole`, (connect) => allCuts(connect, [[]], stream, last)),
      member(`${title}, cut in two at every octet`, (connect) => allCuts(connect, inTwo(stream), stream, last)),
      member(`${title}, cut in three`, (connect) => allCuts(connect, inThree(stream), stream, last)),
      ...[1, 2, 3, 4, 5, 7, 11].map((size) =>
        member(`${title}, in pieces of ${size}`, (connect) =>
          allCuts(connect, [each(stream).filter((at) => at % size === 0)], stream, last)
        )
      )
    ])
  )
}
