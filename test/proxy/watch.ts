/**
 * Waiting for a condition: never for a time. `until` looks again whenever something changed, and dies with what was awaited,
 * and what there was instead, when the bound has passed. The bound is of the machine's clock, so it holds under `TestClock`; a time
 * in which this process did nothing counts little of it, since what is awaited may have come by then.
 */
import * as Effect from "effect/Effect"

/** In so many parts a bound passes, each of which counts once, however late it is told. */
const parts = 20

/** The bound where a test names none: far above what anything here takes. */
export const defaultBound = 8000

type Look<A> = () => A | undefined | false

const late = (what: string, millis: number, found: string) =>
  Effect.die(new Error(`waited ${millis} ms for ${what}${found === "" ? "" : `; there is: ${found}`}`))

export class Watch {
  readonly #waiters = new Set<() => void>()
  readonly #describe: () => string

  constructor(describe: () => string = () => "") {
    this.#describe = describe
  }

  /** Something may be true now that was not before. */
  changed(): void {
    for (const look of this.#waiters) look()
  }

  until<A>(what: string, look: Look<A>, millis = defaultBound): Effect.Effect<A> {
    return Effect.callback<A>((resume) => {
      const done = () => {
        clearInterval(timer)
        this.#waiters.delete(attempt)
      }
      const attempt = () => {
        const found = look()
        if (found === undefined || found === false) return
        done()
        resume(Effect.succeed(found))
      }
      let left = parts
      const timer = setInterval(() => {
        if (--left > 0) return
        done()
        resume(late(what, millis, this.#describe()))
      }, millis / parts)
      this.#waiters.add(attempt)
      attempt()
      return Effect.sync(done)
    })
  }
}

/** The same for what nobody announces: it looks every few milliseconds. */
export const eventually = <A>(what: string, look: Look<A>, millis = defaultBound): Effect.Effect<A> =>
  Effect.suspend(() => {
    const watch = new Watch()
    const interval = setInterval(() => watch.changed(), 5)
    return Effect.ensuring(
      watch.until(what, look, millis),
      Effect.sync(() => clearInterval(interval))
    )
  })

/** A time that is itself the subject of a test, such as how long a reader is slow; for all else there is `until`. */
export const pass = (millis: number): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const timer = setTimeout(() => resume(Effect.void), millis)
    return Effect.sync(() => clearTimeout(timer))
  })

/** How long it took, in milliseconds of the machine's clock. */
export const timed = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<readonly [A, number], E, R> =>
  Effect.suspend(() => {
    const start = performance.now()
    return Effect.map(self, (value) => [value, performance.now() - start] as const)
  })
