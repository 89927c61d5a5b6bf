/**
 * The connections of a component by their ids, in the order in which they came.
 *
 * A `Map` keeps what has left in its tables until the next full collection, as a `Set` does (`connection/internal/roster.ts`). So there
 * is a place between it and the connection, which is empty when the connection has left.
 */
interface Place<L> {
  link: L | undefined
}

export class Links<L> implements Iterable<[string, L]> {
  private readonly places = new Map<string, Place<L>>()

  get size(): number {
    return this.places.size
  }

  has(connectionId: string): boolean {
    return this.places.has(connectionId)
  }

  get(connectionId: string): L | undefined {
    return this.places.get(connectionId)?.link
  }

  set(connectionId: string, link: L): void {
    this.places.set(connectionId, { link })
  }

  delete(connectionId: string): void {
    const place = this.places.get(connectionId)
    if (place === undefined) return
    place.link = undefined
    this.places.delete(connectionId)
  }

  /** Who comes meanwhile is in it, too. */
  *[Symbol.iterator](): IterableIterator<[string, L]> {
    for (const [id, { link }] of this.places) if (link !== undefined) yield [id, link]
  }

  *values(): IterableIterator<L> {
    for (const [, link] of this) yield link
  }
}
