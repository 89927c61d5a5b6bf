import { assert, describe, it } from "@effect/vitest"
import type { CloseStatus } from "../../src/protocol/CloseCode.ts"
import * as ConnectionState from "../../src/protocol/ConnectionState.ts"
import { integer } from "./frames.ts"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"

const { open, step } = ConnectionState
type State = ConnectionState.State
type Event = ConnectionState.Event

const ours: CloseStatus = { code: 1001, reason: "ours" }
const theirs: CloseStatus = { code: 3000, reason: "theirs" }
const empty: CloseStatus = { code: undefined, reason: "" }

const closeSent: State = { _tag: "CloseSent", status: ours }
const closed = (code: number, reason: string, wasClean: boolean): State => ({
  _tag: "Closed",
  info: { code, reason, wasClean }
})
const close = (status: CloseStatus): Event => ({ _tag: "Close", status })
const closeReceived = (status: CloseStatus): Event => ({ _tag: "CloseReceived", status })
const transportEnd: Event = { _tag: "TransportEnd" }
const lost = closed(1006, "", false)
const clean = closed(4000, "before", true)

describe("7.1. Definitions", () => {
  const table: ReadonlyArray<
    readonly [name: string, from: State, event: Event, to: State, send: CloseStatus | undefined]
  > = [
    // 7.1.2. Start the WebSocket Closing Handshake
    ["open: our Close is sent", open, close(ours), closeSent, ours],
    ["open: our Close without a code is sent so", open, close(empty), { _tag: "CloseSent", status: empty }, empty],
    // 5.5.1: "the endpoint typically echos the status code it received"
    [
      "open: their Close is answered with its code",
      open,
      closeReceived(theirs),
      closed(3000, "theirs", true),
      { code: 3000, reason: "" }
    ],
    // 7.1.5. The WebSocket Connection Close Code
    [
      "open: their Close without a code is 1005, and answered without one",
      open,
      closeReceived(empty),
      closed(1005, "", true),
      empty
    ],
    ["open: an end without a Close is 1006", open, transportEnd, lost, undefined],
    [
      "Close sent: another Close of ours is nothing",
      closeSent,
      close({ code: 1011, reason: "late" }),
      closeSent,
      undefined
    ],
    [
      "Close sent: theirs ends it with their code",
      closeSent,
      closeReceived(theirs),
      closed(3000, "theirs", true),
      undefined
    ],
    ["Close sent: theirs without a code is 1005", closeSent, closeReceived(empty), closed(1005, "", true), undefined],
    ["Close sent: an end without theirs is 1006", closeSent, transportEnd, lost, undefined],
    ["closed: our Close is nothing", clean, close(ours), clean, undefined],
    ["closed: their Close is nothing", clean, closeReceived(theirs), clean, undefined],
    ["closed: the end is no loss", clean, transportEnd, clean, undefined],
    ["lost: our Close is nothing", lost, close(ours), lost, undefined],
    ["lost: their Close is nothing", lost, closeReceived(theirs), lost, undefined],
    ["lost: the end is no news", lost, transportEnd, lost, undefined]
  ]
  for (const [name, from, event, to, send] of table) {
    it(name, () => {
      const before = structuredClone(from)
      assert.deepStrictEqual(step(from, event), { state: to, send })
      assert.deepStrictEqual(from, before)
    })
  }

  const status = Arbitrary.map(integer(2999, 3010), (code) => (code === 2999 ? empty : { code, reason: `${code}` }))
  const event: Arbitrary.Arbitrary<Event> = Arbitrary.flatMap(
    Arbitrary.schema(Schema.Literals(["Close", "CloseReceived", "TransportEnd"])),
    (_tag): Arbitrary.Arbitrary<Event> =>
      _tag === "TransportEnd" ? Arbitrary.Constant(transportEnd) : Arbitrary.map(status, (status) => ({ _tag, status }))
  )
  it.prop(
    "whatever happens, one Close at most is sent, and what is closed stays as it ended",
    [Arbitrary.array(event, { maxLength: 10 })],
    ([events]) => {
      let state = open
      let sent = 0
      for (const event of events) {
        const next = step(state, event)
        if (next.send !== undefined) sent++
        if (state._tag === "Closed") assert.strictEqual(next.state, state)
        state = next.state
      }
      assert.isAtMost(sent, 1)
      const end = events.find(({ _tag }) => _tag !== "Close")
      assert.strictEqual(state._tag, end !== undefined ? "Closed" : events.length > 0 ? "CloseSent" : "Open")
      if (state._tag === "Closed") assert.strictEqual(state.info.wasClean, end?._tag === "CloseReceived")
    },
    { arbitrary: { runs: 500 } }
  )
})
