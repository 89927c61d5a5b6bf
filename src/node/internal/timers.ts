/**
 * Timers of Node, for times that may be longer than one takes, and for what a peer has to do within a time.
 */

/** The longest time that a timer takes, in milliseconds; beyond it Node would fire at once. */
export const maxTimer = 2 ** 31 - 1

/**
 * Calls when so many milliseconds are over, unless it is stopped before; never, where they are `Infinity`. A process that did something
 * else for as long (or was itself stopped) first reads what came meanwhile: Node's timers come before that, and an immediate behind it.
 */
export class Timer {
  private readonly timeout: NodeJS.Timeout | undefined
  private immediate: NodeJS.Immediate | undefined = undefined

  constructor(millis: number, late: () => void) {
    const over = () => {
      this.immediate = setImmediate(late)
    }
    this.timeout = millis === Infinity ? undefined : setTimeout(over, Math.min(millis, maxTimer))
  }

  stop(): void {
    clearTimeout(this.timeout)
    clearImmediate(this.immediate)
  }
}
