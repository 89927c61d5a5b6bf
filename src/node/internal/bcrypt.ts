/**
 * bcrypt in a thread of its own, which starts with the first password that is checked and ends with the scope. If the thread
 * dies, the checks that it was asked for fail with `unavailable`, since nobody was wrong, and the next one starts a new thread.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Worker } from "node:worker_threads"
import type { Fault } from "../../server/AccessPolicy.ts"
import type { Done, Job } from "./bcryptWorker.ts"

/** It lies beside this file, in TypeScript as in what is made of it. */
const file = new URL(import.meta.url.endsWith(".ts") ? "./bcryptWorker.ts" : "./bcryptWorker.js", import.meta.url)

type Compare = (password: string, hash: string) => Effect.Effect<boolean, Fault>

const ended = Effect.fail<Fault>({ kind: "unavailable", reason: "the thread that checks passwords ended" })

export const make: Effect.Effect<Compare, never, Scope.Scope> = Effect.gen(function* () {
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const waiting = new Map<number, (answer: Effect.Effect<boolean, Fault>) => void>()
  let worker: Worker | undefined
  let lastId = 0

  const fail = () => {
    for (const answer of waiting.values()) answer(ended)
    waiting.clear()
  }
  const lose = (cause: unknown) => {
    worker = undefined
    fail()
    runFork(Effect.logError("The thread that checks passwords ended", cause))
  }
  const start = (): Worker => {
    const started = new Worker(file)
    started.unref()
    started.on("message", ({ id, isRight }: Done) => {
      waiting.get(id)?.(Effect.succeed(isRight))
      waiting.delete(id)
    })
    started.once("error", lose)
    return started
  }

  yield* Effect.addFinalizer(() =>
    Effect.promise(async () => {
      await worker?.terminate()
      fail()
    })
  )
  return (password, hash) =>
    Effect.callback<boolean, Fault>((resume) => {
      const job: Job = { id: ++lastId, password, hash }
      waiting.set(job.id, resume)
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker has none
      ;(worker ??= start()).postMessage(job)
    })
})
