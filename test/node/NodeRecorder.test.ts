/**
 * Recordings of sessions: what is in them, byte by byte, as noVNC's player reads it; and that a session is the same with one.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, type Scope } from "effect"
import * as Socket from "effect/socket/Socket"
import { once } from "node:events"
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import * as Net from "node:net"
import { join } from "node:path"
import { runInNewContext } from "node:vm"
import WS from "ws"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import * as NodeRecorder from "../../src/node/NodeRecorder.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import { Dialer } from "../../src/proxy/Dialer.ts"
import { Target } from "../../src/proxy/Target.ts"
import * as WebSocketProxy from "../../src/proxy/WebSocketProxy.ts"
import { WebSocketServer } from "../../src/server/WebSocketServer.ts"
import { eventually } from "../proxy/watch.ts"
import { collectingLogs, type Logged, portOf } from "../server/serving.ts"
import { temporary } from "./files.ts"

/** A TCP service with a word of its own for each connection. */
const service = (onConnection: (socket: Net.Socket) => void): Effect.Effect<number, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const server = Net.createServer({ allowHalfOpen: true }, (socket) => onConnection(socket.on("error", () => {})))
        server.listen(0, "127.0.0.1")
        await once(server, "listening")
        return server
      }),
      (server) => Effect.sync(() => server.close())
    ),
    (server) => (server.address() as Net.AddressInfo).port
  )

const echo = (socket: Net.Socket) => void socket.pipe(socket)

/** A proxy to a port, recorded. */
const proxied = Effect.fnUntraced(function* (port: number, options: NodeRecorder.Options) {
  const Recorded = NodeRecorder.layer(options).pipe(Layer.provide(NodeDialer.layer()))
  const context = yield* Layer.build(
    WebSocketProxy.layer({ target: new Target({ host: "127.0.0.1", port }) }).pipe(
      Layer.provide(Recorded),
      Layer.provideMerge(NodeWebSocketServer.layer({ port: 0 }))
    )
  )
  return `ws://127.0.0.1:${portOf(Context.get(context, WebSocketServer))}`
})

interface Frame {
  readonly from: "client" | "target"
  readonly millis: number
  readonly bytes: Buffer
}

/** A test that collects what is logged: that it records is always told. */
const recorded = <A, E>(title: string, test: (logs: ReadonlyArray<Logged>) => Effect.Effect<A, E, Scope.Scope>) =>
  it.live(title, () => collectingLogs(test))

/** What the player has of a file: it runs the script, and takes apart what that has set. */
const played = (file: string): ReadonlyArray<Frame> => {
  const script = readFileSync(file, "latin1")
  assert.match(script, /^[\x20-\x7e\n]*$/)
  const page: { VNC_frame_encoding?: string; VNC_frame_data?: Array<string> } = {}
  runInNewContext(script, page)
  assert.strictEqual(page.VNC_frame_encoding, "binary")
  const data = [...page.VNC_frame_data!]
  assert.strictEqual(data.pop(), "EOF")
  return data.map((frame) => {
    const sign = frame[0]
    const end = frame.indexOf(sign!, 1)
    assert.include(["{", "}"], sign)
    return {
      from: sign === "}" ? "client" : "target",
      millis: Number(frame.slice(1, end)),
      bytes: Buffer.from(frame.slice(end + 1), "latin1")
    }
  })
}

const bytesFrom = (frames: ReadonlyArray<Frame>, from: Frame["from"]) =>
  Buffer.concat(frames.filter((frame) => frame.from === from).map(({ bytes }) => bytes))

/** Sends, waits until as much came back, and closes. */
const session = (url: string, ...messages: ReadonlyArray<Buffer>) =>
  Effect.promise(async () => {
    const socket = new WS(url, { perMessageDeflate: false, maxPayload: 2 ** 28 })
    const received: Array<Buffer> = []
    const total = messages.reduce((sum, { length }) => sum + length, 0)
    const all = new Promise<void>((resolve) =>
      socket.on("message", (data: Buffer) => {
        received.push(data)
        if (received.reduce((sum, { length }) => sum + length, 0) >= total) resolve()
      })
    )
    await once(socket, "open")
    for (const message of messages) socket.send(message)
    await all
    socket.close(1000)
    const [code] = await once(socket, "close")
    return { code: code as number, bytes: Buffer.concat(received) }
  })

const whole = (file: string) => () => existsSync(file) && readFileSync(file, "latin1").endsWith("'EOF'];\n")

const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

describe("a recording", () => {
  recorded("has every byte of both sides in its order, with the time, as the player reads it", () =>
    Effect.gen(function* () {
      const file = join(yield* temporary, "session")
      const url = yield* proxied(yield* service(echo), { file })
      const words = [every, Buffer.from("RFB 003.008\n"), Buffer.from("</script>'\\\u2028 ümlaut", "utf8")]
      const large = Buffer.alloc(300_000, every)
      const { bytes, code } = yield* session(url, ...words, large)
      assert.strictEqual(code, 1000)
      const sent = Buffer.concat([...words, large])
      assert.isTrue(bytes.equals(sent))
      yield* eventually("the file is whole", whole(`${file}.1`))
      const frames = played(`${file}.1`)
      assert.isTrue(bytesFrom(frames, "client").equals(sent))
      assert.isTrue(bytesFrom(frames, "target").equals(sent))
      assert.strictEqual(frames[0]!.from, "client")
      for (let i = 1; i < frames.length; i++) assert.isAtLeast(frames[i]!.millis, frames[i - 1]!.millis)
      assert.isBelow(frames.at(-1)!.millis, 30_000)
      assert.strictEqual(lstatSync(`${file}.1`).mode & 0o777, 0o600)
    })
  )

  recorded("is one for each session; what is there is neither written over nor followed", () =>
    Effect.gen(function* () {
      const folder = yield* temporary
      const file = join(folder, "session")
      writeFileSync(`${file}.1`, "mine")
      symlinkSync(join(folder, "elsewhere"), `${file}.3`)
      const url = yield* proxied(yield* service(echo), { file })
      yield* session(url, Buffer.from("one"))
      yield* session(url, Buffer.from("two"))
      yield* eventually("both are whole", () => whole(`${file}.2`)() && whole(`${file}.4`)())
      assert.strictEqual(readFileSync(`${file}.1`, "utf8"), "mine")
      assert.isFalse(existsSync(join(folder, "elsewhere")))
      assert.strictEqual(String(bytesFrom(played(`${file}.2`), "client")), "one")
      assert.strictEqual(String(bytesFrom(played(`${file}.4`), "client")), "two")
    })
  )

  recorded("ends where it is full, and the session goes on", (logs) =>
    Effect.gen(function* () {
      const file = join(yield* temporary, "session")
      const url = yield* proxied(yield* service(echo), { file, maxFileSize: 20_000 })
      const words = Array.from({ length: 100 }, (_, i) => Buffer.alloc(1000, `${i}`))
      const { bytes } = yield* session(url, ...words)
      assert.strictEqual(bytes.length, 100_000)
      yield* eventually("the file is whole", whole(`${file}.1`))
      assert.isAtMost(statSync(`${file}.1`).size, 20_000)
      const written = bytesFrom(played(`${file}.1`), "client")
      assert.isTrue(Buffer.concat(words).subarray(0, written.length).equals(written))
      assert.isAbove(written.length, 0)
      assert.strictEqual(logs.filter(({ text }) => text.includes("full")).length, 1)
    })
  )

  recorded("is of so many sessions at most", (logs) =>
    Effect.gen(function* () {
      const folder = yield* temporary
      const url = yield* proxied(yield* service(echo), { file: join(folder, "session"), maxSessions: 2 })
      for (const word of ["one", "two", "three", "four"]) yield* session(url, Buffer.from(word))
      yield* eventually("both are whole", whole(join(folder, "session.2")))
      assert.deepStrictEqual(readdirSync(folder).toSorted(), ["session.1", "session.2"])
      assert.strictEqual(logs.filter(({ text }) => text.includes("No session is recorded after")).length, 1)
    })
  )

  recorded("is of a thousand sessions unless told", (logs) =>
    Effect.gen(function* () {
      const socket = Socket.make({
        reader: Effect.succeed({ pull: Effect.never, upgrade: () => Effect.never }),
        writer: Effect.succeed({ write: () => Effect.void, writeAll: () => Effect.void })
      })
      const { dial } = yield* Effect.provideService(
        NodeRecorder.make({ file: join(yield* temporary, "session") }),
        Dialer,
        { dial: () => Effect.succeed(socket) }
      )
      const target = new Target({ host: "127.0.0.1", port: 1 })
      const isTold = () => logs.some(({ text }) => text.includes("No session is recorded after this one, the 1000th"))
      for (let i = 0; i < 999; i++) yield* Effect.scoped(dial(target))
      assert.isFalse(isTold())
      assert.notStrictEqual(yield* Effect.scoped(dial(target)), socket)
      assert.isTrue(isTold())
      assert.strictEqual(yield* Effect.scoped(dial(target)), socket, "it is as it came")
    })
  )

  recorded("that cannot be written is told, and the session goes on", (logs) =>
    Effect.gen(function* () {
      const folder = yield* temporary
      const url = yield* proxied(yield* service(echo), { file: join(folder, "session") })
      rmSync(folder, { recursive: true })
      assert.strictEqual(String((yield* session(url, Buffer.from("still"))).bytes), "still")
      yield* eventually("it is told", () => logs.some(({ text }) => text.includes("ENOENT")))
      const error = yield* Effect.flip(Effect.scoped(proxied(1, { file: join(folder, "session") })))
      assert.deepStrictEqual([error._tag, (error as NodeRecorder.RecorderError).code], ["RecorderError", "ENOENT"])
    })
  )

  recorded("changes nothing of how a session ends: FIN and reset, from either side", () =>
    Effect.gen(function* () {
      const file = join(yield* temporary, "session")
      const seen: Array<string> = []
      const port = yield* service((socket) => {
        socket.on("end", () => seen.push("end")).on("error", () => seen.push("reset"))
        socket.on("data", (data) => {
          if (String(data) === "reset") socket.resetAndDestroy()
          else if (String(data) === "end") socket.end("bye")
          else socket.write("hello")
        })
        socket.on("end", () => socket.end())
      })
      const url = yield* proxied(port, { file })
      const open = Effect.promise(async () => {
        const socket = new WS(url)
        await once(socket, "open")
        return socket
      })
      const closed = (socket: WS) => Effect.promise(async () => (await once(socket, "close"))[0] as number)
      for (const [word, code] of [
        ["end", 1000],
        ["reset", 1011]
      ] as const) {
        const socket = yield* open
        socket.send(word)
        assert.strictEqual(yield* closed(socket), code)
      }
      seen.length = 0
      const leaving = yield* open
      leaving.send("hello")
      yield* Effect.promise(() => once(leaving, "message"))
      leaving.close()
      yield* closed(leaving)
      yield* eventually("the target sees the end", () => seen.includes("end"))
      seen.length = 0
      const vanishing = yield* open
      vanishing.send("hello")
      yield* Effect.promise(() => once(vanishing, "message"))
      vanishing.terminate()
      yield* eventually("the target sees the reset", () => seen.length > 0)
      assert.deepStrictEqual(seen, ["reset"])
    })
  )
})
