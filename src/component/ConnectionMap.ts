/**
 * The connections of a component by their ids: a read-only view that changes as they come and go.
 *
 * @since 0.1.0
 */
import { ComponentError } from "./ComponentError.ts"

interface Linked<V> {
  readonly view: V
  /** Whether the client was answered, so that data can be sent. */
  readonly isOpened: boolean
}

interface Links<V> extends Iterable<[string, Linked<V>]> {
  has(connectionId: string): boolean
  get(connectionId: string): Linked<V> | undefined
}

/**
 * `get` gives `undefined` for an id that there is not; `item` throws 126. Both find a connection from WebSocketOpenRequest on.
 * `size` and loops leave out connections whose request is still being decided, since sending to those fails.
 *
 * @category models
 * @since 0.1.0
 */
export class ConnectionMap<V> implements Iterable<[string, V]> {
  readonly #links: Links<V>

  constructor(links: Links<V>) {
    this.#links = links
  }

  get size(): number {
    let size = 0
    for (const [, { isOpened }] of this.#links) if (isOpened) size++
    return size
  }
  has(connectionId: string): boolean {
    return this.#links.has(connectionId)
  }
  get(connectionId: string): V | undefined {
    return this.#links.get(connectionId)?.view
  }
  item(connectionId: string): V {
    const link = this.#links.get(connectionId)
    if (link === undefined) throw new ComponentError(126)
    return link.view
  }
  *keys(): IterableIterator<string> {
    for (const [id] of this.entries()) yield id
  }
  *values(): IterableIterator<V> {
    for (const [, view] of this.entries()) yield view
  }
  *entries(): IterableIterator<[string, V]> {
    for (const [id, { isOpened, view }] of this.#links) if (isOpened) yield [id, view]
  }
  [Symbol.iterator](): IterableIterator<[string, V]> {
    return this.entries()
  }
  forEach(callback: (value: V, key: string, map: ConnectionMap<V>) => void): void {
    for (const [id, view] of this.entries()) callback(view, id, this)
  }
}
