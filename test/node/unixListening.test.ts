/**
 * Listening on a unix socket: who may connect, and what of the file system is touched for it, which is its own socket and one
 * that was left behind.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs"
import * as Net from "node:net"
import { join } from "node:path"
import WS from "ws"
import type * as NodeUpgradeListener from "../../src/node/NodeUpgradeListener.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import { layerHandler, WebSocketServer } from "../../src/server/WebSocketServer.ts"
import { echo } from "../server/serving.ts"
import { temporary } from "./files.ts"

const listening = (unix: NodeUpgradeListener.UnixSocket) =>
  Effect.map(Layer.build(layerHandler(echo).pipe(Layer.provideMerge(NodeWebSocketServer.layer({ unix })))), (context) =>
    Context.get(context, WebSocketServer)
  )

/** What the server at a path sends back. */
const echoed = (path: string): Effect.Effect<string> =>
  Effect.promise(async () => {
    const client = new WS(`ws+unix:${path}:/`)
    await once(client, "open")
    client.send("hello")
    const [data] = await once(client, "message")
    client.close()
    await once(client, "close")
    return String(data)
  })

const modeOf = (path: string) => lstatSync(path).mode & 0o777

/** A socket whose process was killed. */
const leaveBehind = (path: string): Effect.Effect<void> =>
  Effect.promise(async () => {
    const code = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => console.log("listens"))`
    const child = spawn(process.execPath, ["-e", code], { stdio: ["ignore", "pipe", "inherit"] })
    await once(child.stdout, "data")
    child.kill("SIGKILL")
    await once(child, "close")
    assert.isTrue(lstatSync(path).isSocket())
  })

const refused = (path: string, code: string, words: string) =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(Effect.scoped(listening({ path })))
    assert.deepStrictEqual([error._tag, error.code, error.address], ["ListenError", code, `unix:${path}`])
    assert.include(error.message, words)
  })

describe("a unix socket", () => {
  it.live("is listened on, open to its user alone unless a mode says more, and gone when the server is", () =>
    Effect.gen(function* () {
      const path = join(yield* temporary, "ws.sock")
      const before = process.umask(0o022)
      yield* Effect.addFinalizer(() => Effect.sync(() => process.umask(before)))
      for (const mode of [undefined, 0o660, 0o666, 0o600]) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { address } = yield* listening({ path, mode })
            assert.deepStrictEqual([address._tag, String(Reflect.get(address, "path"))], ["UnixPathAddress", path])
            assert.strictEqual(modeOf(path), mode ?? 0o600)
            assert.strictEqual(yield* echoed(path), "hello")
          })
        )
        assert.isFalse(existsSync(path))
        assert.strictEqual(process.umask(), 0o022)
      }
    })
  )

  it.live("that was left behind is replaced", () =>
    Effect.gen(function* () {
      const path = join(yield* temporary, "ws.sock")
      yield* leaveBehind(path)
      yield* listening({ path })
      assert.strictEqual(yield* echoed(path), "hello")
    })
  )

  it.live("that somebody listens on is left to him", () =>
    Effect.gen(function* () {
      const path = join(yield* temporary, "ws.sock")
      yield* listening({ path })
      yield* refused(path, "EADDRINUSE", "somebody listens")
      assert.strictEqual(yield* echoed(path), "hello")
      const busy = join(yield* temporary, "busy.sock")
      const server = Net.createServer().listen(busy)
      yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
      yield* Effect.promise(() => once(server, "listening"))
      yield* refused(busy, "EADDRINUSE", "somebody listens")
      assert.isTrue(server.listening && existsSync(busy))
    })
  )

  it.live("does not take the place of any other file, nor of where a link leads", () =>
    Effect.gen(function* () {
      const folder = yield* temporary
      const [file, inside, link, stale] = ["file", "folder", "link", "stale.sock"].map((name) => join(folder, name))
      writeFileSync(file!, "precious")
      mkdirSync(inside!)
      symlinkSync("stale.sock", link!)
      yield* leaveBehind(stale!)
      for (const path of [file!, inside!, link!]) yield* refused(path, "ENOTSOCK", "left alone")
      assert.strictEqual(readFileSync(file!, "utf8"), "precious")
      assert.isTrue(lstatSync(inside!).isDirectory() && lstatSync(stale!).isSocket())
      assert.strictEqual(readlinkSync(link!), "stale.sock")
    })
  )

  it.live("that cannot be put there is one clear line", () =>
    Effect.gen(function* () {
      const folder = yield* temporary
      writeFileSync(join(folder, "file"), "")
      yield* refused(join(folder, "nowhere", "ws.sock"), "EACCES", "folder")
      yield* refused(join(folder, "file", "ws.sock"), "ENOTDIR", "a file")
      yield* refused(join(folder, "x".repeat(120)), "ENAMETOOLONG", "107")
      const room = (process.platform === "linux" ? 107 : 103) - Buffer.byteLength(join(folder, "x")) + 1
      yield* refused(join(folder, "x".repeat(room + 1)), "ENAMETOOLONG", "107")
      yield* Effect.scoped(listening({ path: join(folder, "x".repeat(room)) }))
    })
  )

  it.live("in the abstract namespace is no file", (context) =>
    Effect.gen(function* () {
      if (process.platform !== "linux") return context.skip("only Linux has it")
      const path = `\0effect-websocket-${process.pid}`
      yield* listening({ path })
      const answer = yield* Effect.promise(async () => {
        const socket = Net.connect({ path }).end("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return String(Buffer.concat(await socket.toArray()))
      })
      assert.match(answer, /^HTTP\/1.1 426 /)
      const error = yield* Effect.flip(Effect.scoped(listening({ path })))
      assert.strictEqual(error.code, "EADDRINUSE")
      assert.include(error.message, "unix:@effect-websocket")
      // whatever is more would be cut off: the second would be the first
      const longest = `${path}-`.padEnd(108, "x")
      yield* listening({ path: longest })
      const more = yield* Effect.flip(Effect.scoped(listening({ path: `${longest}x` })))
      assert.strictEqual(more.code, "ENAMETOOLONG")
      assert.include(more.message, "107")
    })
  )
})
