/**
 * The thread that compares passwords with hashes, one after the other: bcrypt takes a tenth of a second of a processor for each,
 * in which no connection would be served.
 */
import { compareSync } from "bcryptjs"
import { parentPort } from "node:worker_threads"

export interface Job {
  readonly id: number
  readonly password: string
  readonly hash: string
}

export interface Done {
  readonly id: number
  readonly isRight: boolean
}

parentPort?.on("message", ({ hash, id, password }: Job) => {
  const done: Done = { id, isRight: compareSync(password, hash) }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port of a worker has none
  parentPort?.postMessage(done)
})
