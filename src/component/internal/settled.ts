/** The promise of a call that is done already. There is only one, so that a caller recognizes it without waiting. */
export const settled: Promise<void> = Promise.resolve()
