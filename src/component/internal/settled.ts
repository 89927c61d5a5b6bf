/**
 * The promise of what is done already. It is one for all, so that who is given it knows without waiting.
 */
export const settled: Promise<void> = Promise.resolve()
