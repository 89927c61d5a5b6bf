/**
 * Listeners of named events. They are called in the order in which they were added, each after the one before is done, with
 * its promise if it returned one. A listener that fails is reported, and the next is called.
 */

import { invalid } from "../ComponentError.ts"
import { settled } from "./settled.ts"

/** Does with an event what it likes; a promise is waited for. */
export type Listener<E> = (event: E) => unknown

export class Emitter<Events> {
  private readonly listeners = new Map<keyof Events, ReadonlyArray<Listener<never>>>()
  private readonly failed: (name: keyof Events, error: unknown, event: Events[keyof Events]) => void

  constructor(failed: (name: keyof Events, error: unknown, event: Events[keyof Events]) => void) {
    this.failed = failed
  }

  /** Unknown names are accepted, as by Node's emitters: editions of the original differ in their events. */
  on<N extends keyof Events>(name: N, listener: Listener<Events[N]>): void {
    checkListener(name, listener)
    this.listeners.set(name, [...(this.listeners.get(name) ?? []), listener])
  }

  once<N extends keyof Events>(name: N, listener: Listener<Events[N]>): void {
    checkListener(name, listener)
    let isDone = false
    const first: Listener<Events[N]> = (event) => {
      // an event that began before it was taken away, and waits for a listener before it, comes to it too
      if (isDone) return undefined
      isDone = true
      this.remove(name, first)
      return listener(event)
    }
    originals.set(first, listener)
    this.on(name, first)
  }

  /** Takes away the last one added of this listener, or all listeners of the event. */
  off<N extends keyof Events>(name: N, listener?: Listener<Events[N]>): void {
    if (listener === undefined) this.listeners.delete(name)
    else this.remove(name, listener)
  }

  private remove<N extends keyof Events>(name: N, listener: Listener<Events[N]>): void {
    const listeners = this.listeners.get(name) ?? []
    const at = listeners.findLastIndex((one) => one === listener || originals.get(one) === listener)
    if (at === -1) return
    if (listeners.length === 1) this.listeners.delete(name)
    else this.listeners.set(name, listeners.toSpliced(at, 1))
  }

  has(name: keyof Events): boolean {
    return this.listeners.has(name)
  }

  /** Calls the listeners; whether all did well, by a promise if one of them takes its time. */
  emit<N extends keyof Events>(name: N, event: Events[N]): boolean | Promise<boolean> {
    // a listener was added by its name, and so takes the events of that name
    const listeners = this.listeners.get(name) as ReadonlyArray<Listener<Events[N]>> | undefined
    return listeners === undefined ? true : this.call(name, event, listeners, 0, true)
  }

  private call<N extends keyof Events>(
    name: N,
    event: Events[N],
    listeners: ReadonlyArray<Listener<Events[N]>>,
    from: number,
    isWell: boolean
  ): boolean | Promise<boolean> {
    let well = isWell
    for (let i = from; i < listeners.length; i++) {
      try {
        const result = listeners[i]!(event)
        // a listener that gives back what a send gave it, which did not wait
        if (result === settled) continue
        if (isThenable(result)) {
          return Promise.resolve(result).then(
            () => this.call(name, event, listeners, i + 1, well),
            (error: unknown) => {
              this.failed(name, error, event)
              return this.call(name, event, listeners, i + 1, false)
            }
          )
        }
      } catch (error) {
        this.failed(name, error, event)
        well = false
      }
    }
    return well
  }
}

/** The listener that `once` was given, so that `off` finds it. */
const originals = new WeakMap<Listener<never>, Listener<never>>()

/** Not every caller has types. */
const checkListener = (name: PropertyKey, listener: unknown): void => {
  if (typeof listener !== "function") throw invalid(`Listener of ${String(name)}`, "a function", listener)
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === "object" && value !== null && "then" in value && typeof value.then === "function"
