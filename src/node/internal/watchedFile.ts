/**
 * What a file says, read again when it changes. It has to be good at first. If it later cannot be read or used, that is logged and the
 * value of before stays.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { constants } from "node:fs"
import { open } from "node:fs/promises"
import { duration } from "../../protocol/internal/option.ts"
import { follow } from "../../tls/internal/follow.ts"
import { FileError } from "../NodeFileError.ts"

export interface Options<A> {
  readonly file: string
  /** How often the file is looked at. */
  readonly interval: Duration.Input | undefined
  /** What it is, for the log: `The users`. */
  readonly what: string
  readonly load: (text: string) => Effect.Effect<A, { readonly message: string }>
}

export interface Watched<A> {
  readonly current: () => A
  readonly reload: Effect.Effect<void, FileError>
}

/** The largest file, in bytes. */
const maxSize = 16 * 1024 * 1024

// Windows does not have the second
const { O_NONBLOCK = 0, O_RDONLY } = constants

const readText = async (file: string): Promise<string> => {
  // a pipe that nobody writes to would hold up whoever opens it, and the end of the process
  const handle = await open(file, O_RDONLY | O_NONBLOCK)
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) throw new Error("it is no regular file")
    if (stat.size > maxSize) throw new Error(`it has more than ${maxSize} bytes`)
    return new TextDecoder("utf-8", { fatal: true }).decode(await handle.readFile())
  } finally {
    await handle.close()
  }
}

const reasonOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  if (!("code" in cause)) return cause.message
  return cause.code === "ERR_ENCODING_INVALID_ENCODED_DATA" ? "it is not in UTF-8" : String(cause.code)
}

export const watchedFile = Effect.fnUntraced(function* <A>(
  options: Options<A>
): Effect.fn.Return<Watched<A>, FileError, Scope.Scope> {
  const { file, load, what } = options
  const interval = duration("interval", options.interval, "5 seconds", "above 0")
  const fail = (reason: string) => new FileError({ file, reason })
  const read = Effect.tryPromise({ try: () => readText(file), catch: (cause) => fail(reasonOf(cause)) })
  const make = (text: string) => Effect.mapError(load(text), ({ message }) => fail(message))
  const followed = follow([file])
  let known = yield* followed.first(read)
  let value = yield* make(known)

  // one at a time: who has read first is not to be done last
  const semaphore = yield* Semaphore.make(1)
  const renew = (isWanted: (text: string) => boolean) =>
    semaphore.withPermit(
      Effect.gen(function* () {
        const text = yield* read
        if (!isWanted(text)) return false
        known = text
        value = yield* make(text)
        return true
      })
    )
  const again = Effect.flatMap(
    renew((text) => text !== known),
    (isNew) => (isNew ? Effect.logInfo(`${what} of ${file} were read anew`) : Effect.void)
  )
  const reload = Effect.asVoid(renew(() => true))
  const watch = followed.again(again, ({ message }) =>
    Effect.logError(`${what} were not read anew, those of before stay: ${message}`)
  )
  if (interval !== Infinity) {
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(interval), watch)))
  }
  return { current: () => value, reload }
})
