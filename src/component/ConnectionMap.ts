/**
 * The connections of a component by their ids: a read-only view that changes as they come and go.
 *
 * @since 0.1.0
 */
import { ComponentError } from "./ComponentError.ts"

/**
 * `get` gives `undefined` for an id that there is not; `item` throws 126.
 *
 * @category models
 * @since 0.1.0
 */
export class ConnectionMap<V> implements Iterable<[string, V]> {
  readonly #links: ReadonlyMap<string, { readonly view: V }>

  constructor(links: ReadonlyMap<string, { readonly view: V }>) {
    this.#links = links
  }

  get size(): number {
    return this.#links.size
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
  keys(): IterableIterator<string> {
    return this.#links.keys()
  }
  *values(): IterableIterator<V> {
    for (const { view } of this.#links.values()) yield view
  }
  *entries(): IterableIterator<[string, V]> {
    for (const [id, { view }] of this.#links) yield [id, view]
  }
  [Symbol.iterator](): IterableIterator<[string, V]> {
    return this.entries()
  }
  forEach(callback: (value: V, key: string, map: ConnectionMap<V>) => void): void {
    for (const [id, view] of this.entries()) callback(view, id, this)
  }
}
