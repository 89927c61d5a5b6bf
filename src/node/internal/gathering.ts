/**
 * Gathers what is offered to a socket in one turn of the event loop into one write: a system call costs more than everything else
 * about a small message. One callback at the end of the turn writes for all sockets.
 */

/** A socket that has gathered something. */
interface Gatherer {
  /** Writes what was gathered, if it is not written yet. */
  writeGathered(): void
}

let gatherers: Array<Gatherer> = []

const writeAll = (): void => {
  const all = gatherers
  gatherers = []
  for (const gatherer of all) gatherer.writeGathered()
}

export const atEndOfTurn = (gatherer: Gatherer): void => {
  if (gatherers.push(gatherer) === 1) setImmediate(writeAll)
}
