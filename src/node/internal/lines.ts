/**
 * Lines that are added to a file, which any number of processes may share: a log. They are written together, and the last ones when
 * the scope ends. The standard output is such a file, too, which has each line in a write of its own: a pipe that processes share
 * keeps short writes in one piece, and no others. While the file cannot be written, lines are lost: the log says when that begins, and how many there were when it is
 * over, or when the scope ends.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { closeSync, writeSync } from "node:fs"
import { openToAppend } from "./appending.ts"
import { codeOf } from "./codeOf.ts"

/** Lines go to the file together, this often, */
const gathered = 200
/** and at once when so many wait. */
const maxWaiting = 1000

const newline = 10

/** The path of a file, or the standard output. */
export type File = string | typeof stdout
export const stdout = 1

/** How many lines end in these bytes. */
const endsIn = (bytes: Uint8Array): number => bytes.reduce((count, byte) => (byte === newline ? count + 1 : count), 0)

/**
 * Takes a line, without its end. Fails with what the system says if the file cannot be written; `name` is what errors call it.
 */
export const make = Effect.fnUntraced(function* (
  name: string,
  file: File
): Effect.fn.Return<(line: string) => void, { readonly code: string }, Scope.Scope> {
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const shown = file === stdout ? "on stdout" : file
  // what the process was given as its output is not opened: a socket, which systemd gives, cannot be
  const open = () => (file === stdout ? stdout : openToAppend(file))
  const close = (fd: number) => {
    if (fd !== stdout) closeSync(fd)
  }
  yield* Effect.try({ try: () => close(open()), catch: (cause) => ({ code: codeOf(cause) }) })
  let waiting: Array<string> = []
  let isFailing = false
  let lost = 0
  /** The file ends in a piece of a line that is lost. */
  let isTorn = false
  let timer: NodeJS.Timeout | undefined = undefined

  const failed = (cause: unknown): void => {
    if (!isFailing) runFork(Effect.logError(`cannot write the ${name} ${shown}: ${codeOf(cause)}`))
    isFailing = true
  }
  const succeeded = (): void => {
    if (isFailing) runFork(Effect.logWarning(`The ${name} ${shown} is written again; ${lost} lines are lost`))
    isFailing = false
    lost = 0
  }

  /** Opens the file anew, so that it can be rotated at any time. */
  const write = (lines: string): void => {
    const bytes = Buffer.from(isTorn ? `\n${lines}` : lines)
    const start = isTorn ? 1 : 0
    let done = 0
    try {
      const fd = open()
      try {
        // a disk that gets full, or a pipe, takes a part
        while (done < bytes.length) done += writeSync(fd, bytes, done)
      } finally {
        close(fd)
      }
      succeeded()
    } catch (cause) {
      failed(cause)
      lost += endsIn(bytes.subarray(Math.max(done, start)))
    }
    if (done > 0) isTorn = bytes[done - 1] !== newline
  }

  const flush = (): void => {
    clearTimeout(timer)
    timer = undefined
    if (waiting.length === 0) return
    const lines = file === stdout ? waiting : [waiting.join("")]
    waiting = []
    lines.forEach(write)
  }

  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      flush()
      if (lost > 0) runFork(Effect.logWarning(`The end of the ${name} ${shown} is missing; lost lines: ${lost}`))
    })
  )
  return (line) => {
    waiting.push(`${line}\n`)
    if (waiting.length >= maxWaiting) flush()
    else timer ??= setTimeout(flush, gathered)
  }
})
