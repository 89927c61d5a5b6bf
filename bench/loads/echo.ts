/**
 * Loads with as many messages in flight as ever: what comes back is sent again. On every connection at once, in turns (one
 * message in flight over all connections), or a given number on each.
 */
import { sleep } from "../agent.ts"
import type { Connection, Load } from "../connection.ts"
import { comeBack, sideBySide } from "./waiting.ts"

const exchangesAtOnce = 32

/** `options.depth` messages in flight on each connection for so long. Gives the messages that came back. */
export const echoes = async (load: Load, connections: ReadonlyArray<Connection>, seconds: number): Promise<number> => {
  let count = 0
  load.arrived = (connection, messages) => {
    if (messages === 0) return
    count += messages
    load.inFlight -= messages
    if (load.inFlight < 0) load.fail("more messages came back than were sent")
    else if (load.running) connection.send(messages)
    else if (load.inFlight === 0) load.progress()
  }
  load.running = true
  for (const connection of connections) connection.send(load.options.depth)
  await sleep(seconds)
  await comeBack(load, connections)
  return count
}

/**
 * One message in flight: when it is back, the next connection has its turn. The same work at the same pace, however many
 * connections there are.
 */
export const turns = async (load: Load, connections: ReadonlyArray<Connection>, seconds: number): Promise<number> => {
  let count = 0
  const next = (): void => connections[count % connections.length]?.send(1)
  load.arrived = (_, messages) => {
    if (messages === 0) return
    count += messages
    load.inFlight -= messages
    if (load.running) next()
    else load.progress()
  }
  load.running = true
  next()
  await sleep(seconds)
  await comeBack(load, connections)
  return count
}

/** So many messages on each connection, one after the other. */
export const exchanges = async (
  load: Load,
  connections: ReadonlyArray<Connection>,
  messages: number
): Promise<void> => {
  const back = new Map<Connection, () => void>()
  load.arrived = (connection, arrived) => {
    load.inFlight -= arrived
    if (arrived > 0) back.get(connection)?.()
    if (load.inFlight === 0) load.progress()
  }
  const left = connections.values()
  await sideBySide(exchangesAtOnce, async () => {
    for (const connection of left) {
      for (let sent = 0; sent < messages; sent++) {
        const answered = new Promise<void>((resolve) => back.set(connection, resolve))
        connection.send(1)
        await answered
      }
    }
  })
  await comeBack(load, connections)
}
