/**
 * Timers of Node, for times that may be longer than one takes.
 */

/** The longest time that a timer takes, in milliseconds; beyond it Node would fire at once. */
export const maxTimer = 2 ** 31 - 1

/** Calls when so many milliseconds are over; never, where they are `Infinity`. */
export const startTimer = (millis: number, late: () => void): NodeJS.Timeout | undefined =>
  millis === Infinity ? undefined : setTimeout(late, Math.min(millis, maxTimer))
