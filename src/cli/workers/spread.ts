/**
 * Which worker gets a connection: the one with the most room, that is with the fewest connections where all may have as many.
 * Turns would do for short ones; connections that stay for days would leave a worker that was restarted idle for days.
 *
 * While no worker takes any, connections wait: as many as the system's own queue would hold, later ones are cut off. A worker that
 * does not come to take them, since it hangs or is too busy, has as many more than its share before it gets no more.
 */

/** A connection that can be cut off. */
export interface Connection {
  readonly destroy: () => void
}

/** Who takes connections. */
export interface Taker<C> {
  /** The most connections that it may have. */
  readonly share: number
  readonly take: (connection: C) => void
}

export class Spread<C extends Connection> {
  /** How many connections each has. */
  private readonly takers = new Map<Taker<C>, number>()
  private readonly waiting: Array<C> = []
  private readonly maxWaiting: number
  private isOver = false

  /** `maxWaiting` is the most connections that wait for somebody to take them, and the most that a taker has beyond its share. Default: 511. */
  constructor(maxWaiting = 511) {
    this.maxWaiting = maxWaiting
  }

  give(connection: C): void {
    const taker = this.roomiest()
    if (taker !== undefined) {
      const count = this.takers.get(taker)!
      // then nobody has any room
      if (count - taker.share >= this.maxWaiting) return connection.destroy()
      this.takers.set(taker, count + 1)
      return taker.take(connection)
    }
    if (this.isOver || this.waiting.length >= this.maxWaiting) return connection.destroy()
    this.waiting.push(connection)
  }

  /** Has one more among those who take connections; those that wait are its. */
  join(taker: Taker<C>): void {
    this.takers.set(taker, 0)
    for (const connection of this.waiting.splice(0)) this.give(connection)
  }

  /** So many of its connections are gone. */
  left(taker: Taker<C>, count: number): void {
    const before = this.takers.get(taker)
    if (before !== undefined) this.takers.set(taker, before - count)
  }

  /** It takes no more. */
  leave(taker: Taker<C>): void {
    this.takers.delete(taker)
  }

  /** Nobody will come any more: who waits is cut off, and so is who comes. */
  end(): void {
    this.isOver = true
    for (const connection of this.waiting.splice(0)) connection.destroy()
  }

  /** How many take connections. */
  get size(): number {
    return this.takers.size
  }

  private roomiest(): Taker<C> | undefined {
    let best: Taker<C> | undefined
    let most = -Infinity
    for (const [taker, count] of this.takers) {
      const room = taker.share - count
      if (room > most) {
        best = taker
        most = room
      }
    }
    return best
  }
}
