/**
 * Timers of Node, for times that may be longer than one takes, and for what a peer has to do within a time.
 */

/** The longest time that a timer takes, in milliseconds; beyond it Node would fire at once. */
export const maxTimer = 2 ** 31 - 1

/** In so many parts a time is counted, of which a stall takes one at the most. */
const parts = 4

/**
 * Calls when so many milliseconds are over, unless it is stopped before; never, where they are `Infinity`. For what a peer has to do:
 * where this process did something else for long (or was itself stopped), that is a quarter of the time and no more, and what came
 * meanwhile is read before the time is up. Node's timers come before it, an immediate behind it, and another behind what it brings about.
 */
export class Timer {
  private readonly late: () => void
  private readonly part: number
  private left = parts
  private timeout: NodeJS.Timeout | undefined = undefined
  private immediate: NodeJS.Immediate | undefined = undefined

  constructor(millis: number, late: () => void) {
    this.late = late
    this.part = Math.min(Math.ceil(millis / parts), maxTimer)
    if (millis !== Infinity) this.wait()
  }

  stop(): void {
    clearTimeout(this.timeout)
    clearImmediate(this.immediate)
  }

  private wait(): void {
    this.timeout = setTimeout(() => (--this.left > 0 ? this.wait() : this.end()), this.part)
  }

  private end(): void {
    this.immediate = setImmediate(() => {
      this.immediate = setImmediate(this.late)
    })
  }
}
