/**
 * How many wrong passwords have come from a guesser: a bucket for each, bounded in number. One that has filled again is forgotten.
 */
import * as Bucket from "./bucket.ts"

export interface WrongPasswords {
  /** In how many seconds the guesser may try again, if it may not now. */
  readonly waitOf: (guesser: string, now: number) => number | undefined
  readonly count: (guesser: string, now: number) => void
  /** How many guessers are remembered. */
  readonly size: () => number
}

/** So many a minute for each guesser, at least one; of more than `max` those that were wrong the longest ago are forgotten. */
export const make = (perMinute: number, max: number): WrongPasswords => {
  const burst = Math.max(1, perMinute)
  const rate = { perSecond: burst / 60, burst }
  /** Who was wrong last is at the end. */
  const buckets = new Map<string, Bucket.Bucket>()
  const levelOf = (guesser: string, now: number): number => {
    const bucket = buckets.get(guesser)
    return bucket === undefined ? burst : Bucket.level(bucket, rate, now)
  }
  return {
    size: () => buckets.size,
    waitOf: (guesser, now) => {
      const tokens = levelOf(guesser, now)
      return tokens >= 1 ? undefined : Bucket.secondsToOne(tokens, rate)
    },
    count: (guesser, now) => {
      if (burst === Infinity) return
      const tokens = levelOf(guesser, now) - 1
      buckets.delete(guesser)
      buckets.set(guesser, { tokens, time: now })
      for (const [oldest, bucket] of buckets) {
        if (buckets.size <= max && Bucket.level(bucket, rate, now) < burst) break
        buckets.delete(oldest)
      }
    }
  }
}
