/**
 * A linear congruential generator: the same numbers from 0 to 2^32 - 1 in every run and for every server.
 */
export const numbers = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state
  }
}
