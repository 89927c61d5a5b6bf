/**
 * How many wrong passwords have come from an address: a bucket for each, bounded in number. One that has filled again is forgotten.
 */
import * as Bucket from "./bucket.ts"

export interface WrongPasswords {
  /** In how many seconds the address may try again, if it may not now. */
  readonly waitOf: (address: string, now: number) => number | undefined
  readonly count: (address: string, now: number) => void
  /** How many addresses are remembered. */
  readonly size: () => number
}

/** So many a minute for each of the addresses, at least one; of more than `maxAddresses` those that were wrong the longest ago are forgotten. */
export const make = (perMinute: number, maxAddresses: number): WrongPasswords => {
  const burst = Math.max(1, perMinute)
  const rate = { perSecond: burst / 60, burst }
  /** Who was wrong last is at the end. */
  const buckets = new Map<string, Bucket.Bucket>()
  const levelOf = (address: string, now: number): number => {
    const bucket = buckets.get(address)
    return bucket === undefined ? burst : Bucket.level(bucket, rate, now)
  }
  return {
    size: () => buckets.size,
    waitOf: (address, now) => {
      if (!buckets.has(address)) return undefined
      const tokens = levelOf(address, now)
      return tokens >= 1 ? undefined : Bucket.secondsToOne(tokens, rate)
    },
    count: (address, now) => {
      if (burst === Infinity) return
      const tokens = levelOf(address, now) - 1
      buckets.delete(address)
      buckets.set(address, { tokens, time: now })
      for (const [oldest, bucket] of buckets) {
        if (buckets.size <= maxAddresses && Bucket.level(bucket, rate, now) < burst) break
        buckets.delete(oldest)
      }
    }
  }
}
