/**
 * A folder of files to serve, with what must not be served inside and beside it, and servers of it. All of it is gone with the
 * scope.
 */
import { Context, Effect, Layer, type Scope } from "effect"
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeStaticFiles from "../../src/node/NodeStaticFiles.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import { layerHandler, WebSocketServer } from "../../src/server/WebSocketServer.ts"
import { echo, portOf } from "../server/serving.ts"

/** What no answer may hold. */
export const secret = "this is not to be served"

/** A text that compresses, of many kilobytes. */
export const script = Array.from({ length: 2000 }, (_, i) => `export const value${i} = ${i * i}\n`).join("")

/** A folder that is gone with the scope. */
export const temporary: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-websocket-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

/** The folder to serve is `root` of it. */
export const folder: Effect.Effect<string, never, Scope.Scope> = Effect.map(temporary, (outside) => {
  const root = join(outside, "root")
  mkdirSync(join(root, "app", "deep"), { recursive: true })
  mkdirSync(join(root, "empty"))
  mkdirSync(join(root, ".git"))
  mkdirSync(join(outside, "root-beside"))
  const files: Record<string, string> = {
    "index.html": "<!doctype html><title>index</title>\n",
    "app/index.html": "<!doctype html><title>app</title>\n",
    "app/main.js": script,
    "app/deep/note.txt": "a note\n",
    "a name with spaces & ümlauts.txt": "spaced\n",
    "100%.txt": "percent\n",
    "empty.txt": "",
    "image.png": "\x89PNG",
    "unknown.bin": "\0\x01",
    ".hidden": secret,
    ".git/config": secret,
    "empty/.dot": secret,
    "../secret.txt": secret,
    "../root-beside/secret.txt": secret
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text, "latin1")
  symlinkSync("../secret.txt", join(root, "link-out.txt"))
  symlinkSync("..", join(root, "folder-out"))
  symlinkSync(join(outside, "root-beside"), join(root, "app", "beside"))
  symlinkSync(".hidden", join(root, "link-to-hidden.txt"))
  symlinkSync(".git", join(root, "git"))
  symlinkSync("/dev/zero", join(root, "device"))
  symlinkSync("loop", join(root, "loop"))
  symlinkSync("app/deep/note.txt", join(root, "link-in.txt"))
  mkdirSync(join(root, "stolen"))
  symlinkSync("../../secret.txt", join(root, "stolen", "index.html"))
  return outside
})

/** Serves a folder, and echoes on the WebSockets of the same port. */
export const serving = Effect.fnUntraced(function* (
  options: NodeStaticFiles.Options,
  server: Partial<NodeWebSocketServer.Options> = {}
) {
  const context = yield* Layer.build(
    Layer.mergeAll(NodeStaticFiles.layer(options), layerHandler(echo)).pipe(
      Layer.provideMerge(NodeWebSocketServer.layerHttp({ port: 0, ...server }))
    )
  )
  return portOf(Context.get(context, WebSocketServer))
})
