/**
 * Sources of tokens on this machine: a file of them or a directory of such files, a directory with a file for each token, and
 * a directory of unix sockets.
 *
 * No token leads out of its directory: a name with a separator, a control character or a leading dot is not a token there, and
 * neither is a symbolic link that leads out of it.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import { hash } from "node:crypto"
import { lstat, readdir, stat } from "node:fs/promises"
import { duration, integer, number } from "../protocol/internal/option.ts"
import { isName } from "../proxy/internal/tokens.ts"
import * as TokenTable from "../proxy/internal/tokenTable.ts"
import type { Destination } from "../proxy/Router.ts"
import { parseAny, UnixTarget } from "../proxy/Target.ts"
import { TokenSource, TokenSourceError } from "../proxy/TokenSource.ts"
import { type Followed, follow } from "../tls/internal/follow.ts"
import { codeOf } from "./internal/codeOf.ts"
import * as Within from "./internal/within.ts"

type Source = TokenSource["Service"]

/**
 * Which file of tokens, or directory of such files. Only `path` has no default.
 *
 * @category models
 * @since 0.1.0
 */
export interface FileOptions {
  /**
   * A file of lines `TOKEN: host:port`, or a directory of such files. Empty lines are left out, and those that begin with `#`;
   * a token may have several targets with commas between them, which are tried in their order. A file whose name ends in
   * `.json` is an object from token to `"host:port"`, `{ "host": ..., "port": ... }` or a list of those.
   */
  readonly path: string
  /** How often, at most, a look-up sees whether the files have changed; `"Infinity"` reads them once. Default: 1 second. */
  readonly interval?: Duration.Input | undefined
  /** The most bytes of a file. Default: 16 MiB. */
  readonly maxSize?: number | undefined
  /** The most files of a directory. Default: 1000. */
  readonly maxFiles?: number | undefined
}

/** Tokens are kept and compared as what they are hashed to, which tells nothing of how much of one was right. */
const digest = (token: string): string => hash("sha256", token, "base64")

interface Loaded {
  readonly at: string
  readonly followed: Followed
  table: TokenTable.Table
}

interface Found {
  readonly name: string
  readonly at: string
  /** Whether it may be a symbolic link. */
  readonly links: "follow" | "refuse"
}

type Tell = (error: TokenSourceError) => Effect.Effect<void, TokenSourceError>

const tell: Tell = ({ message }) =>
  Effect.logError(`Tokens were not read anew, those of before go on serving: ${message}`)

const failed = (message: string) => new TokenSourceError({ message })

const load = Effect.fnUntraced(function* (
  { at, links, name }: Found,
  maxSize: number
): Effect.fn.Return<TokenTable.Table, TokenSourceError> {
  const text = yield* Within.read(at, maxSize, links)
  if (text === undefined) return yield* failed(`there is no file ${at}`)
  const table = (name.endsWith(".json") ? TokenTable.readObject : TokenTable.readLines)(text, parseAny)
  if (Result.isFailure(table)) return yield* failed(`${at} cannot be used: ${table.failure}`)
  return new Map(Array.from(table.success, ([token, destination]) => [digest(token), destination]))
})

/** What there is of a file now: what was read of it before, if it is the same or cannot be used, or else what is in it. */
const loadAnew = (
  found: Found,
  before: Loaded | undefined,
  maxSize: number,
  tell: Tell
): Effect.Effect<Loaded, TokenSourceError> => {
  const { at } = found
  const loaded =
    before?.at === at ? before : { at, followed: follow([at]), table: before?.table ?? new Map<string, Destination>() }
  const read = Effect.map(load(found, maxSize), (table) => void (loaded.table = table))
  return Effect.as(loaded.followed.again(read, tell), loaded)
}

/** The files that are meant by the path. */
const list = Effect.fnUntraced(function* (
  path: string,
  maxFiles: number
): Effect.fn.Return<ReadonlyArray<Found>, TokenSourceError> {
  const isDirectory = yield* Within.orAbsent(path, async () => (await stat(path)).isDirectory())
  if (isDirectory === undefined) return yield* failed(`there is no file ${path}`)
  if (!isDirectory) return [{ name: path, at: path, links: "follow" }]
  const entries = (yield* Within.orAbsent(path, () => readdir(path, { withFileTypes: true }))) ?? []
  const names = entries.filter((entry) => !entry.isDirectory() && isName(entry.name)).map(({ name }) => name)
  if (names.length > maxFiles) {
    return yield* failed(`${path} cannot be used: it has ${names.length} files, and ${maxFiles} are the most`)
  }
  const found = yield* Effect.forEach(
    names.toSorted(),
    (name) =>
      Effect.map(Within.find(path, name), (at): ReadonlyArray<Found> =>
        at === undefined ? [] : [{ name, at, links: "refuse" }]
      ),
    { concurrency: 16 }
  )
  return found.flat()
})

/**
 * The tokens of a file, or of all files of a directory; if a token is in two files, the first file by name counts. At first all
 * files have to be good. If one cannot be read or used later, that is logged as an error, once, and its previous content stays in
 * use; the tokens of a file that is removed from the directory are gone.
 *
 * @category constructors
 * @since 0.1.0
 */
export const file = Effect.fnUntraced(function* (options: FileOptions): Effect.fn.Return<Source, TokenSourceError> {
  const { path } = options
  const maxFiles = integer("maxFiles", options.maxFiles, 1000)
  const maxSize = number("maxSize", options.maxSize, 16 * 1024 * 1024)
  const interval = duration("interval", options.interval, "1 second")
  const semaphore = yield* Semaphore.make(1)
  let files: ReadonlyMap<string, Loaded> = new Map()
  let lookedAt = -Infinity
  /** What was wrong with the path at the last look. */
  let told: string | undefined

  const update = Effect.fnUntraced(function* (onBroken: Tell) {
    const next = new Map<string, Loaded>()
    for (const found of yield* list(path, maxFiles)) {
      next.set(found.name, yield* loadAnew(found, files.get(found.name), maxSize, onBroken))
    }
    files = next
  })

  const look = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    if (now - lookedAt < interval) return
    const failure = yield* Effect.match(update(tell), { onSuccess: () => undefined, onFailure: (error) => error })
    if (failure !== undefined && failure.message !== told) yield* tell(failure)
    told = failure?.message
    // at its end: who looks while it goes on waits for it
    lookedAt = now
  })

  yield* update(Effect.fail)
  if (Array.from(files.values()).every(({ table }) => table.size === 0)) {
    yield* Effect.logWarning(`There is no token in ${path}: as long as that is so, none leads anywhere`)
  }
  lookedAt = yield* Clock.currentTimeMillis

  return {
    lookup: (token) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const find = Effect.sync(() => {
          const key = digest(token)
          for (const { table } of files.values()) {
            const destination = table.get(key)
            if (destination !== undefined) return Option.some(destination)
          }
          return Option.none()
        })
        return now - lookedAt < interval ? find : Effect.andThen(semaphore.withPermit(look), find)
      })
  }
})

/**
 * Which directory a token is looked up in.
 *
 * @category models
 * @since 0.1.0
 */
export interface DirectoryOptions {
  /** The directory. */
  readonly path: string
}

const needDirectory = Effect.fnUntraced(function* (path: string) {
  const isDirectory = yield* Within.orAbsent(path, async () => (await stat(path)).isDirectory())
  if (isDirectory !== true) return yield* failed(`there is no directory ${path}`)
})

/** The most bytes of a file with the target of one token. */
const maxTarget = 4096

/**
 * A directory with a file for each token. The file's name is the token, and it has the target: `host:port`, or JSON as in
 * {@link FileOptions}. It is read at each look-up. On a file system that ignores case, tokens ignore it too.
 *
 * @category constructors
 * @since 0.1.0
 */
export const directory = Effect.fnUntraced(function* ({
  path
}: DirectoryOptions): Effect.fn.Return<Source, TokenSourceError> {
  yield* needDirectory(path)
  // the paths of its files have tokens in them
  const unreadable = ({ cause }: TokenSourceError) =>
    failed(`a file of ${path} cannot be used: ${cause === undefined ? "it is not a short text" : codeOf(cause)}`)
  return {
    lookup: Effect.fnUntraced(function* (token): Effect.fn.Return<Option.Option<Destination>, TokenSourceError> {
      const at = isName(token) ? yield* Within.find(path, token) : undefined
      if (at === undefined) return Option.none()
      const text = yield* Effect.mapError(Within.read(at, maxTarget, "refuse"), unreadable)
      if (text === undefined) return Option.none()
      const destination = TokenTable.readAnswer(text, parseAny)
      if (Result.isFailure(destination))
        return yield* failed(`a file of ${path} cannot be used: ${destination.failure}`)
      return Option.some(destination.success)
    })
  }
})

/**
 * A directory of unix sockets: a token is the name of one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const unixDirectory = Effect.fnUntraced(function* ({
  path
}: DirectoryOptions): Effect.fn.Return<Source, TokenSourceError> {
  yield* needDirectory(path)
  return {
    lookup: Effect.fnUntraced(function* (token): Effect.fn.Return<Option.Option<Destination>, TokenSourceError> {
      const at = isName(token) ? yield* Within.find(path, token) : undefined
      if (at === undefined) return Option.none()
      const stats = yield* Within.orAbsent(`a socket of ${path}`, () => lstat(at))
      return stats?.isSocket() === true ? Option.some(new UnixTarget({ path: at })) : Option.none()
    })
  }
})

/**
 * {@link file} as a layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFile = (options: FileOptions): Layer.Layer<TokenSource, TokenSourceError> =>
  Layer.effect(TokenSource)(file(options))

/**
 * {@link directory} as a layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerDirectory = (options: DirectoryOptions): Layer.Layer<TokenSource, TokenSourceError> =>
  Layer.effect(TokenSource)(directory(options))

/**
 * {@link unixDirectory} as a layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerUnixDirectory = (options: DirectoryOptions): Layer.Layer<TokenSource, TokenSourceError> =>
  Layer.effect(TokenSource)(unixDirectory(options))
