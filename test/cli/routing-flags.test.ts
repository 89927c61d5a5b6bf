/** What the flags that choose the target come to, without a process for each. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { SignJWT } from "jose"
import { generateKeyPairSync } from "node:crypto"
import { writeFileSync } from "node:fs"
import * as Net from "node:net"
import { createClient } from "redis"
import * as Routing from "../../src/cli/routing.ts"
import { has } from "../installed.ts"
import { folder } from "../node/folder.ts"
import { redis } from "../node/redis.ts"
import { answering } from "../proxy/answering.ts"
import { led } from "../proxy/asking.ts"

type Flags = Partial<Routing.Flags>

const nothing: Routing.Flags = {
  route: [],
  balance: Option.none(),
  tokenPlugin: Option.none(),
  tokenSource: Option.none(),
  tokenSourceEnv: Option.none(),
  tokenIssuer: [],
  tokenAudience: [],
  targetConfig: Option.none(),
  hostToken: false,
  targetFromClient: false,
  allowTarget: [],
  denyTarget: []
}

const { some } = Option
const parse = (flags: Flags, target?: string) => Routing.parse(target, { ...nothing, ...flags })
const plugin = (name: string, source: string, more: Flags = {}) =>
  parse({ tokenPlugin: some(name), tokenSource: some(source), ...more })

describe("the addresses of a proxy", () => {
  it.effect.each([
    [["a:1"], {}, ["127.0.0.1:8080", "a:1"]],
    [["6080", "a:1"], {}, ["6080", "a:1"]],
    [["6080", "a:1"], { route: ["/b=b:1"] }, ["6080", "a:1"]],
    [["a:1"], { route: ["/b=b:1"] }, ["a:1", undefined]],
    [["6080"], { tokenPlugin: some("file") }, ["6080", undefined]],
    [["6080"], { targetConfig: some("x") }, ["6080", undefined]],
    [[], { targetFromClient: true }, ["127.0.0.1:8080", undefined]]
  ] as const)("%j with %j: %j", ([typed, flags, expected]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Routing.addresses(typed, { ...nothing, ...flags }), expected)
    })
  )

  it.effect.each([
    [{ tokenSource: some("x") }, "--token-source"],
    [{ tokenSourceEnv: some("X") }, "--token-source-env"],
    [{ tokenIssuer: ["x"] }, "--token-issuer"],
    [{ tokenAudience: ["x"] }, "--token-audience"],
    [{ hostToken: true }, "--host-token"]
  ] as const)("with %j alone are not looked at: --token-plugin is missing", ([flags, flag]) =>
    Effect.gen(function* () {
      for (const typed of [["0"], ["0", "a:1"]]) {
        const { message } = yield* Effect.flip(Routing.addresses(typed, { ...nothing, ...flags }))
        assert.strictEqual(message, `${flag} needs --token-plugin, such as --token-plugin file`)
      }
    })
  )
})

describe("the flags that choose the target", { timeout: 60_000 }, () => {
  it.effect("are paths, and a target for the rest", () =>
    Effect.gen(function* () {
      const route = yield* parse({ route: ["/a=a:1", "/b/*=b:1,c:1", "/d=e:1"] }, "rest:1")
      assert.deepStrictEqual(yield* led(route, "/a"), ["a:1"])
      assert.deepStrictEqual(yield* led(route, "/b/x"), ["b:1", "c:1"])
      assert.deepStrictEqual(yield* led(route, "/d"), ["e:1"])
      assert.deepStrictEqual(yield* led(route, "/a/x"), ["rest:1"])
      assert.strictEqual(yield* led(yield* parse({ route: ["/a=a:1"] }), "/b"), 404)
    })
  )

  it.effect("are turns", () =>
    Effect.gen(function* () {
      const turns = yield* parse({ balance: some("round-robin") }, "a:1, unix:/run/b")
      assert.deepStrictEqual(yield* led(turns, "/"), ["a:1", "unix:/run/b"])
      assert.deepStrictEqual(yield* led(turns, "/"), ["unix:/run/b", "a:1"])
      const order = yield* parse({ balance: some("failover") }, "a:1,b:1")
      for (let i = 0; i < 2; i++) assert.deepStrictEqual(yield* led(order, "/"), ["a:1", "b:1"])
    })
  )

  it.live("are tokens of files and directories, by each name of a plugin", () =>
    Effect.gen(function* () {
      const at = yield* folder
      writeFileSync(at("tokens"), "ann: a:1\nbob: unix:/run/b\n")
      for (const name of ["file", "TokenFile", "ReadOnlyTokenFile"]) {
        const route = yield* plugin(name, at("tokens"))
        assert.deepStrictEqual(yield* led(route, "/?token=ann"), ["a:1"])
        assert.deepStrictEqual(yield* led(route, "/?token=bob"), ["unix:/run/b"])
        assert.strictEqual(yield* led(route, "/"), 404)
      }
      const config = yield* parse({ targetConfig: some(at("tokens")) })
      assert.deepStrictEqual(yield* led(config, "/?token=ann"), ["a:1"])
      const files = yield* folder
      writeFileSync(files("ann"), "a:1")
      for (const name of ["directory", "TokenFileName"]) {
        const route = yield* plugin(name, files())
        assert.deepStrictEqual(yield* led(route, "/?token=ann"), ["a:1"])
        assert.strictEqual(yield* led(route, "/?token=..%2Fann"), 404)
      }
      const sockets = yield* folder
      yield* Effect.acquireRelease(
        Effect.callback<Net.Server>((resume) => {
          const server = Net.createServer().listen({ path: sockets("ann") }, () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      for (const name of ["unix-directory", "UnixDomainSocketDirectory"]) {
        assert.deepStrictEqual(yield* led(yield* plugin(name, sockets()), "/?token=ann"), [`unix:${sockets("ann")}`])
      }
    })
  )

  it.live("are tokens in the Host header: the whole name, or its first label; and paths come first", () =>
    Effect.gen(function* () {
      const at = yield* folder
      writeFileSync(at("tokens"), "ann: a:1\nbob.desk.example: b:1\n")
      const route = yield* plugin("file", at("tokens"), { hostToken: true, route: ["/x=x:1"] })
      const asked = (host: string, path = "/?token=ann") => led(route, path, { headers: { host } })
      assert.deepStrictEqual(yield* asked("ann.desk.example:6080"), ["a:1"])
      assert.deepStrictEqual(yield* asked("Bob.Desk.Example"), ["b:1"])
      assert.strictEqual(yield* asked("bob.other.example"), 404)
      assert.deepStrictEqual(yield* asked("nobody", "/x"), ["x:1"])
    })
  )

  it.live("are tokens that a service knows", () =>
    Effect.gen(function* () {
      const service = yield* answering((path, response) =>
        path === "/of/a%20token"
          ? void response.end('{"host":"a","port":1}')
          : path === "/of/text"
            ? void response.end("b:1")
            : void response.writeHead(404).end()
      )
      for (const name of ["http", "JSONTokenApi", "BaseTokenAPI"]) {
        const route = yield* plugin(name, `${service.url}/of/%s`)
        assert.deepStrictEqual(yield* led(route, "/?token=a%20token"), ["a:1"])
        assert.deepStrictEqual(yield* led(route, "/?token=text"), ["b:1"])
        assert.strictEqual(yield* led(route, "/?token=b"), 404)
      }
    })
  )

  it.live("are signed tokens, by a key in a file or a set at an address", () =>
    Effect.gen(function* () {
      const at = yield* folder
      const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
      writeFileSync(at("key.pem"), publicKey.export({ type: "spki", format: "pem" }))
      const jwks = JSON.stringify({ keys: [publicKey.export({ format: "jwk" })] })
      const service = yield* answering((_, response) => void response.end(jwks))
      const sign = (issuer: string, audience: string) =>
        Effect.promise(() =>
          new SignJWT({ host: "a", port: 1 })
            .setProtectedHeader({ alg: "ES256" })
            .setExpirationTime("1 minute")
            .setIssuer(issuer)
            .setAudience(audience)
            .sign(privateKey)
        )
      for (const [name, source] of [
        ["jwt", at("key.pem")],
        ["JWTTokenApi", at("key.pem")],
        ["jwt", service.url]
      ] as const) {
        const route = yield* plugin(name, source, { tokenIssuer: ["us"], tokenAudience: ["vnc", "ssh"] })
        assert.deepStrictEqual(yield* led(route, `/?token=${yield* sign("us", "vnc")}`), ["a:1"])
        assert.strictEqual(yield* led(route, `/?token=${yield* sign("us", "other")}`), 404)
        assert.strictEqual(yield* led(route, `/?token=${yield* sign("them", "vnc")}`), 404)
        assert.deepStrictEqual(yield* led(yield* plugin(name, source), `/?token=${yield* sign("them", "x")}`), ["a:1"])
      }
      const endless = yield* Effect.promise(() =>
        new SignJWT({ host: "a", port: 1 }).setProtectedHeader({ alg: "ES256" }).sign(privateKey)
      )
      assert.strictEqual(yield* led(yield* plugin("jwt", at("key.pem")), `/?token=${endless}`), 404)
      assert.deepStrictEqual(yield* led(yield* plugin("JWTTokenApi", at("key.pem")), `/?token=${endless}`), ["a:1"])
    })
  )

  it.live.runIf(has("redis-server"))("are tokens that Redis has, by its address or as websockify has it", () =>
    Effect.gen(function* () {
      const server = yield* redis()
      const client = yield* Effect.acquireRelease(
        Effect.promise(() => createClient({ url: `redis://127.0.0.1:${server.port}/2` }).connect()),
        (client) => Effect.sync(() => client.destroy())
      )
      yield* Effect.promise(() => client.mSet({ ann: "a:1", "desk:bob": `{"host":"b:1"}` }))
      const at = `127.0.0.1:${server.port}`
      const ann = ["a:1"]
      const bob = ["b:1"]
      for (const [name, source, ofAnn, ofBob] of [
        ["redis", `redis://${at}/2`, ann, 404],
        ["redis", `redis://${at}`, 404, 404],
        ["TokenRedis", at, 404, 404],
        ["TokenRedis", `${at}:2`, ann, 404],
        ["TokenRedis", `${at}:2::desk`, 404, bob]
      ] as const) {
        const route = yield* plugin(name, source)
        assert.deepStrictEqual(yield* led(route, "/?token=ann"), ofAnn, source)
        assert.deepStrictEqual(yield* led(route, "/?token=bob"), ofBob, source)
      }
      yield* Effect.promise(() => client.configSet("requirepass", "a:secret"))
      process.env["TEST_REDIS"] = `redis://:a%3Asecret@${at}/2`
      const route = yield* parse({ tokenPlugin: some("redis"), tokenSourceEnv: some("TEST_REDIS") })
      assert.deepStrictEqual(yield* led(route, "/?token=ann"), ann)
      delete process.env["TEST_REDIS"]
    })
  )

  it.effect("are what the client says, of what is allowed", () =>
    Effect.gen(function* () {
      const flags: Flags = {
        targetFromClient: true,
        allowTarget: ["a:1", "*.db:5432", "p", "rest"],
        denyTarget: ["x.db"]
      }
      const route = yield* parse(flags)
      assert.deepStrictEqual(yield* led(route, "/v1?address=a:1"), ["a:1"])
      assert.deepStrictEqual(yield* led(route, "/v1?address=y.db:5432"), ["y.db:5432"])
      assert.strictEqual(yield* led(route, "/v1?address=x.db:5432"), 403)
      assert.strictEqual(yield* led(route, "/v1?address=a:2"), 403)
      assert.strictEqual(yield* led(route, "/v1"), 404)
      const more = yield* parse({ ...flags, route: ["/p=p:1"] }, "rest:1")
      assert.deepStrictEqual(yield* led(more, "/v1"), ["rest:1"])
      assert.deepStrictEqual(yield* led(more, "/p?address=a:1"), ["p:1"])
      assert.strictEqual(yield* led(more, "/v1?address=a:2"), 403)
    })
  )
})

describe("rules about targets", () => {
  it.effect("leave alone what they may let through, once its name is looked up", () =>
    Effect.gen(function* () {
      const rules: ReadonlyArray<readonly [Flags, string]> = [
        [{ allowTarget: ["10.0.0.0/8"] }, "db:5432"],
        [{ allowTarget: ["other", "*"] }, "db:5432"],
        [{ allowTarget: ["*.internal:5432"] }, "*db.internal:5432"],
        [{ allowTarget: ["127.0.0.1:5432"] }, "127.0.0.1:5432"],
        [{ allowTarget: ["unix:/run/x"] }, "unix:/run/x"],
        [{ denyTarget: ["10.0.0.0/8"] }, "db:5432"]
      ]
      for (const [flags, target] of rules) {
        assert.deepStrictEqual(yield* led(yield* parse(flags, target), "/"), [target])
      }
    })
  )
})

describe("a mistake about targets", () => {
  const source = { tokenPlugin: some("file"), tokenSource: some("x") }
  const mistakes: ReadonlyArray<readonly [Flags, RegExp, string?]> = [
    [{ route: ["db=a:1"] }, /--route .*PATH=TARGET.*db=a:1/],
    [{ route: ["/db"] }, /--route .*PATH=TARGET/],
    [{ route: ["/db?x=a:1"] }, /--route .*PATH=TARGET/],
    [{ route: ["/db=nonsense"] }, /host:port.*nonsense/],
    [{}, /host:port.*"b"/, "a:1,b"],
    [{}, /host:port.*""/, "a:1,"],
    [{ balance: some("random") }, /--balance .*round-robin.*random/, "a:1,b:2"],
    [{ balance: some("failover") }, /--balance .*several/, "a:1"],
    [{ tokenPlugin: some("magic"), tokenSource: some("x") }, /--token-plugin .*TokenFile.*magic/],
    [{ tokenPlugin: some("__proto__"), tokenSource: some("x") }, /--token-plugin .*TokenFile/],
    [{ tokenPlugin: some("file") }, /--token-plugin file .*--token-source/],
    [{ route: ["/db=a:1", "/x=b:1", "/db=c:1"] }, /--route \/db is there twice/],
    [{ route: ["/a/*/b=a:1"] }, /--route .*\* at its end alone.*\/a\/\*\/b/],
    [{ denyTarget: ["10.0.0.0/8"] }, /target 10\.0\.0\.1:5 .*denied by 10\.0\.0\.0\/8/, "a:1,10.0.0.1:5"],
    [{ allowTarget: ["10.0.0.0/8"] }, /target 192\.168\.0\.1:5 .*not among what is allowed/, "192.168.0.1:5"],
    [{ allowTarget: ["b", "*.a"] }, /target a:1 .*not among what is allowed/, "a:1"],
    [{ route: ["/db=a:1"], denyTarget: ["a"] }, /target a:1 .*denied by a/],
    [{ denyTarget: ["unix:/run/x"] }, /target unix:\/run\/x .*denied by unix:\/run\/x/, "unix:/run/x"],
    [{ ...source, targetConfig: some("x") }, /--target-config .*--token-plugin/],
    [{ ...source, tokenSourceEnv: some("X") }, /--token-source-env .*--token-source/],
    [{ ...source, tokenAudience: ["vnc"] }, /--token-audience .*jwt/],
    [{ ...source, tokenSource: some("/no/such/file") }, /--token-source: .*\/no\/such\/file/],
    [source, /TARGET a:1 .*no token/, "a:1"],
    [{ ...source, targetFromClient: true, allowTarget: ["a:1"] }, /--target-from-client .*no token/],
    [{ tokenPlugin: some("redis"), tokenSourceEnv: some("NO_SUCH_VARIABLE") }, /NO_SUCH_VARIABLE, which is not set/],
    [{ ...source, tokenPlugin: some("directory") }, /--token-source: there is no directory x/],
    [{ ...source, tokenPlugin: some("http") }, /--token-source: .*https:\/\//],
    [{ ...source, tokenPlugin: some("jwt") }, /--token-source: .*x.*ENOENT/],
    [{ tokenPlugin: some("jwt"), tokenSource: some("http://id.example/keys") }, /--token-source: .*https/],
    [{ tokenPlugin: some("jwt"), tokenSource: some(import.meta.filename) }, /--token-source: .*public key/],
    [{ tokenPlugin: some("redis"), tokenSource: some("redis://") }, /--token-source: Redis: .*redis:\/\/localhost/],
    [{ targetFromClient: true }, /--target-from-client .*--allow-target/],
    [{ targetFromClient: true, denyTarget: ["a"] }, /--target-from-client .*--allow-target/],
    [{ targetFromClient: true, allowTarget: ["a:b"] }, /--allow-target: .*a:b/]
  ]
  it.effect.each(mistakes)("is one line: %j", ([flags, message, target]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(parse(flags, target))
      assert.match(error.message, message)
      assert.strictEqual(error._tag, "UsageError")
      assert.notInclude(error.message, "\n")
      assert.isBelow(error.message.length, 280)
    })
  )
})
