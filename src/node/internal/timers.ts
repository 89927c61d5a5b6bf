/**
 * Timers over Node's: for times longer than one of Node's can be, and for the deadlines of peers.
 */

/** The longest time that a timer takes, in milliseconds; beyond it Node would fire at once. */
export const maxTimer = 2 ** 31 - 1

/** A time is counted in so many parts, of which a stall uses up at most one. */
const parts = 4

/**
 * Calls `late` after so many milliseconds, unless it is stopped before; never, if they are `Infinity`. For peer deadlines: if the process
 * was busy or stopped, the stall uses up at most a quarter of the time, and data that arrived meanwhile is read first. In Node's event
 * loop timers run before reads, an immediate runs after them, and a second immediate after what those reads cause.
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
