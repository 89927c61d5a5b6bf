/**
 * Files by their name in a directory, and nothing outside of it: a name has no separator, and what it is a symbolic link to
 * lies in the directory as well (so that what Kubernetes mounts, links within one directory, can be read).
 */
import * as Effect from "effect/Effect"
import { constants } from "node:fs"
import { type FileHandle, open, realpath } from "node:fs/promises"
import { join, sep } from "node:path"
import { TokenSourceError } from "../../proxy/TokenSource.ts"
import { codeOf } from "./codeOf.ts"

// the last is what Linux says of a socket that is opened as a file
const absent = new Set(["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "ENXIO"])

/** `undefined` where nothing is, and a failure for everything else. */
export const orAbsent = <A>(what: string, attempt: () => Promise<A>): Effect.Effect<A | undefined, TokenSourceError> =>
  Effect.tryPromise({
    try: attempt,
    catch: (cause) => new TokenSourceError({ message: `${what} cannot be read (${codeOf(cause)})`, cause })
  }).pipe(Effect.catch((error) => (absent.has(codeOf(error.cause)) ? Effect.succeed(undefined) : Effect.fail(error))))

/** The real path of a name in a directory, which is in that directory; the name is one that `isName` holds for. */
export const find = (directory: string, name: string): Effect.Effect<string | undefined, TokenSourceError> =>
  orAbsent(`A file of ${directory}`, async () => {
    const base = await realpath(directory)
    const path = await realpath(join(base, name))
    return path.startsWith(base.endsWith(sep) ? base : base + sep) ? path : undefined
  })

const decoder = new TextDecoder("utf-8", { fatal: true })

const { O_NOFOLLOW = 0, O_NONBLOCK = 0, O_RDONLY } = constants

interface Content {
  readonly text?: string
  readonly wrong?: string
}

const readFile = async (file: FileHandle, maxSize: number): Promise<Content> => {
  const stats = await file.stat({ bigint: true })
  if (!stats.isFile()) return {}
  if (stats.size > maxSize) return { wrong: `it has more than ${maxSize} bytes` }
  // one more, to see that it has not grown since
  const { buffer, bytesRead } = await file.read(new Uint8Array(Number(stats.size) + 1))
  if (BigInt(bytesRead) !== stats.size) return { wrong: "it changes while it is read" }
  try {
    return { text: decoder.decode(buffer.subarray(0, bytesRead)) }
  } catch {
    return { wrong: "it is not UTF-8" }
  }
}

/**
 * Reads a regular file; everything else counts as absent, so that a pipe or a device there does not block. `links` is whether the
 * path may be a symbolic link.
 */
export const read = (
  path: string,
  maxSize: number,
  links: "follow" | "refuse"
): Effect.Effect<string | undefined, TokenSourceError> =>
  Effect.flatMap(
    orAbsent(path, async () => {
      // Windows has neither flag
      const file = await open(path, O_RDONLY | O_NONBLOCK | (links === "refuse" ? O_NOFOLLOW : 0))
      try {
        return await readFile(file, maxSize)
      } finally {
        await file.close()
      }
    }),
    (content) =>
      content?.wrong === undefined
        ? Effect.succeed(content?.text)
        : Effect.fail(new TokenSourceError({ message: `${path} cannot be used: ${content.wrong}` }))
  )
