/**
 * Files that are read again when they change: the one rule by which everything here that follows files knows that they have.
 *
 * What `stat` says tells one state of a file from the next. But the clock of a file system ticks, every few milliseconds: what is
 * written within the tick in which it was read looks the same if it is as long. So a state is read again at each look until one
 * comes that is a tick later than the first.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { BigIntStats } from "node:fs"
import { stat } from "node:fs/promises"

/** Longer than a tick, in milliseconds. */
export const tick = 50

const stampOf = ({ ctimeNs, dev, ino, mtimeNs, size }: BigIntStats): string => [dev, ino, size, mtimeNs, ctimeNs].join()

/** Also a rename in its place, or of a link on the way, is another state; and so is that it cannot be looked at. */
const look = (paths: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.promise(async () => {
    const seen = await Promise.all(
      paths.map((path) => stat(path, { bigint: true }).then(stampOf, (cause: unknown) => String(cause)))
    )
    return seen.join("\n")
  })

interface Seen {
  readonly stamp: string
  /** When it was seen first. It was so before that: the time is asked for after the look. */
  readonly since: number
  /** Whether it was read when no other one could look the same. */
  readonly isSettled: boolean
}

export interface Followed {
  /** Reads them for the first time. */
  readonly first: <A, E, R>(read: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Reads them if they may say something else than before, or for the first time. A failure is told once for each state. */
  readonly again: <E extends { readonly message: string }, R, E2 = never>(
    read: Effect.Effect<void, E, R>,
    tell: (error: E) => Effect.Effect<void, E2>
  ) => Effect.Effect<void, E2, R>
}

export const follow = (paths: ReadonlyArray<string>): Followed => {
  let seen: Seen | undefined
  let told: string | undefined

  /** The state that is to be read now, if one is. It is looked at before: what changes in between is another state. */
  const next = Effect.flatMap(look(paths), (stamp) =>
    Effect.map(Clock.currentTimeMillis, (now): Seen | undefined => {
      if (seen?.stamp !== stamp) return { stamp, since: now, isSettled: false }
      return seen.isSettled ? undefined : { ...seen, isSettled: now - seen.since >= tick }
    })
  )

  return {
    first: (read) =>
      Effect.flatMap(next, (state) =>
        Effect.tap(
          read,
          Effect.sync(() => void (seen = state))
        )
      ),
    again: Effect.fnUntraced(function* (read, tell) {
      const state = yield* next
      if (state === undefined) return
      yield* Effect.catch(read, (error) => {
        const what = `${state.stamp}\n${error.message}`
        if (what === told) return Effect.void
        told = what
        return tell(error)
      })
      // a reader that was interrupted has read nothing
      seen = state
    })
  }
}
