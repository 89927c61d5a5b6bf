/**
 * Groups 9 and 10: large messages, many fragments, many chops and many round trips are all correct, and all in time.
 */
import { type Case, family, type Group, member } from "../case.ts"
import { noise, scripts } from "../payload.ts"
import { BINARY, encodeFrame, TEXT } from "../wire/frame.ts"

const RFC = "RFC 6455 section 5"
const KIB = 1024
const MIB = 1024 * KIB

const label = (size: number): string =>
  size >= MIB && size % MIB === 0
    ? `${size / MIB} MiB`
    : size >= KIB && size % KIB === 0
      ? `${size / KIB} KiB`
      : `${size}`

interface Kind {
  readonly name: string
  readonly opcode: number
  readonly payload: (size: number) => Buffer
}

const KINDS: ReadonlyArray<Kind> = [
  { name: "text", opcode: TEXT, payload: (size) => scripts(size) },
  { name: "binary", opcode: BINARY, payload: (size) => noise(size) }
]

const echo =
  (kind: Kind, size: number, fragment?: number): Case["run"] =>
  async (connect) => {
    const peer = await connect()
    const payload = kind.payload(size)
    await peer.sendMessage(payload, { opcode: kind.opcode, ...(fragment === undefined ? undefined : { fragment }) })
    await peer.expectMessage(kind.opcode, payload)
    await peer.finish()
  }

const chopped =
  (kind: Kind, size: number, chop: number): Case["run"] =>
  async (connect) => {
    const peer = await connect()
    const payload = kind.payload(size)
    await peer.sendChopped(encodeFrame({ opcode: kind.opcode, payload }), chop)
    await peer.expectMessage(kind.opcode, payload)
    await peer.finish()
  }

const roundTrips =
  (kind: Kind, size: number, count: number): Case["run"] =>
  async (connect) => {
    const peer = await connect()
    const payload = kind.payload(size)
    for (let i = 0; i < count; i++) {
      // Another first octet in each message, so that no answer passes for another's.
      if (size > 0) payload[0] = 0x20 + (i % 0x5f)
      await peer.sendMessage(payload, { opcode: kind.opcode })
      await peer.expectMessage(kind.opcode, payload)
    }
    await peer.finish()
  }

const WHOLE = [64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB]
const FRAGMENTS = [64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB]
const CHOPS = [128, 256, 512, 1024, 2048]
const TRIPS = [0, 16, 64, 256, 1024, 4096, 16384, 65536]

export const limits: Group = {
  title: "9 large messages",
  cases: KINDS.flatMap((kind, i) => [
    ...family(
      `9.${1 + i}`,
      RFC,
      WHOLE.map((size) => member(`${kind.name}, ${label(size)} in one frame`, echo(kind, size)))
    ),
    ...family(
      `9.${3 + i}`,
      RFC,
      FRAGMENTS.map((size) => member(`${kind.name}, 4 MiB in fragments of ${label(size)}`, echo(kind, 4 * MIB, size)))
    ),
    ...family(
      `9.${5 + i}`,
      RFC,
      CHOPS.map((chop) => member(`${kind.name}, 1 MiB in chops of ${label(chop)}`, chopped(kind, MIB, chop)))
    ),
    ...family(
      `9.${7 + i}`,
      RFC,
      TRIPS.map((size) => member(`${kind.name}, 1000 round trips of ${label(size)}`, roundTrips(kind, size, 1000)))
    )
  ])
}

export const autoFragmentation: Group = {
  title: "10 messages cut by the sender",
  cases: KINDS.flatMap((kind, i) =>
    family(
      `10.${i + 1}`,
      "RFC 6455 section 5.4",
      [1300, 1, 125, 126, 65535, 65536].map((size) =>
        member(`${kind.name}, 64 KiB in fragments of ${label(size)}`, echo(kind, 64 * KIB, size))
      )
    )
  )
}
