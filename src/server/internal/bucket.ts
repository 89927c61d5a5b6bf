/**
 * A token bucket: it holds what may come at once, and fills at a rate. What is in it is reckoned when it is asked for, so a full one
 * need not be remembered.
 */

export interface Bucket {
  /** What was left in it at the time; below zero is what was taken in advance. */
  tokens: number
  /** In milliseconds. */
  time: number
}

interface Rate {
  readonly perSecond: number
  /** What a full one holds. */
  readonly burst: number
}

/** What is in it now. */
export const level = ({ time, tokens }: Bucket, { burst, perSecond }: Rate, now: number): number =>
  Math.min(burst, tokens + (Math.max(0, now - time) / 1000) * perSecond)

/** In how many whole seconds there is one, for `Retry-After`. To the millisecond, so that 4.0000000001 are 4. */
export const secondsToOne = (tokens: number, { perSecond }: Rate): number =>
  Math.max(1, Math.ceil(Math.round(((1 - tokens) / perSecond) * 1000) / 1000))
