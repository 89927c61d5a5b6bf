/** Frames to test with: a sink that records, what a decoder makes of bytes, and arbitrary legal streams of frames. */
import { assert } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import * as Frame from "../../src/protocol/Frame.ts"
import { FrameDecoder, type Options, type Sink } from "../../src/protocol/FrameDecoder.ts"
import * as Masking from "../../src/protocol/Masking.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { type Kind, ProtocolError } from "../../src/protocol/ProtocolError.ts"
import { concat, patterned, toHex } from "./bytes.ts"

/** What a sink was told, one line each. Pieces of one payload are one line, wherever they were cut. */
export class Recorder implements Sink {
  readonly events: Array<string> = []
  private payload: Array<Uint8Array> = []
  private ended() {
    if (this.payload.length > 0) this.events.push(`payload ${toHex(concat(this.payload))}`)
    this.payload = []
  }
  frameStart(frame: FrameDecoder) {
    this.events.push(
      `start ${frame.opcode}${frame.fin ? " fin" : ""}${frame.rsv1 ? " rsv1" : ""} ${frame.length}` +
        (frame.masked ? ` ${toHex(Masking.toBytes(frame.maskingKey))}` : "")
    )
  }
  framePayload(chunk: Uint8Array, start: number, end: number, _frame: FrameDecoder) {
    this.payload.push(chunk.slice(start, end))
  }
  frameEnd() {
    this.ended()
    this.events.push("end")
  }
  control(opcode: Opcode.ControlOpcode, payload: Uint8Array) {
    this.events.push(`control ${opcode} ${toHex(payload)}`)
  }
  /** All so far, with the part that has come of an open payload. */
  get soFar(): ReadonlyArray<string> {
    this.ended()
    return this.events
  }
}

/** What the recorder of a stream of these frames holds. */
export const eventsOf = (frames: ReadonlyArray<Frame.Frame>): ReadonlyArray<string> =>
  frames.flatMap(({ fin, maskingKey, opcode, payload, rsv1 }) =>
    Opcode.isControl(opcode)
      ? [`control ${opcode} ${toHex(payload)}`]
      : [
          `start ${opcode}${fin ? " fin" : ""}${rsv1 ? " rsv1" : ""} ${payload.length}` +
            (maskingKey === undefined ? "" : ` ${toHex(maskingKey)}`),
          ...(payload.length === 0 ? [] : [`payload ${toHex(payload)}`]),
          "end"
        ]
  )

/** What a decoder tells its sink of these chunks, and the fault that it ends with, if any. */
export const decode = (
  chunks: ReadonlyArray<Uint8Array>,
  options: Partial<Options> = {}
): { readonly events: ReadonlyArray<string>; readonly kind: Kind | undefined; readonly decoder: FrameDecoder } => {
  const decoder = new FrameDecoder({ masking: "either", ...options })
  const sink = new Recorder()
  const kind = kindOf(() => {
    for (const chunk of chunks) decoder.push(chunk, sink)
  })
  return { events: sink.soFar, kind, decoder }
}

/** The kind of the `ProtocolError` that is thrown, or `undefined` if nothing is. */
export const kindOf = (run: () => void): Kind | undefined => {
  try {
    run()
    return undefined
  } catch (error) {
    if (error instanceof ProtocolError) return error.kind
    throw error
  }
}

/** Asserts that a fault of this kind is thrown. */
export const failsWith = (kind: Kind, run: () => void): void => assert.strictEqual(kindOf(run), kind)

export const wire = (frames: ReadonlyArray<Frame.Frame>): Uint8Array => concat(frames.map(Frame.toBytes))

/** A message in fragments of these payloads. */
export const message = (
  opcode: typeof Opcode.text | typeof Opcode.binary,
  payloads: ReadonlyArray<Uint8Array>,
  frame: Partial<Frame.Frame> = {}
): Array<Frame.Frame> =>
  payloads.map((payload, i) =>
    Frame.make({
      ...frame,
      rsv1: (frame.rsv1 ?? false) && i === 0,
      opcode: i === 0 ? opcode : Opcode.continuation,
      fin: i === payloads.length - 1,
      payload
    })
  )

export const integer = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum, maximum }))))
const size = Arbitrary.flatMap(integer(0, 9), (choice) =>
  choice < 6 ? integer(0, 40) : choice < 9 ? integer(120, 132) : integer(65530, 65540)
)
const maskingKey = Arbitrary.map(integer(0, 2 ** 32 - 1), (key) =>
  // one in a few has no mask
  key % 4 === 0 ? {} : { maskingKey: new Uint8Array([key, key >>> 8, key >>> 16, key >>> 24]) }
)
const control = Arbitrary.map(
  Arbitrary.all([
    Arbitrary.schema(Schema.Literals([Opcode.ping, Opcode.pong, Opcode.close])),
    integer(0, 125),
    maskingKey
  ]),
  ([opcode, length, key]) => Frame.make({ opcode, payload: patterned(length, 3), ...key })
)
const fragment = Arbitrary.map(
  Arbitrary.all([size, integer(0, 255), maskingKey, Arbitrary.array(control, { maxLength: 1 })]),
  ([length, seed, key, controls]) => ({ payload: patterned(length, seed), key, controls })
)

/** A data or control frame as it may be on its own: a continuation too, and RSV1 where permessage-deflate has it. */
export const anyFrame: Arbitrary.Arbitrary<Frame.Frame> = Arbitrary.flatMap(Arbitrary.schema(Opcode.Opcode), (opcode) =>
  Opcode.isControl(opcode)
    ? Arbitrary.map(control, (frame) => ({ ...frame, opcode }))
    : Arbitrary.map(
        Arbitrary.all([fragment, Arbitrary.schema(Schema.Boolean), Arbitrary.schema(Schema.Boolean)]),
        ([{ key, payload }, fin, rsv1]) =>
          Frame.make({ opcode, fin, rsv1: rsv1 && opcode !== Opcode.continuation, payload, ...key })
      )
)

/** Binary messages in fragments, with control frames between them. */
export const messages: Arbitrary.Arbitrary<ReadonlyArray<ReadonlyArray<Frame.Frame>>> = Arbitrary.array(
  Arbitrary.map(Arbitrary.array(fragment, { minLength: 1, maxLength: 4 }), (fragments) =>
    message(
      Opcode.binary,
      fragments.map(({ payload }) => payload)
    ).flatMap((frame, i) => [{ ...frame, ...fragments[i]!.key }, ...fragments[i]!.controls])
  ),
  { maxLength: 5 }
)

/** Places to cut a byte string at, for `cutAt`. */
export const cuts: Arbitrary.Arbitrary<ReadonlyArray<number>> = Arbitrary.array(integer(0, 200_000), { maxLength: 12 })
