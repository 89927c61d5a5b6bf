/**
 * How a load waits: for what is in flight, and for many things a few at a time.
 */
import { within } from "../agent.ts"
import type { Connection, Load } from "../connection.ts"

/** How long what is in flight may take to arrive. */
export const arrivalSeconds = 10

/** Waits for the condition, looked at whenever there is progress. */
export const until = (load: Load, condition: () => boolean): Promise<void> =>
  new Promise((resolve) => {
    load.progress = () => {
      if (!condition()) return
      load.progress = () => {}
      resolve()
    }
    load.progress()
  })

export const sideBySide = (width: number, loop: () => Promise<void>): Promise<unknown> =>
  Promise.all(Array.from({ length: width }, loop))

/** Sends no more; what is in flight must come back, each message to where it came from. */
export const comeBack = async (load: Load, connections: ReadonlyArray<Connection>): Promise<void> => {
  load.running = false
  const answered = until(load, () => load.inFlight === 0)
  await within(arrivalSeconds, () => `${load.inFlight} messages were not answered`, answered)
  for (const connection of connections) {
    const complaint = connection.complaint()
    if (complaint !== undefined) throw new Error(complaint)
  }
}
