/**
 * bcrypt in a thread of its own, which starts with the first password that is checked and ends with the scope. If the thread
 * dies, the checks that it was asked for count as wrong passwords, and the next check starts a new thread.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Worker } from "node:worker_threads"
import type { Done, Job } from "./bcryptWorker.ts"

/** It lies beside this file, in TypeScript as in what is made of it. */
const file = new URL(import.meta.url.endsWith(".ts") ? "./bcryptWorker.ts" : "./bcryptWorker.js", import.meta.url)

type Compare = (password: string, hash: string) => Effect.Effect<boolean>

export const make: Effect.Effect<Compare, never, Scope.Scope> = Effect.gen(function* () {
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const waiting = new Map<number, (isRight: boolean) => void>()
  let worker: Worker | undefined
  let lastId = 0

  /** What it was asked is answered no. */
  const refuse = () => {
    for (const answer of waiting.values()) answer(false)
    waiting.clear()
  }
  const lose = (cause: unknown) => {
    worker = undefined
    refuse()
    runFork(Effect.logError("The thread that checks passwords ended", cause))
  }
  const start = (): Worker => {
    const started = new Worker(file)
    started.unref()
    started.on("message", ({ id, isRight }: Done) => {
      waiting.get(id)?.(isRight)
      waiting.delete(id)
    })
    started.once("error", lose)
    return started
  }

  yield* Effect.addFinalizer(() =>
    Effect.promise(async () => {
      await worker?.terminate()
      refuse()
    })
  )
  return (password, hash) =>
    Effect.callback<boolean>((resume) => {
      const job: Job = { id: ++lastId, password, hash }
      waiting.set(job.id, (isRight) => resume(Effect.succeed(isRight)))
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker has none
      ;(worker ??= start()).postMessage(job)
    })
})
