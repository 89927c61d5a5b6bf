import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Scope } from "effect"
import { Socket } from "effect/socket"
import { once } from "node:events"
import * as Net from "node:net"
import { Duplex, duplexPair } from "node:stream"
import * as Transport from "../../src/connection/Transport.ts"
import * as NodeSocket from "../../src/node/NodeSocket.ts"
import { eventually, steady } from "./serving.ts"
import { tcp } from "./tcp.ts"

const open = Effect.fnUntraced(function* (stream: Duplex, head?: Uint8Array) {
  const readScope = yield* Scope.make()
  const writeScope = yield* Scope.make()
  const socket = NodeSocket.fromDuplex(stream, head)
  const reader: Transport.Reader = yield* Scope.provide(socket.reader, readScope)
  const writer: Transport.Writer = yield* Scope.provide(socket.writer, writeScope)
  return {
    reader,
    writer,
    releaseReader: Scope.close(readScope, Exit.void),
    releaseWriter: Scope.close(writeScope, Exit.void)
  }
})

const text = (chunks: ReadonlyArray<Uint8Array | string>) =>
  Buffer.concat(chunks.map((chunk) => Buffer.from(chunk))).toString()
const reasonOf = (effect: Effect.Effect<unknown, Socket.SocketError>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => (reason._tag === "SocketCloseError" ? reason.code : reason._tag))

/** What a stream gives to its end. */
const all = (stream: Duplex) =>
  Effect.promise(async () => {
    const chunks: Array<Buffer> = []
    stream.on("data", (chunk: Buffer) => chunks.push(chunk)).resume()
    if (!stream.readableEnded) await Promise.race([once(stream, "end"), once(stream, "close")])
    return Buffer.concat(chunks)
  })

describe("reading", () => {
  it.live("gives the head first, then what comes, and its end as SocketCloseError 1000", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { reader } = yield* open(near, Buffer.from("head"))
      far.end("body")
      assert.strictEqual(text(yield* reader.pull), "head")
      assert.strictEqual(text(yield* reader.pull), "body")
      assert.strictEqual(yield* reasonOf(reader.pull), 1000)
      assert.strictEqual(yield* reasonOf(reader.pull), 1000)
    })
  )

  it.live("a reset is a SocketReadError, a destroyed stream SocketCloseError 1006", () =>
    Effect.gen(function* () {
      const one = yield* tcp
      const first = yield* open(one.near)
      const pulling = yield* Effect.forkChild(reasonOf(first.reader.pull))
      yield* Effect.yieldNow
      one.far.resetAndDestroy()
      assert.strictEqual(yield* Fiber.join(pulling), "SocketReadError")
      const two = yield* tcp
      const second = yield* open(two.near)
      two.near.destroy()
      assert.strictEqual(yield* reasonOf(second.reader.pull), 1006)
      const gone = yield* tcp
      gone.near.destroy()
      assert.strictEqual(yield* reasonOf((yield* open(gone.near)).reader.pull), 1006)
    })
  )

  it.live("what nobody pulls stays in the network", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { reader } = yield* open(near)
      const size = 32 * 1024 * 1024
      far.write(Buffer.alloc(size, 1))
      yield* Effect.sleep("100 millis")
      assert.isBelow(near.bytesRead, 1024 * 1024)
      let got = 0
      while (got < size) for (const chunk of yield* reader.pull) got += chunk.length
      assert.strictEqual(got, size)
    })
  )

  it.live("an interrupted pull loses nothing", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { reader } = yield* open(near)
      let got = ""
      for (let i = 0; i < 20; i++) {
        const pulling = yield* Effect.forkChild(reader.pull)
        yield* Effect.yieldNow
        if (i % 2 === 0) far.write(`${i},`)
        const exit = yield* Fiber.interrupt(pulling).pipe(Effect.andThen(Fiber.await(pulling)))
        if (Exit.isSuccess(exit)) got += text(exit.value)
      }
      far.end("end")
      while (!got.endsWith("end")) got += text(yield* reader.pull)
      assert.strictEqual(got, "0,2,4,6,8,10,12,14,16,18,end")
    })
  )

  it.live("what has come before the end is still given after it", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { reader } = yield* open(near)
      far.end("last words")
      yield* Effect.sleep("30 millis")
      assert.strictEqual(text(yield* reader.pull), "last words")
      assert.strictEqual(yield* reasonOf(reader.pull), 1000)
    })
  )

  it.live("releasing it fails a pull that waits, sends what is buffered, and waits until the stream is gone", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { reader, releaseReader, writer } = yield* open(near)
      const pulling = yield* Effect.forkChild(reasonOf(reader.pull))
      yield* Effect.forkChild(Effect.ignore(writer.write(new Uint8Array(4 * 1024 * 1024))))
      yield* Effect.yieldNow
      const releasing = yield* Effect.forkChild(releaseReader)
      assert.strictEqual(yield* Fiber.join(pulling), 1006)
      assert.strictEqual((yield* all(far)).length, 4 * 1024 * 1024)
      yield* Fiber.join(releasing)
      assert.isTrue(near.destroyed)
      assert.strictEqual(near.listenerCount("data"), 0)
    })
  )
})

describe("what a transport says and does besides", () => {
  it.live("whether something that came is unread", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { reader } = yield* open(near)
      assert.isFalse(reader.hasUnread)
      far.write("one")
      yield* eventually(
        "it has come",
        Effect.sync(() => reader.hasUnread === true)
      )
      assert.strictEqual(text(yield* reader.pull), "one")
      assert.isFalse(reader.hasUnread)
    })
  )

  it.live("it leaves when the peer has ended its side too, and discards what comes until then", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { ends, writer } = yield* Transport.fromSocket(NodeSocket.fromDuplex(near))
      yield* writer.write("bye")
      const leaving = yield* Effect.forkChild(ends.leave!(600_000), { startImmediately: true })
      assert.strictEqual((yield* all(far)).toString(), "bye")
      // more than waits unread in any buffer
      yield* Effect.callback<void>(
        (resume) => void far.write(Buffer.alloc(16 * 1024 * 1024), () => resume(Effect.void))
      )
      assert.isUndefined(leaving.pollUnsafe())
      far.end()
      yield* Fiber.join(leaving)
      assert.isTrue(near.destroyed)
    })
  )
})

describe("writing", () => {
  it.live("takes strings and bytes, one or many, in order", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { releaseWriter, writer } = yield* open(near)
      yield* writer.write("ü")
      yield* writer.write(Buffer.from("b"))
      yield* writer.writeAll(["c", Buffer.from("d"), "e"])
      yield* releaseWriter
      assert.strictEqual((yield* all(far)).toString(), "übcde")
    })
  )

  it.live("gathers what is offered in one turn into one write, before what is written behind it", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { releaseWriter, writer } = yield* open(near)
      assert.isTrue(writer.offer?.(Buffer.from("a")))
      assert.isTrue(writer.offer?.(Buffer.from("b")))
      assert.deepStrictEqual([near.writableCorked, near.writableLength], [1, 2])
      yield* writer.write("c")
      yield* eventually(
        "the turn is over",
        Effect.sync(() => near.writableCorked === 0)
      )
      writer.offer?.(Buffer.from("d"))
      // the end does not wait for the turn's
      yield* releaseWriter
      assert.strictEqual((yield* all(far)).toString(), "abcd")
      assert.isFalse(writer.offer?.(Buffer.from("e")))
    })
  )

  it.live("writes what is offered at once where it is more than the high-water mark", () =>
    Effect.gen(function* () {
      const { near } = yield* tcp
      const { writer } = yield* open(near)
      const chunk = new Uint8Array(near.writableHighWaterMark)
      writer.offer?.(chunk)
      assert.strictEqual(near.writableCorked, 0)
    })
  )

  it.live("waits while more than the high-water mark is unsent, and goes on when it is taken", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { writer } = yield* open(near)
      const chunk = new Uint8Array(256 * 1024)
      const state = { written: 0 }
      const writing = yield* Effect.forkChild(
        Effect.forever(
          Effect.andThen(
            writer.write(chunk),
            Effect.sync(() => void state.written++)
          )
        )
      )
      const stuck = yield* steady(() => state.written)
      assert.isBelow(near.writableLength, 512 * 1024)
      far.resume()
      yield* eventually(
        "it goes on",
        Effect.sync(() => state.written > stuck + 10)
      )
      yield* Fiber.interrupt(writing)
    })
  )

  it.live("an interrupted wait takes none of the others with it", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { writer } = yield* open(near)
      const waits = yield* Effect.forEach([1, 2, 3], () =>
        Effect.forkChild(writer.write(new Uint8Array(16 * 1024 * 1024)), { startImmediately: true })
      )
      yield* Fiber.interrupt(waits[1]!)
      far.resume()
      yield* Fiber.join(waits[0]!)
      yield* Fiber.join(waits[2]!)
    })
  )

  it.live("is flushed when the system has all; after the end, and if the stream is lost, it fails", () =>
    Effect.gen(function* () {
      const bytes = 16 * 1024 * 1024
      const one = yield* tcp
      const first = yield* open(one.near)
      yield* Effect.forkChild(first.writer.write(new Uint8Array(bytes)), { startImmediately: true })
      const flushing = yield* Effect.forkChild(first.writer.flushed!, { startImmediately: true })
      yield* Effect.sleep("30 millis")
      assert.isUndefined(flushing.pollUnsafe())
      yield* first.releaseWriter
      assert.strictEqual(yield* reasonOf(first.writer.flushed!), "SocketWriteError")
      assert.strictEqual((yield* all(one.far)).length, bytes)
      yield* Fiber.join(flushing)
      yield* first.writer.flushed!
      const two = yield* tcp
      const second = yield* open(two.near)
      yield* Effect.forkChild(Effect.ignore(second.writer.write(new Uint8Array(bytes))), { startImmediately: true })
      const failing = yield* Effect.forkChild(reasonOf(second.writer.flushed!), { startImmediately: true })
      two.far.resetAndDestroy()
      assert.strictEqual(yield* Fiber.join(failing), "SocketWriteError")
    })
  )

  it.live("fails with SocketWriteError after the end, and while it waits when the stream is lost", () =>
    Effect.gen(function* () {
      const one = yield* tcp
      const first = yield* open(one.near)
      yield* first.releaseWriter
      for (const write of [first.writer.write("x"), first.writer.writeAll(["x", "y"])]) {
        assert.strictEqual(yield* reasonOf(write), "SocketWriteError")
      }
      const two = yield* tcp
      const second = yield* open(two.near)
      const writing = yield* Effect.forkChild(reasonOf(second.writer.write(new Uint8Array(32 * 1024 * 1024))))
      yield* Effect.yieldNow
      two.far.resetAndDestroy()
      assert.strictEqual(yield* Fiber.join(writing), "SocketWriteError")
    })
  )

  it.live("releasing it ends this side alone", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { reader, releaseWriter, writer } = yield* open(near)
      yield* writer.write("bye")
      yield* releaseWriter
      assert.strictEqual((yield* all(far)).toString(), "bye")
      far.end("and you")
      assert.strictEqual(text(yield* reader.pull), "and you")
    })
  )

  it.live("a CloseEvent of 1000 ends this side, any other resets the connection at once", () =>
    Effect.gen(function* () {
      const one = yield* tcp
      const first = yield* open(one.near)
      yield* first.writer.write(new Socket.CloseEvent(1000))
      assert.strictEqual((yield* all(one.far)).length, 0)
      const two = yield* tcp
      const second = yield* open(two.near)
      const broken = Effect.promise(() => once(two.far, "error"))
      two.far.resume()
      const waiting = yield* Effect.forkChild(broken)
      yield* Effect.yieldNow
      yield* second.writer.write(new Socket.CloseEvent(1006))
      const [error] = yield* Fiber.join(waiting)
      assert.strictEqual(error.code, "ECONNRESET")
    })
  )

  it.live("a connection that is reset while its end is on the way is closed, and keeps no file", () =>
    Effect.gen(function* () {
      for (const said of ["", "its last words"]) {
        const { far, near } = yield* tcp
        const ended = all(far)
        const { writer } = yield* open(near)
        const closed = once(near, "close")
        if (said !== "") yield* writer.write(said)
        yield* writer.write(new Socket.CloseEvent(1000))
        yield* writer.write(new Socket.CloseEvent(1011))
        yield* Effect.promise(() => closed)
        assert.strictEqual((yield* ended).toString(), said)
        far.destroy()
      }
    })
  )

  it.live("what has no reset is destroyed: a unix socket, and a stream of another kind", () =>
    Effect.gen(function* () {
      // a name of Linux' own, which is no file
      const server = Net.createServer((socket) => socket.on("error", () => {}).resume())
      const path = `\0effect-websocket-${process.pid}`
      yield* Effect.acquireRelease(
        Effect.promise(() => once(server.listen(path), "listening")),
        () => Effect.sync(() => server.close())
      )
      const unix = Net.connect(path)
      yield* Effect.promise(() => once(unix, "connect"))
      for (const stream of [unix, duplexPair()[0]]) {
        const { writer } = yield* open(stream)
        yield* writer.write(new Socket.CloseEvent(1006))
        assert.isTrue(stream.destroyed)
      }
    })
  )
})

describe("the memory of chunks", () => {
  it.live("belongs to the reader's caller alone for large chunks that came from the network", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { reader } = yield* open(near, new Uint8Array(64 * 1024))
      const [head] = yield* reader.pull
      assert.isFalse(reader.isExclusive?.(head as Uint8Array))
      const seen: Array<boolean> = []
      far.end(Buffer.alloc(1024 * 1024))
      yield* Effect.ignore(
        Effect.forever(
          Effect.map(reader.pull, (chunks) => {
            const [chunk] = chunks as ReadonlyArray<Uint8Array>
            const exclusive = reader.isExclusive?.(chunk!) ?? false
            if (exclusive) assert.strictEqual(chunk!.buffer.byteLength, chunk!.length)
            assert.isFalse(reader.isExclusive?.(new Uint8Array(64 * 1024)), "a stranger's")
            seen.push(exclusive)
          })
        )
      )
      assert.include(seen, true)
    })
  )

  it.live("is freed when an owned chunk is written, and that chunk's alone", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { releaseWriter, writer } = yield* open(near)
      // what is left of a chunk when the headers of frames are out of it
      const owned = new Uint8Array(100_014).subarray(14).fill(2)
      const kept = new Uint8Array(100_000).fill(1)
      yield* writer.writeNow!([kept, owned], [owned]) ?? Effect.void
      yield* releaseWriter
      const got = yield* all(far)
      assert.strictEqual(got.length, 200_000)
      assert.isTrue(got.subarray(0, 100_000).every((byte) => byte === 1))
      assert.isTrue(got.subarray(100_000).every((byte) => byte === 2))
      assert.strictEqual(owned.buffer.byteLength, 0)
      assert.strictEqual(kept.buffer.byteLength, 100_000)
    })
  )
})

describe("flowing", () => {
  type Taken = Transport.Taker<never, Socket.SocketError, never>
  /** Takes each batch, and goes on behind what is to be waited for with what `again` says. */
  const taking = (
    take: (text: string) => Effect.Effect<unknown> | undefined,
    again: () => Effect.Effect<never, Socket.SocketError>
  ): Taken => ({
    take: (chunks) => {
      const wait = take(text(chunks))
      return wait === undefined ? undefined : Effect.andThen(wait, Effect.suspend(again))
    },
    onEnd: Effect.fail
  })
  const flowing = (
    reader: Transport.Source,
    take: (text: string) => Effect.Effect<unknown> | undefined
  ): Effect.Effect<never, Socket.SocketError> => {
    const taker = taking(take, () => Effect.flatten(Transport.flow(reader, taker)))
    return Effect.flatten(Transport.flow(reader, taker))
  }

  it.live("takes what was kept, and then each batch in the turn that brings it, with no fiber in it", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { reader } = yield* open(near, Buffer.from("head"))
      const seen: Array<readonly [string, boolean]> = []
      const fiber = yield* Effect.forkChild(
        Effect.flip(
          flowing(reader, (text) => {
            seen.push([text, Fiber.getCurrent() !== undefined])
            return undefined
          })
        ),
        { startImmediately: true }
      )
      far.write("one")
      yield* eventually(
        "2 came",
        Effect.sync(() => seen.length === 2)
      )
      far.end("two")
      const { reason } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, [
        ["head", true],
        ["one", false],
        ["two", false]
      ])
      assert.deepInclude(reason, { _tag: "SocketCloseError", code: 1000 })
    })
  )

  it.live("waits for what is to be waited for, and reads no further meanwhile", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { reader } = yield* open(near)
      const gate = yield* Deferred.make<void>()
      const seen: Array<string> = []
      const fiber = yield* Effect.forkChild(
        Effect.flip(
          flowing(reader, (text) => {
            seen.push(text)
            return seen.length === 1 ? Deferred.await(gate) : undefined
          })
        )
      )
      far.write("one")
      yield* eventually(
        "1 came",
        Effect.sync(() => seen.length === 1)
      )
      far.write("two")
      yield* steady(() => seen.length)
      assert.deepStrictEqual(seen, ["one"])
      yield* Deferred.succeed(gate, undefined)
      yield* eventually(
        "2 came",
        Effect.sync(() => seen.length === 2)
      )
      far.end()
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, ["one", "two"])
    })
  )

  it.live("an interruption loses nothing: what comes then is pulled", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { reader } = yield* open(near)
      const seen: Array<string> = []
      const fiber = yield* Effect.forkChild(flowing(reader, (text) => void seen.push(text)))
      far.write("one")
      yield* eventually(
        "1 came",
        Effect.sync(() => seen.length === 1)
      )
      yield* Fiber.interrupt(fiber)
      far.write("two")
      assert.strictEqual(text(yield* reader.pull), "two")
      assert.deepStrictEqual(seen, ["one"])
    })
  )

  it.live("a flow holds none of the waits that it has had: its interruption ends one", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { reader } = yield* open(near)
      let ended = 0
      reader.waiting = { forgotten: () => void ended++ }
      let came = 0
      const fiber = yield* Effect.forkChild(
        flowing(reader, ({ length }) => {
          came += length
          return Effect.yieldNow
        }),
        { startImmediately: true }
      )
      for (let i = 1; i <= 10; i++) {
        far.write("x")
        yield* eventually(
          `${i} came`,
          Effect.sync(() => came === i)
        )
      }
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(ended, 1)
    })
  )

  it.live("what throws is a defect of who flows, and harms nobody else", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { reader } = yield* open(near)
      const fiber = yield* Effect.forkChild(
        Effect.exit(
          flowing(reader, () => {
            throw new Error("thrown")
          })
        )
      )
      far.write("one")
      const exit = yield* Fiber.join(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      far.write("two")
      assert.strictEqual(text(yield* reader.pull), "two")
    })
  )

  it.live("needs no fiber before something is to be waited for, and none for its end", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { reader } = yield* open(near, Buffer.from("head"))
      const seen: Array<string> = []
      const resumed: Array<Effect.Effect<never, Socket.SocketError>> = []
      const begin = () =>
        reader.flowNow!({
          ...taking(
            (text) => {
              seen.push(text)
              return text === "two" ? Effect.sync(() => seen.push("waited")) : undefined
            },
            () => Effect.never
          ),
          goOn: (next) => void resumed.push(next)
        })
      begin()
      far.write("one")
      yield* eventually(
        "2 came",
        Effect.sync(() => seen.length === 2)
      )
      assert.deepStrictEqual(resumed, [])
      far.write("two")
      yield* eventually(
        "it is resumed",
        Effect.sync(() => resumed.length === 1)
      )
      far.write("three")
      const fiber = yield* Effect.forkChild(resumed[0]!, { startImmediately: true })
      yield* steady(() => seen.length)
      assert.deepStrictEqual(seen, ["head", "one", "two", "waited"])
      yield* Fiber.interrupt(fiber)
      begin()
      far.end()
      yield* eventually(
        "the end came",
        Effect.sync(() => resumed.length === 2)
      )
      assert.deepStrictEqual(seen, ["head", "one", "two", "waited", "three"])
      assert.strictEqual(yield* reasonOf(resumed[1]!), 1000)
    })
  )

  it.live("that is forgotten takes nothing any more, and what comes then is pulled", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const { reader } = yield* open(near)
      const seen: Array<string> = []
      const resumed: Array<unknown> = []
      reader.flowNow!({
        ...taking(
          (text) => void seen.push(text),
          () => Effect.never
        ),
        goOn: (next) => void resumed.push(next)
      })
      far.write("one")
      yield* eventually(
        "1 came",
        Effect.sync(() => seen.length === 1)
      )
      reader.forget!()
      far.end("two")
      assert.strictEqual(text(yield* reader.pull), "two")
      assert.strictEqual(yield* reasonOf(reader.pull), 1000)
      assert.deepStrictEqual([seen, resumed], [["one"], []])
    })
  )

  it.effect("is the same over a reader that can only be pulled", () =>
    Effect.gen(function* () {
      const batches = ["one", "two", "three"]
      const ended = new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1000 }) })
      const pull = Effect.suspend(() => {
        const next = batches.shift()
        return next === undefined ? Effect.fail(ended) : Effect.succeed([Buffer.from(next)] as const)
      })
      const seen: Array<string> = []
      const error = yield* Effect.flip(
        flowing({ pull }, (text) => {
          seen.push(text)
          return seen.length === 2 ? Effect.sync(() => seen.push("waited")) : undefined
        })
      )
      assert.strictEqual(error, ended)
      assert.deepStrictEqual(seen, ["one", "two", "waited", "three"])
    })
  )
})

describe("a buffer that a stream fills piece by piece", () => {
  const record = 16 * 1024
  const filled = () => Uint8Array.from({ length: 4 * record }, (_, i) => i % 251)
  /** Emits as Node does what it decrypts: at once, and as parts of one buffer. */
  const emitting = Effect.gen(function* () {
    const [near] = duplexPair()
    const { reader } = yield* open(near)
    const emit = (...pieces: ReadonlyArray<Uint8Array>) => pieces.forEach((piece) => near.emit("data", piece))
    return { near, reader, emit }
  })
  const parts = (buffer: Uint8Array) => [0, 1, 2, 3].map((i) => buffer.subarray(i * record, (i + 1) * record))

  it.live("is read as one chunk, whether somebody waits for it or not", () =>
    Effect.gen(function* () {
      const { emit, reader } = yield* emitting
      const waiting = yield* Effect.forkChild(reader.pull)
      yield* Effect.yieldNow
      const [first, second, third] = [filled(), filled(), filled()]
      emit(...parts(first))
      assert.deepStrictEqual(yield* Fiber.join(waiting), [first])
      emit(...parts(second))
      assert.deepStrictEqual(yield* reader.pull, [second])
      const [a, b, c] = parts(third)
      emit(a!, c!, b!)
      assert.deepStrictEqual(yield* reader.pull, [a!, c!, b!])
    })
  )

  it.live("is not waited for when less comes", () =>
    Effect.gen(function* () {
      const { emit, reader } = yield* emitting
      for (const count of [1, 2, 3]) {
        const waiting = yield* Effect.forkChild(reader.pull)
        yield* Effect.yieldNow
        const buffer = filled()
        emit(...parts(buffer).slice(0, count))
        assert.deepStrictEqual(yield* Fiber.join(waiting), [buffer.subarray(0, count * record)])
      }
      const waiting = yield* Effect.forkChild(reader.pull)
      yield* Effect.yieldNow
      const short = filled().subarray(record, 2 * record - 1)
      emit(short)
      assert.deepStrictEqual(waiting.pollUnsafe(), Exit.succeed([short]))
    })
  )

  it.live.each(["end", "error", "close"])("is read to where it came before the stream's %s", (end) =>
    Effect.gen(function* () {
      const { emit, near, reader } = yield* emitting
      const waiting = yield* Effect.forkChild(reader.pull)
      yield* Effect.yieldNow
      const [a, b] = parts(filled())
      emit(a!, b!)
      near.emit(end, new Error("broken"))
      assert.strictEqual(text(yield* Fiber.join(waiting)).length, text([a!, b!]).length)
      assert.strictEqual(yield* reasonOf(reader.pull), { end: 1000, error: "SocketReadError", close: 1006 }[end])
    })
  )

  it.live("is left to the next pull when the one that waits is interrupted", () =>
    Effect.gen(function* () {
      const { emit, near, reader } = yield* emitting
      const waiting = yield* Effect.forkChild(reader.pull)
      yield* Effect.yieldNow
      const buffer = filled()
      const [a, b, ...others] = parts(buffer)
      emit(a!, b!)
      yield* Fiber.interrupt(waiting)
      assert.isTrue(near.isPaused())
      emit(...others)
      assert.deepStrictEqual(yield* reader.pull, [buffer])
    })
  )
})

describe("over any stream", () => {
  it.live("reads, writes and ends as over TCP, and owns none of its chunks", () =>
    Effect.gen(function* () {
      const [near, far] = duplexPair()
      const { reader, releaseReader, releaseWriter, writer } = yield* open(near)
      const done = yield* Deferred.make<Buffer>()
      yield* Effect.forkChild(Effect.flatMap(all(far), (bytes) => Deferred.succeed(done, bytes)))
      yield* Effect.yieldNow
      far.write(Buffer.alloc(64 * 1024))
      const [chunk] = yield* reader.pull
      assert.isFalse(reader.isExclusive?.(chunk as Uint8Array))
      yield* writer.writeAll(["a", "b"])
      yield* releaseWriter
      assert.strictEqual((yield* Deferred.await(done)).toString(), "ab")
      far.end()
      assert.strictEqual(yield* reasonOf(reader.pull), 1000)
      yield* releaseReader
      assert.isTrue(near.destroyed)
    })
  )

  /** A stream that does as it likes about its close, and takes nothing that is written. */
  const closing = (close: (stream: Duplex) => void) => {
    const stream: Duplex = new Duplex({
      emitClose: false,
      read: () => {},
      write: () => {},
      destroy: (_, done) => {
        close(stream)
        done(null)
      }
    })
    stream.write("what nobody takes")
    return Effect.map(Transport.fromSocket(NodeSocket.fromDuplex(stream)), ({ ends, reader }) => ({
      stream,
      ended: (patience: number) => Effect.andThen(Effect.ignore(reader.pull), ends.destroy(patience)),
      ends
    }))
  }

  it.live("is done with a stream that says that it is closed before it looks so, as TLS does without its socket", () =>
    Effect.gen(function* () {
      const { ended, stream } = yield* closing((stream) => stream.emit("close"))
      const ending = yield* Effect.forkChild(ended(600_000), { startImmediately: true })
      stream.destroy()
      yield* Fiber.join(ending)
    })
  )

  it.live("waits no more than its patience for a stream that never says that it is closed", () =>
    Effect.gen(function* () {
      const { ends, stream } = yield* closing(() => {})
      yield* ends.destroy(20)
      assert.isTrue(stream.destroyed)
    })
  )
})
