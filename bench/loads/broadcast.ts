/**
 * Messages from one connection to all of them, the sender too: `options.depth` in one write, and the next when every
 * connection has these.
 */
import { sleep, within } from "../agent.ts"
import type { Connection, Load } from "../connection.ts"
import { arrivalSeconds, until } from "./waiting.ts"

/** Gives the messages that arrived. */
export const broadcasts = async (
  load: Load,
  connections: ReadonlyArray<Connection>,
  seconds: number
): Promise<number> => {
  // the last one: once a server reads from it, it has accepted all before it, which without a handshake nobody else tells
  const sender = connections.at(-1)
  const before = connections.map((connection) => connection.back)
  const { depth } = load.options
  let sent = 0
  let count = 0
  const next = (): void => {
    sent += depth
    sender?.send(depth)
  }
  load.arrived = (_, messages) => {
    count += messages
    if (count < sent * connections.length) return
    if (count > sent * connections.length) load.fail("more messages came than were sent")
    else if (load.running) next()
    else load.progress()
  }
  load.running = true
  next()
  await sleep(seconds)
  load.running = false
  const missing = () => `${sent * connections.length - count} messages of ${sent} to all did not come`
  await within(
    arrivalSeconds,
    missing,
    until(load, () => count === sent * connections.length)
  )
  const unequal = connections.findIndex((connection, index) => connection.back !== (before[index] ?? 0) + sent)
  if (unequal >= 0) throw new Error(`connection ${unequal} did not get each of ${sent} messages once`)
  load.inFlight = 0
  return count
}
