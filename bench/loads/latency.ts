/**
 * Messages on a schedule, whether or not those before them are back (an open loop): a latency counts from the time at
 * which the message was due, so that a server which stalls is charged for all that it kept waiting. The times between
 * messages are exponential, as with many clients that know nothing of each other, and the same for every server. The
 * generator looks at the clock without ever sleeping: it needs a core of its own.
 */
import { setImmediate } from "node:timers/promises"
import type { Connection, Load } from "../connection.ts"
import { numbers } from "./numbers.ts"
import { comeBack } from "./waiting.ts"

const gapCount = 1 << 14
const next = numbers(7)
/** Times between messages in units of their mean. */
const gaps = Float64Array.from({ length: gapCount }, () => -Math.log(1 - next() / 2 ** 32))
/** After how many messages that are late the answers are looked at all the same. */
const lateAtOnce = 64

export interface Latencies {
  /** In seconds. */
  readonly p50: number
  readonly p99: number
}

let latencies: Array<number> = []

/** `rate` messages a second over all connections, which take turns. Gives the messages that came back. */
export const scheduled = async (
  load: Load,
  connections: ReadonlyArray<Connection>,
  seconds: number,
  rate: number
): Promise<number> => {
  const due = new Map<Connection, Array<number>>(connections.map((connection) => [connection, []]))
  let count = 0
  load.arrived = (connection, messages) => {
    if (messages === 0) return
    const now = performance.now()
    const times = due.get(connection) ?? []
    for (const time of times.splice(0, messages)) latencies.push(now - time)
    count += messages
    load.inFlight -= messages
    if (!load.running && load.inFlight === 0) load.progress()
  }
  load.running = true
  const end = performance.now() + seconds * 1000
  let time = performance.now()
  for (let sent = 0; ; sent++) {
    time += ((gaps[sent % gapCount] ?? 1) * 1000) / rate
    if (time >= end) break
    if (sent % lateAtOnce === 0) await setImmediate()
    while (performance.now() < time) await setImmediate()
    const connection = connections[sent % connections.length]
    if (connection === undefined) break
    due.get(connection)?.push(time)
    connection.send(1)
  }
  await comeBack(load, connections)
  return count
}

/** What was measured since it was last asked. */
export const takeLatencies = (): Latencies => {
  const sorted = Float64Array.from(latencies).toSorted()
  latencies = []
  const quantile = (share: number) =>
    (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0) / 1000
  return { p50: quantile(0.5), p99: quantile(0.99) }
}
