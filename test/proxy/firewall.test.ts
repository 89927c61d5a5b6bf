/**
 * Targets that are dialled through a firewall which grants them: what it is asked, byte for byte, and that the connection is
 * then as good as a direct one.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import * as Firewall from "../../src/proxy/Firewall.ts"
import { soon } from "./connected.ts"
import { dialling, kinds, play, read, secret, socks5, sockets, target, tunnel } from "./firewall.ts"
import * as Frames from "./frames.ts"
import * as Proxy from "./proxy.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import { eventually, pass } from "./watch.ts"

describe.each(kinds.map((kind) => [kind.name, kind] as const))("%s", { timeout: 30_000 }, (_, kind) => {
  it.live("loses no byte that comes in one packet with the answer", () =>
    Effect.gen(function* () {
      const { dialled, firewall } = yield* dialling(kind)
      yield* play(firewall, kind.steps, { behind: "hello" })
      const { reader } = yield* Fiber.join(dialled)
      const open = yield* reader
      assert.strictEqual(yield* read(open, 5), "hello")
      yield* firewall.write(Buffer.from(" again"))
      assert.strictEqual(yield* read(open, 6), " again")
    }).pipe(Effect.scoped)
  )

  it.live("takes an answer byte by byte, with bytes behind it", () =>
    Effect.gen(function* () {
      const { dialled, firewall } = yield* dialling(kind)
      yield* play(firewall, kind.steps, { slowly: true, behind: "hello" })
      const { reader } = yield* Fiber.join(dialled)
      assert.strictEqual(yield* read(yield* reader, 5), "hello")
    }).pipe(Effect.scoped)
  )

  it.live("lets what came wait for a reader, and holds back the rest", () =>
    Effect.gen(function* () {
      const { dialled, firewall } = yield* dialling(kind)
      const behind = "x".repeat(300_000)
      yield* play(firewall, kind.steps, { behind })
      const socket = yield* Fiber.join(dialled)
      for (let i = 0; i < 16; i++) firewall.socket.write(Buffer.alloc(1 << 20))
      yield* pass(100)
      assert.isAbove(firewall.socket.writableLength, 0, "the sender feels that nobody reads")
      const got = yield* read(yield* socket.reader, behind.length)
      assert.isTrue(got.startsWith(behind))
    }).pipe(Effect.scoped)
  )

  it.live("delivers bytes and FIN that come in one packet with the answer", () =>
    Effect.gen(function* () {
      const { dialled, firewall } = yield* dialling(kind)
      yield* play(firewall, kind.steps.slice(0, -1))
      const { answer } = kind.steps.at(-1)!
      const asked = kind.steps.reduce((sum, { ask }) => sum + ask.length, 0)
      yield* firewall.untilReceived(asked)
      firewall.socket.end(Buffer.concat([answer, Buffer.from("bye")]))
      const socket = yield* Fiber.join(dialled)
      const reader = yield* socket.reader
      assert.strictEqual(yield* read(reader, 100), "bye<end>")
      // whatever ends our side of its own accord has had its time
      yield* pass(30)
      yield* (yield* socket.writer).write("still heard")
      yield* firewall.untilReceived(asked + 11)
    }).pipe(Effect.scoped)
  )

  it.live("ends each way by itself", () =>
    Effect.gen(function* () {
      const { dialled, firewall } = yield* dialling(kind)
      const asked = yield* play(firewall, kind.steps)
      const socket = yield* Fiber.join(dialled)
      const reader = yield* socket.reader
      yield* Effect.scoped(
        Effect.flatMap(socket.writer, (writer) => Effect.andThen(writer.write("question"), pass(20)))
      )
      yield* firewall.until("end", soon)
      assert.strictEqual(firewall.bytes.subarray(asked).toString(), "question")
      yield* firewall.write(Buffer.from("answer"))
      assert.strictEqual(yield* read(reader, 6), "answer")
      yield* firewall.end()
      assert.strictEqual(yield* read(reader, 1), "<end>")
    }).pipe(Effect.scoped)
  )

  it.live("fails where the firewall resets it", () =>
    Effect.gen(function* () {
      const { dialled, firewall } = yield* dialling(kind)
      yield* play(firewall, kind.steps)
      const reader = yield* (yield* Fiber.join(dialled)).reader
      yield* Effect.forkChild(firewall.reset())
      const { reason } = yield* Effect.flip(reader.pull)
      assert.strictEqual(reason._tag, "SocketReadError")
    }).pipe(Effect.scoped)
  )

  it.live("leaves no socket behind: given back, interrupted, and nobody's", () =>
    Effect.gen(function* () {
      const before = sockets()
      yield* Effect.gen(function* () {
        const { dialled, firewall } = yield* dialling(kind)
        yield* play(firewall, kind.steps)
        yield* Fiber.join(dialled)
      }).pipe(Effect.scoped)
      for (const [index] of kind.steps.entries()) {
        yield* Effect.gen(function* () {
          const { dialled, firewall } = yield* dialling(kind)
          yield* play(firewall, kind.steps.slice(0, index))
          yield* Fiber.interrupt(dialled)
          yield* firewall.watch.until("the end", () => firewall.over, soon)
        }).pipe(Effect.scoped)
      }
      yield* eventually("the sockets to be gone", () => sockets() <= before)
    })
  )
})

describe("a proxy behind a firewall", { timeout: 30_000 }, () => {
  it.live("pipes like any other", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const dialer = NodeDialer.layer({ firewall: socks5.at(listener.port) })
      const proxy = yield* Proxy.serve({ target, dialer, closeTimeout: "30 seconds" })
      const client = yield* RawClient.request(proxy.port)
      const firewall = yield* listener.accept
      const asked = yield* play(firewall, socks5.steps, { behind: "banner" })
      yield* client.until("open", soon)
      yield* client.untilPayload(6, soon)
      assert.strictEqual(client.bytes.toString(), "banner")
      yield* client.send(Frames.binary, "hello")
      yield* firewall.untilReceived(asked + 5)
      yield* client.sendClose()
      yield* firewall.until("end", soon)
      yield* firewall.end()
      yield* client.until("close 1005", soon)
      yield* client.end()
      yield* proxy.idle(soon)
    }).pipe(Effect.scoped)
  )

  it.live("asks at each dial what to dial through", () =>
    Effect.gen(function* () {
      const through = yield* RawTarget.listen()
      const directly = yield* RawTarget.listen()
      let firewall: Firewall.Firewall = Firewall.none
      const asked: Array<string> = []
      const { dial } = NodeDialer.make({
        firewall: (target) => {
          asked.push(String(target))
          return firewall
        }
      })
      yield* dial(directly.target)
      yield* directly.accept
      firewall = tunnel.at(through.port)
      const dialled = yield* Effect.forkChild(dial(target), { startImmediately: true })
      yield* play(yield* through.accept, tunnel.steps)
      yield* Fiber.join(dialled)
      firewall = Firewall.none
      yield* dial(directly.target)
      yield* directly.accept
      assert.deepStrictEqual(asked, [String(directly.target), String(target), String(directly.target)])
    }).pipe(Effect.scoped)
  )
})

describe("Firewall", () => {
  it("has the ports that are usual", () => {
    const host = "fw.example"
    assert.deepStrictEqual(
      [Firewall.Tunnel, Firewall.Socks4, Firewall.Socks4a, Firewall.Socks5].map((kind) => new kind({ host }).port),
      [80, 1080, 1080, 1080]
    )
  })

  it("shows itself without its password", () => {
    const firewall = new Firewall.Socks5({ host: "::1", user: "ann", password: Redacted.make(secret) })
    assert.strictEqual(String(firewall), "SOCKS5 firewall [::1]:1080")
    assert.notInclude(JSON.stringify(firewall), secret)
  })

  it("refuses what its protocol cannot carry", () => {
    const host = "fw.example"
    const password = (text: string) => Redacted.make(text)
    assert.throws(() => new Firewall.Tunnel({ host, user: "a:b" }))
    assert.throws(() => new Firewall.Tunnel({ host, user: "a\r\nx: y" }))
    assert.throws(() => new Firewall.Tunnel({ host, user: "a\x7fb" }))
    assert.throws(() => new Firewall.Tunnel({ host, password: password("a\n") }))
    assert.throws(() => new Firewall.Socks4({ host, user: "a\0b" }))
    assert.throws(() => new Firewall.Socks4a({ host, user: "a".repeat(256) }))
    assert.throws(() => new Firewall.Socks5({ host, user: "\u20ac".repeat(86) }))
    assert.throws(() => new Firewall.Socks5({ host, password: password("a".repeat(256)) }))
    assert.throws(() => new Firewall.Socks5({ host: "" }))
    assert.throws(() => new Firewall.Socks5({ host, port: 0 }))
    assert.strictEqual(new Firewall.Socks5({ host, user: "a".repeat(255) }).user?.length, 255)
  })

  it.each([
    ["http://proxy.example:3128", "tunnel firewall proxy.example:3128", {}],
    ["http://proxy.example", "tunnel firewall proxy.example:80", {}],
    ["https://proxy.example/", "tunnel firewall proxy.example:443", { tls: true }],
    ["https://ann:a%40b%3Ac@[::1]:8443", "tunnel firewall [::1]:8443", { tls: true, user: "ann", password: "a@b:c" }],
    ["socks4://ann@proxy.example", "SOCKS4 firewall proxy.example:1080", { user: "ann" }],
    ["socks4a+tls://proxy.example", "SOCKS4a firewall proxy.example:1080", { tls: true }],
    [
      " socks5://ann:b%c3%bcch@proxy.example:9 ",
      "SOCKS5 firewall proxy.example:9",
      { user: "ann", password: "b\u00fcch" }
    ],
    ["SOCKS5+TLS://*proxy.example:9", "SOCKS5 firewall *proxy.example:9", { tls: true }]
  ])("is read from a URL: %s", (url, shown, { password, tls, user }: Record<string, unknown>) => {
    const firewall = Result.getOrThrow(Firewall.fromUrl(url))
    assert.strictEqual(String(firewall), shown)
    const secret = "password" in firewall && firewall.password !== undefined ? firewall.password : undefined
    assert.deepStrictEqual(
      [firewall.user, secret === undefined ? undefined : Redacted.value(secret), firewall.tls],
      [user, password, tls]
    )
  })

  it.each([
    "",
    "proxy.example:3128",
    "ftp://ann:open-sesame-7f3a@proxy.example",
    "http+tls://ann:open-sesame-7f3a@proxy.example",
    "socks5h://ann:open-sesame-7f3a@proxy.example",
    "socks4://ann:open-sesame-7f3a@proxy.example",
    "socks5://",
    "socks5://ann:open-sesame-7f3a@",
    "socks5://ann:open-sesame-7f3a@proxy.example:0",
    "socks5://ann:open-sesame-7f3a@proxy.example:65536",
    "socks5://ann:open-sesame-7f3a@proxy.example/path",
    "socks5://ann:open-sesame-7f3a@proxy.example?x",
    "socks5://ann:open-sesame-7f3a@proxy.example#x",
    "socks5://ann:open-sesame-7f3a%ff@proxy.example",
    "http://ann:open-sesame-7f3a%0a@proxy.example",
    `socks5://ann:${"open-sesame-7f3a".repeat(17)}@proxy.example`
  ])("is not read from a URL, and does not repeat it: %s", (url) => {
    const read = Firewall.fromUrl(url)
    assert.isTrue(Result.isFailure(read))
    if (Result.isFailure(read)) {
      assert.match(read.failure, /^expected a firewall as a URL such as/)
      if (/:(?:0|\/\/)$/.test(url)) assert.match(read.failure, /its host is missing, or its port is 0$/)
      assert.notInclude(read.failure, secret)
    }
  })

  it("is decoded by its tag", () => {
    const decode = Schema.decodeUnknownResult(Firewall.Firewall)
    const decoded = Result.getOrThrow(decode({ _tag: "Socks4", host: "fw.example", port: 1080, user: "ann" }))
    assert.instanceOf(decoded, Firewall.Socks4)
    assert.isTrue(Result.isFailure(decode({ _tag: "Socks6", host: "fw.example", port: 1080 })))
  })
})
