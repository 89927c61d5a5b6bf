/**
 * Turns of one connection: its events are given one after the other, each when the listeners of the one before are done.
 */

/** How many tasks may wait for their turn that nobody waits for: log lines, of which the later ones are dropped. */
const maxWaiting = 1024

export class Turns {
  private isBusy = false
  private waiting: Array<() => void> | undefined

  /** Whether a listener has its turn now. */
  get busy(): boolean {
    return this.isBusy
  }

  /** Begins a turn, if nobody has it; `leave` ends it. Cheaper than `take` for what happens often. */
  enter(): boolean {
    if (this.isBusy) return false
    this.isBusy = true
    return true
  }

  /** Does something when its turn comes, which may be at once. */
  take<A>(task: () => A | Promise<A>): A | Promise<A> {
    if (this.isBusy) {
      return new Promise<A>((resolve, reject) => {
        ;(this.waiting ??= []).push(() => {
          // it fails only by a fault of ours, which is not to be lost
          try {
            resolve(this.run(task))
          } catch (defect) {
            reject(defect as Error)
          }
        })
      })
    }
    return this.run(task)
  }

  /** The same for a task that nobody waits for, which is dropped if too many wait. */
  offer(task: () => unknown): void {
    if (this.waiting !== undefined && this.waiting.length >= maxWaiting) return
    void this.take(task)
  }

  private run<A>(task: () => A | Promise<A>): A | Promise<A> {
    this.isBusy = true
    let result: A | Promise<A>
    try {
      result = task()
    } catch (defect) {
      this.leave()
      throw defect
    }
    if (!(result instanceof Promise)) {
      this.leave()
      return result
    }
    return result.finally(() => this.leave())
  }

  leave(): void {
    this.isBusy = false
    const next = this.waiting?.shift()
    if (this.waiting?.length === 0) this.waiting = undefined
    next?.()
  }
}
