/**
 * The files of a folder over HTTP, beside the WebSockets on the same port: the page that opens them, such as noVNC's. GET and
 * HEAD are answered with what effect's `HttpStaticServer` brings (types, ETag and Last-Modified with 304, ranges) and its
 * compression. It serves less of the file system:
 *
 * - nothing outside of the folder, be it by `..` in any spelling, by a backslash or NUL, or by a symbolic link;
 * - no name that begins with a dot, by its own name or through a link;
 * - no listing of a folder: a folder is its index file, or 404;
 * - files alone: no device, pipe or socket.
 *
 * Whatever is not there, or may not be seen, is the same 404. Whoever can write in the folder decides what is in it.
 *
 * @since 0.1.0
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import type * as HttpPlatform from "effect/http/HttpPlatform"
import * as HttpServer from "effect/http/HttpServer"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as HttpStaticServer from "effect/http/HttpStaticServer"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Scope from "effect/Scope"
import { constants } from "node:fs"
import { access } from "node:fs/promises"
import { duration, integer } from "../protocol/internal/option.ts"
import { maxTimer } from "./internal/timers.ts"

/**
 * Only `root` has no default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The folder. It has to be there when the files begin to be served. */
  readonly root: string
  /** What a folder is answered with, if it has it. Default: `index.html`. */
  readonly index?: string | undefined
  /** The Cache-Control header. Default: `no-cache`, which has browsers ask whether what they hold is still it. */
  readonly cacheControl?: string | undefined
  /** The most requests that are being answered at a time; more get 503. Default: 1,000. */
  readonly maxRequests?: number | undefined
  /** A client that takes nothing of an answer for this long is cut off; `"Infinity"` lets it be. Default: 30 seconds. */
  readonly stallTimeout?: Duration.Input | undefined
}

/**
 * The files cannot be served: the folder is not there, is none, or may not be read.
 *
 * @category errors
 * @since 0.1.0
 */
export class StaticFilesError extends Data.TaggedError("StaticFilesError")<{
  readonly root: string
  readonly cause?: unknown
}> {
  override get message(): string {
    return `cannot serve the files of ${this.root}: expected a folder that can be read`
  }
}

/** What answers a request. It fails with nothing: whatever is wrong is an answer. */
type App = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  never,
  HttpServerRequest.HttpServerRequest | HttpPlatform.HttpPlatform | Scope.Scope
>

const plain = (status: number, text: string, headers: Record<string, string> = {}) =>
  HttpServerResponse.text(`${text}\n`, { status, headers: { "x-content-type-options": "nosniff", ...headers } })
const notFound = plain(404, "There is no such file.")
const methodNotAllowed = plain(405, "Files are for GET and HEAD.", { allow: "GET, HEAD" })
const busy = plain(503, "The server has as many requests as it takes.", { "retry-after": "1" })
const failed = plain(500, "The file cannot be read now.")

/** What most file systems take. */
const maxNameLength = 255

/**
 * The names between the slashes of a request's path, decoded once. `undefined` for what leads out of the folder or to what is
 * hidden, and for what no file system takes.
 */
const namesOf = (url: string): ReadonlyArray<string> | undefined => {
  let path: string
  try {
    path = decodeURIComponent(url.split("?", 1)[0]!)
  } catch {
    return undefined
  }
  if (path[0] !== "/" || path.includes("\0") || path.includes("\\")) return undefined
  const names = path.slice(1).split("/")
  // a dot at the beginning is also that of ".."
  return names.some((name) => name.startsWith(".") || Buffer.byteLength(name) > maxNameLength) ? undefined : names
}

/** A file that is not there for us, as against a file system that fails. */
const isAbsent = ({ reason }: PlatformError): boolean =>
  reason._tag === "NotFound" || reason._tag === "PermissionDenied" || reason._tag === "BadResource"

/**
 * Answers requests with the files of a folder: for an application that has other routes, too.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<App, StaticFilesError, FileSystem.FileSystem | Path.Path | HttpPlatform.HttpPlatform> {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { index = "index.html" } = options
  const maxRequests = integer("maxRequests", options.maxRequests, 1000)
  const stallMillis = duration("stallTimeout", options.stallTimeout, "30 seconds", "above 0")
  const cannotServe = (cause?: unknown) => new StaticFilesError({ root: options.root, cause })
  // with its links resolved, so that a file can be compared with it
  const root = yield* Effect.mapError(fileSystem.realPath(options.root), cannotServe)
  const folder = yield* Effect.mapError(fileSystem.stat(root), cannotServe)
  if (folder.type !== "Directory") return yield* cannotServe()
  yield* Effect.tryPromise({ try: () => access(root, constants.R_OK | constants.X_OK), catch: cannotServe })
  const serveFile = yield* Effect.mapError(
    HttpStaticServer.make({ root, index, cacheControl: options.cacheControl ?? "no-cache" }),
    cannotServe
  )

  /** Whether a path is a file, or a folder, of ours once its links are followed. */
  const kindOf = Effect.fnUntraced(function* (
    names: ReadonlyArray<string>
  ): Effect.fn.Return<"File" | "Directory" | undefined, PlatformError> {
    const real = yield* fileSystem.realPath(path.join(root, ...names))
    const within = path.relative(root, real)
    if (path.isAbsolute(within) || within.split(path.sep).some((name) => name.startsWith("."))) return undefined
    const { type } = yield* fileSystem.stat(real)
    return type === "File" || type === "Directory" ? type : undefined
  })

  const isServed = (names: ReadonlyArray<string>): Effect.Effect<boolean, PlatformError> =>
    Effect.flatMap(kindOf(names), (kind) => {
      const isFolder = names.at(-1) === ""
      if (kind === "File") return Effect.succeed(!isFolder)
      if (kind === undefined) return Effect.succeed(false)
      // without the slash it is told where to go
      return isFolder ? Effect.map(kindOf([...names, index]), (kind) => kind === "File") : Effect.succeed(true)
    })

  const unreadable = (cause: PlatformError | HttpServerError.HttpServerError) =>
    Effect.as(Effect.logError("A file could not be served", cause), failed)

  let answering = 0
  /** The scope of a request ends when all of its answer is sent, or nobody takes it. */
  const enter = Effect.tap(Effect.scope, (scope) => {
    answering++
    return Scope.addFinalizer(
      scope,
      Effect.sync(() => void answering--)
    )
  })
  const answer = (request: HttpServerRequest.HttpServerRequest): App => {
    if (stallMillis !== Infinity) {
      const millis = Math.min(Math.max(1, stallMillis), maxTimer)
      NodeHttpServerRequest.toServerResponse(request).setTimeout(millis)
    }
    if (request.method !== "GET" && request.method !== "HEAD") return Effect.succeed(methodNotAllowed)
    const names = namesOf(request.url)
    if (names === undefined) return Effect.succeed(notFound)
    return isServed(names).pipe(
      Effect.flatMap((isWell) => (isWell ? serveFile : Effect.succeed(notFound))),
      Effect.catchTags({
        PlatformError: (error) => (isAbsent(error) ? Effect.succeed(notFound) : unreadable(error)),
        // gone in between
        HttpServerError: (error) =>
          error.reason._tag === "RouteNotFound" ? Effect.succeed(notFound) : unreadable(error)
      }),
      Effect.map(HttpServerResponse.setHeader("x-content-type-options", "nosniff")),
      HttpMiddleware.compression()
    )
  }
  return Effect.suspend(() =>
    answering >= maxRequests
      ? Effect.succeed(busy)
      : Effect.andThen(enter, HttpServerRequest.HttpServerRequest.use(answer))
  )
})

/**
 * Answers all requests that are no WebSocket upgrade with the files of a folder: for `NodeWebSocketServer.layerHttp`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: Options
): Layer.Layer<
  never,
  StaticFilesError,
  HttpServer.HttpServer | FileSystem.FileSystem | Path.Path | HttpPlatform.HttpPlatform
> => Layer.unwrap(Effect.map(make(options), (app) => HttpServer.serve(app)))
