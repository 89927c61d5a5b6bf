/** Tokens in files and directories: what is read, what is read again, and what cannot be walked out of. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import { execFileSync } from "node:child_process"
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import * as Net from "node:net"
import { dirname } from "node:path"
import { TestClock } from "effect/testing"
import * as NodeTokenSource from "../../src/node/NodeTokenSource.ts"
import * as TokenSource from "../../src/proxy/TokenSource.ts"
import * as Proxy from "../proxy/proxy.ts"
import * as RawClient from "../proxy/rawClient.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { says } from "../proxy/says.ts"
import { folder } from "./folder.ts"

/** Keeps what is logged as an error. */
const logging = <A, E, R>(effect: (errors: ReadonlyArray<string>) => Effect.Effect<A, E, R>) => {
  const errors: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel === "Error") errors.push(String(Array.isArray(message) ? message[0] : message))
  })
  return Effect.provide(effect(errors), Logger.layer([logger]))
}

const pathParts = ["a", "b", "tokens", "/", "\\", "..", ".", "\0", "%2e", "%2f", "~", " ", "\n"] as const

const always = { interval: 0 }

describe("a file of tokens", () => {
  it.live("is read at first, and again when it has changed", () =>
    Effect.gen(function* () {
      const at = yield* folder
      const path = at("tokens")
      writeFileSync(path, "ann: a:1\n# nobody: n:1\n")
      const source = yield* NodeTokenSource.file({ path, ...always })
      assert.strictEqual(yield* says(source, "ann"), "a:1")
      for (const token of ["bob", "", "nobody", "# nobody", "ANN", "__proto__"]) {
        assert.isUndefined(yield* says(source, token))
      }
      // the same length, at once
      writeFileSync(path, "bob: b:2\n# nobody: n:1\n")
      assert.strictEqual(yield* says(source, "bob"), "b:2")
      assert.isUndefined(yield* says(source, "ann"))
      writeFileSync(at("new"), "ann: c:3")
      renameSync(at("new"), path)
      assert.strictEqual(yield* says(source, "ann"), "c:3")
    })
  )

  it.live("that is broken later is told once, and the one of before serves until it is right", () =>
    logging((errors) =>
      Effect.gen(function* () {
        const at = yield* folder
        const path = at("tokens")
        writeFileSync(path, "ann: a:1")
        const source = yield* NodeTokenSource.file({ path, ...always })
        writeFileSync(path, "ann: a:2\nsecret-of-bob a:1")
        for (let i = 0; i < 3; i++) assert.strictEqual(yield* says(source, "ann"), "a:1")
        assert.strictEqual(errors.length, 1)
        assert.match(
          errors[0]!,
          /^Tokens were not read anew.*tokens cannot be used: line 2: expected TOKEN: host:port$/
        )
        rmSync(path)
        for (let i = 0; i < 3; i++) assert.strictEqual(yield* says(source, "ann"), "a:1")
        assert.strictEqual(errors.length, 2)
        assert.match(errors[1]!, /there is no file/)
        writeFileSync(path, "ann: a:3")
        assert.strictEqual(yield* says(source, "ann"), "a:3")
        rmSync(path)
        yield* says(source, "ann")
        assert.strictEqual(errors.length, 3, "a failure that comes back is told again")
      })
    )
  )

  it.effect("is looked at no more often than it is said", () =>
    Effect.gen(function* () {
      const at = yield* folder
      writeFileSync(at("tokens"), "ann: a:1")
      const often = yield* NodeTokenSource.file({ path: at("tokens"), interval: "10 seconds" })
      const once = yield* NodeTokenSource.file({ path: at("tokens"), interval: "Infinity" })
      writeFileSync(at("tokens"), "ann: a:2")
      yield* TestClock.adjust("9999 millis")
      assert.strictEqual(yield* says(often, "ann"), "a:1")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* says(often, "ann"), "a:2")
      yield* TestClock.adjust("1000 days")
      assert.strictEqual(yield* says(once, "ann"), "a:1")
    })
  )

  it.live("has to be there and right at first, and no larger than it may be", () =>
    Effect.gen(function* () {
      const at = yield* folder
      const failure = (options: NodeTokenSource.FileOptions) =>
        Effect.map(Effect.flip(NodeTokenSource.file(options)), ({ message }) => message)
      assert.match(yield* failure({ path: at("none") }), /^there is no file .*none$/)
      writeFileSync(at("wrong"), "x")
      assert.match(yield* failure({ path: at("wrong") }), /line 1/)
      writeFileSync(at("binary"), new Uint8Array([0xff, 0xfe]))
      assert.match(yield* failure({ path: at("binary") }), /not UTF-8/)
      writeFileSync(at("large"), "ann: a:1\n")
      assert.match(yield* failure({ path: at("large"), maxSize: 8 }), /more than 8 bytes/)
      yield* NodeTokenSource.file({ path: at("large"), maxSize: 9 })
    })
  )

  it.live("is JSON where its name says so", () =>
    Effect.gen(function* () {
      const at = yield* folder
      writeFileSync(at("tokens.json"), JSON.stringify({ ann: { host: "::1", port: 1 }, bob: ["b:1", "b:2"] }))
      const source = yield* NodeTokenSource.file({ path: at("tokens.json"), ...always })
      assert.strictEqual(yield* says(source, "ann"), "[::1]:1")
      assert.strictEqual(yield* says(source, "bob"), "b:1,b:2")
    })
  )

  it.live("serves without a gap while it is written again and again", () =>
    logging((errors) =>
      Effect.gen(function* () {
        const at = yield* folder
        const path = at("tokens")
        const listener = yield* RawTarget.listen()
        const lines = (round: number) =>
          Array.from({ length: 500 }, (_, i) => `token-${i}: ${i === 7 ? listener.target : `r${round}:1`}`).join("\n")
        const write = (round: number) => {
          writeFileSync(at("new"), lines(round))
          renameSync(at("new"), path)
        }
        write(0)
        const source = yield* NodeTokenSource.file({ path, ...always })
        const proxy = yield* Proxy.serve({ target: TokenSource.routeOf(source) })
        const writing = yield* Effect.forkChild(
          Effect.forEach(
            Array.from({ length: 40 }, (_, i) => i),
            (i) =>
              Effect.andThen(
                Effect.sync(() => write(i)),
                Effect.sleep(5)
              ),
            { discard: true }
          )
        )
        yield* Effect.forEach(
          Array.from({ length: 100 }),
          () => Effect.scoped(RawClient.open(proxy.port, { path: "/?token=token-7" })),
          { concurrency: 8, discard: true }
        )
        yield* Fiber.join(writing)
        assert.strictEqual(yield* says(source, "token-1"), "r39:1")
        assert.deepStrictEqual([errors, proxy.log], [[], []])
      })
    )
  )
})

describe("a directory of files of tokens", () => {
  it.live("has the tokens of all of them, and follows them as they come and go", () =>
    logging((errors) =>
      Effect.gen(function* () {
        const at = yield* folder
        writeFileSync(at("a"), "ann: a:1\nboth: a:2")
        writeFileSync(at("b.json"), `{"bob":"b:1","both":"b:2"}`)
        writeFileSync(at(".hidden"), "no tokens at all")
        mkdirSync(at("below"))
        const source = yield* NodeTokenSource.file({ path: at(), ...always })
        const all = () => Effect.forEach(["ann", "bob", "both", "cid"], (token) => says(source, token))
        assert.deepStrictEqual(yield* all(), ["a:1", "b:1", "a:2", undefined])
        writeFileSync(at("c"), "cid: c:1")
        assert.deepStrictEqual(yield* all(), ["a:1", "b:1", "a:2", "c:1"])
        writeFileSync(at("a"), "broken")
        writeFileSync(at("c"), "cid: c:2")
        assert.deepStrictEqual(yield* all(), ["a:1", "b:1", "a:2", "c:2"], "a broken one holds up no other")
        assert.strictEqual(errors.length, 1)
        rmSync(at("a"))
        assert.deepStrictEqual(yield* all(), [undefined, "b:1", "b:2", "c:2"])
      })
    )
  )

  it.live("has no more files than it may, and none from outside", () =>
    Effect.gen(function* () {
      const outside = yield* folder
      writeFileSync(outside("x"), "eve: e:1")
      const at = yield* folder
      writeFileSync(at("a"), "ann: a:1")
      symlinkSync(outside("x"), at("link"))
      mkdirSync(at("..data"))
      writeFileSync(at("..data", "b"), "bob: b:1")
      symlinkSync("..data/b", at("b"))
      const source = yield* NodeTokenSource.file({ path: at(), ...always })
      assert.strictEqual(yield* says(source, "ann"), "a:1")
      assert.strictEqual(yield* says(source, "bob"), "b:1", "a link within it is as Kubernetes mounts it")
      assert.isUndefined(yield* says(source, "eve"))
      const error = yield* Effect.flip(NodeTokenSource.file({ path: at(), maxFiles: 2 }))
      assert.match(error.message, /3 files, and 2 are the most/)
      for (let i = 0; i < 998; i++) writeFileSync(at(`t${i}`), "")
      const many = yield* Effect.flip(NodeTokenSource.file({ path: at() }))
      assert.match(many.message, /1001 files, and 1000 are the most/)
    })
  )
})

describe("a directory with a file for each token", () => {
  it.live("is read at each look-up", () =>
    Effect.gen(function* () {
      const at = yield* folder
      writeFileSync(at("ann"), "a:1\n")
      writeFileSync(at("bob"), `{"host":"b","port":2}`)
      const source = yield* NodeTokenSource.directory({ path: at() })
      assert.strictEqual(yield* says(source, "ann"), "a:1")
      assert.strictEqual(yield* says(source, "bob"), "b:2")
      writeFileSync(at("ann"), "a:3")
      assert.strictEqual(yield* says(source, "ann"), "a:3")
      rmSync(at("ann"))
      assert.isUndefined(yield* says(source, "ann"))
    })
  )

  it.live("cannot be walked out of", () =>
    Effect.gen(function* () {
      const root = yield* folder
      mkdirSync(root("tokens"))
      mkdirSync(root("tokens-2"))
      mkdirSync(root("tokens", "below"))
      for (const path of ["outside", "tokens-2/outside", "tokens/inside", "tokens/.hidden", "tokens/below/deep"]) {
        writeFileSync(root(path), "target:1")
      }
      symlinkSync(root("outside"), root("tokens", "out"))
      symlinkSync("../tokens-2/outside", root("tokens", "beside"))
      symlinkSync("inside", root("tokens", "in"))
      symlinkSync("loop", root("tokens", "loop"))
      symlinkSync("/dev/zero", root("tokens", "zero"))
      execFileSync("mkfifo", [root("tokens", "pipe")])
      const source = yield* NodeTokenSource.directory({ path: root("tokens") })
      assert.strictEqual(yield* says(source, "inside"), "target:1")
      assert.strictEqual(yield* says(source, "in"), "target:1")
      for (const token of [
        "",
        ".",
        "..",
        "../outside",
        "..\\outside",
        "../tokens/inside",
        "./inside",
        "below/deep",
        "below/../inside",
        "below",
        root("outside"),
        root("tokens", "inside"),
        "/etc/hostname",
        "inside\0",
        "../outside\0x",
        "inside\n",
        ".hidden",
        "out",
        "beside",
        "loop",
        "zero",
        "pipe",
        "%2e%2e%2foutside",
        "x".repeat(300),
        "\u00e4".repeat(200)
      ]) {
        assert.isUndefined(yield* says(source, token), JSON.stringify(token))
      }
    })
  )

  it.live.prop(
    "is not walked out of by any token of what paths are made of",
    [Arbitrary.array(Arbitrary.schema(Schema.Literals(pathParts)), { maxLength: 8 })],
    ([parts]) =>
      Effect.gen(function* () {
        const token = parts.join("")
        const root = yield* folder
        mkdirSync(root("tokens"))
        for (const name of ["a", "b"]) writeFileSync(root(name), "outside:1")
        writeFileSync(root("tokens", "a"), "inside:1")
        const source = yield* NodeTokenSource.directory({ path: root("tokens") })
        assert.strictEqual(yield* says(source, token), token === "a" ? "inside:1" : undefined)
      }),
    { arbitrary: { runs: 200 } }
  )

  it.live("fails without a word of the token where a file is broken", () =>
    Effect.gen(function* () {
      const at = yield* folder
      writeFileSync(at("secret-broken"), "what?")
      writeFileSync(at("full"), "a:1".padEnd(4096))
      writeFileSync(at("secret-large"), "a:1".padEnd(4097))
      const source = yield* NodeTokenSource.directory({ path: at() })
      for (const token of ["secret-broken", "secret-large"]) {
        const { message } = yield* Effect.flip(source.lookup(token))
        assert.match(message, /cannot be used/)
        assert.notInclude(message, "secret-")
      }
      assert.strictEqual(yield* says(source, "full"), "a:1")
    })
  )

  it.live("has to be one", () =>
    Effect.gen(function* () {
      const at = yield* folder
      writeFileSync(at("file"), "a:1")
      for (const make of [NodeTokenSource.directory, NodeTokenSource.unixDirectory]) {
        for (const path of [at("file"), at("none")]) {
          assert.match((yield* Effect.flip(make({ path }))).message, /^there is no directory /)
        }
      }
    })
  )
})

describe("a directory of unix sockets", () => {
  it.live("leads to the socket of the token's name, and to nothing else", () =>
    Effect.gen(function* () {
      const at = yield* folder
      const elsewhere = yield* folder
      const listen = (path: string) =>
        Effect.acquireRelease(
          Effect.callback<Net.Server>((resume) => {
            const server = Net.createServer((socket) => socket.end("hello")).listen({ path }, () =>
              resume(Effect.succeed(server))
            )
          }),
          (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
        )
      yield* listen(at("desk"))
      yield* listen(elsewhere("other"))
      writeFileSync(at("file"), "x")
      symlinkSync(elsewhere("other"), at("link"))
      const source = yield* NodeTokenSource.unixDirectory({ path: at() })
      assert.strictEqual(yield* says(source, "desk"), `unix:${at("desk")}`)
      for (const token of ["file", "link", "none", "..", `../${dirname(elsewhere("other")).split("/").at(-1)}/other`]) {
        assert.isUndefined(yield* says(source, token), token)
      }
      const proxy = yield* Proxy.serve({ target: TokenSource.routeOf(source) })
      const client = yield* RawClient.open(proxy.port, { path: "/?token=desk" })
      yield* client.untilPayload("hello".length)
      assert.strictEqual(client.bytes.toString(), "hello")
    })
  )
})

describe("the layers of sources", () => {
  const said = Effect.flatMap(TokenSource.TokenSource, (source) => says(source, "ann"))

  it.live("have the source of their name", () =>
    Effect.gen(function* () {
      const at = yield* folder
      writeFileSync(at("ann"), "a:1")
      assert.strictEqual(yield* Effect.provide(said, NodeTokenSource.layerDirectory({ path: at() })), "a:1")
      // that is a file, and no socket
      assert.isUndefined(yield* Effect.provide(said, NodeTokenSource.layerUnixDirectory({ path: at() })))
      rmSync(at("ann"))
      yield* Effect.acquireRelease(
        Effect.callback<Net.Server>((resume) => {
          const server = Net.createServer().listen({ path: at("ann") }, () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
      )
      assert.strictEqual(
        yield* Effect.provide(said, NodeTokenSource.layerUnixDirectory({ path: at() })),
        `unix:${at("ann")}`
      )
    })
  )

  it.live("fail where there is no directory", () =>
    Effect.gen(function* () {
      const path = (yield* folder)("none")
      for (const layer of [NodeTokenSource.layerDirectory, NodeTokenSource.layerUnixDirectory]) {
        assert.match((yield* Effect.flip(Effect.provide(said, layer({ path })))).message, /^there is no directory /)
      }
    })
  )
})
