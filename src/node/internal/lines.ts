/**
 * Lines that are added to a file, which any number of processes may share: a log. They are written together, and the last ones when
 * the scope ends. The standard output is such a file, too, which has each line in a write of its own: a pipe that processes share
 * keeps short writes in one piece, and no others. It holds little, so what it does not take at once waits for its reader, within
 * bounds, and not in Node's own stream, which would hold up the whole process. While the file cannot be written, lines are lost: the
 * log says when that begins, and how many there were when it is over, or when the scope ends.
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

/** What the standard output does not take at once is tried again this often, */
const retried = 20
/** as long as no more bytes wait for that; */
const maxHeld = 4 * 1024 * 1024
/** and so many times when the scope ends. */
const lastTries = 100

const newline = 10
const lineEnd = Buffer.of(newline)

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
  // Node's own stream has a full pipe refuse a write from then on, which would be waited for otherwise, and hold up the whole process
  if (file === stdout) void process.stdout
  const close = (fd: number) => {
    if (fd !== stdout) closeSync(fd)
  }
  yield* Effect.try({ try: () => close(open()), catch: (cause) => ({ code: codeOf(cause) }) })
  let waiting: Array<Buffer> = []
  /** How many bytes wait for the reader of the standard output, if they do. */
  let held: number | undefined = undefined
  let isFailing = false
  let lost = 0
  /** The file ends in a piece of a line that is lost. */
  let isTorn = false
  let timer: NodeJS.Timeout | undefined = undefined

  const failed = (code: string): void => {
    if (!isFailing) runFork(Effect.logError(`cannot write the ${name} ${shown}: ${code}`))
    isFailing = true
  }
  const succeeded = (): void => {
    if (isFailing) runFork(Effect.logWarning(`The ${name} ${shown} is written again; ${lost} lines are lost`))
    isFailing = false
    lost = 0
  }

  /** Opens the file anew, so that it can be rotated at any time. Gives what is to be written later. */
  const write = (lines: Buffer): Buffer | undefined => {
    const bytes = isTorn ? Buffer.concat([lineEnd, lines]) : lines
    const start = bytes.length - lines.length
    let done = 0
    let rest: Buffer | undefined = undefined
    try {
      const fd = open()
      try {
        // a disk that gets full, or a pipe, takes a part
        while (done < bytes.length) done += writeSync(fd, bytes, done)
      } finally {
        close(fd)
      }
      if (held === undefined) succeeded()
    } catch (cause) {
      const code = codeOf(cause)
      if (file === stdout && code === "EAGAIN") {
        rest = bytes.subarray(Math.max(done, start))
      } else {
        failed(code)
        lost += endsIn(bytes.subarray(Math.max(done, start)))
      }
    }
    if (done > 0) isTorn = rest === undefined && bytes[done - 1] !== newline
    return rest
  }

  const flush = (): void => {
    clearTimeout(timer)
    timer = undefined
    if (waiting.length === 0) return
    const pieces = file === stdout ? waiting : [Buffer.concat(waiting)]
    waiting = []
    for (const [i, piece] of pieces.entries()) {
      // that its reader has caught up is said behind the last
      if (i === pieces.length - 1) held = undefined
      const rest = write(piece)
      if (rest === undefined) continue
      waiting = [rest, ...pieces.slice(i + 1)]
      held = waiting.reduce((sum, { length }) => sum + length, 0)
      timer = setTimeout(flush, retried)
      return
    }
  }

  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      flush()
      for (let tries = 0; waiting.length > 0 && tries < lastTries; tries++) {
        yield* Effect.sleep(retried)
        flush()
      }
      clearTimeout(timer)
      lost += waiting.length
      if (lost > 0) runFork(Effect.logWarning(`The end of the ${name} ${shown} is missing; lost lines: ${lost}`))
    })
  )
  return (line) => {
    const bytes = Buffer.from(`${line}\n`)
    if (held !== undefined) {
      if (held + bytes.length > maxHeld) {
        failed("EAGAIN")
        lost++
        return
      }
      held += bytes.length
    }
    waiting.push(bytes)
    if (held === undefined && waiting.length >= maxWaiting) flush()
    else timer ??= setTimeout(flush, gathered)
  }
})
