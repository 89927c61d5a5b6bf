/**
 * A message from one connection to all of them, the sender too; the next is sent when every connection has it.
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
  const [sender] = connections
  const before = connections.map((connection) => connection.back)
  let rounds = 0
  let count = 0
  const next = (): void => {
    rounds++
    sender?.send(1)
  }
  load.arrived = (_, messages) => {
    count += messages
    if (count < rounds * connections.length) return
    if (count > rounds * connections.length) load.fail("more messages came than were sent")
    else if (load.running) next()
    else load.progress()
  }
  load.running = true
  next()
  await sleep(seconds)
  load.running = false
  const missing = () => `${rounds * connections.length - count} messages of ${rounds} to all did not come`
  await within(
    arrivalSeconds,
    missing,
    until(load, () => count === rounds * connections.length)
  )
  const unequal = connections.findIndex((connection, index) => connection.back !== (before[index] ?? 0) + rounds)
  if (unequal >= 0) throw new Error(`connection ${unequal} did not get each of ${rounds} messages once`)
  load.inFlight = 0
  return count
}
