/**
 * The flags that say who may come in, as their user has them, with clients of other makes: curl, Python's `websockets`, and `ws`,
 * which like a browser gives up an answer without a subprotocol that it offered.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Result } from "effect"
import { execFile, execFileSync } from "node:child_process"
import { createHash, createPublicKey } from "node:crypto"
import { once } from "node:events"
import type { ConnectionOptions } from "node:tls"
import * as jose from "jose"
import { WebSocket, type ClientOptions } from "ws"
import * as Admission from "../../src/cli/admission.ts"
import * as Installed from "../installed.ts"
import { ask, connect, upgradeRequest } from "../server/wire.ts"
import { certificate, chain, folder, key, openssl, path, read, text, write } from "../tls/openssl.ts"
import { eventually } from "../proxy/watch.ts"
import { listening, start } from "./command.ts"
import { untold } from "./mistake.ts"

chain()
certificate("ann", { issuer: "root", subject: "/C=DE/O=Example/OU=Ops/CN=ann.example" })
certificate("bob", { issuer: "root", subject: "/C=DE/O=Example/OU=Dev/CN=bob.example" })
write("both.pem", text("leaf.crt") + text("middle.crt") + text("leaf.key"))
key("rsa2048")
openssl(..."pkey -in rsa2048.key -pubout -out rsa.pub".split(" "))
write("tokens", `sha256:${createHash("sha256").update("anns-token-1234567890").digest("hex")} ann\n`)
write("secret", "0123456789abcdef0123456789abcdef\n")

const password = "Größe: 42"
const hasHtpasswd = Installed.has("htpasswd")
if (hasHtpasswd) {
  for (const [flags, user, secret] of [
    ["-ciB", "jürgen", password],
    ["-iB", "ann", "anns-secret"]
  ] as const) {
    execFileSync("htpasswd", [flags, "-C", "5", path("users"), user], {
      input: secret,
      stdio: ["pipe", "ignore", "ignore"]
    })
  }
}

const basic = (user: string, secret: string) => `Basic ${Buffer.from(`${user}:${secret}`).toString("base64")}`

const statusOf = (port: number, headers: Readonly<Record<string, string>> = {}, target = "/") =>
  Effect.map(Effect.scoped(ask(port, upgradeRequest(headers, target))), ({ status }) => status)

/** A handshake of curl's; what is after it does not end, so curl is given a second for it. */
const curl = (port: number, ...args: ReadonlyArray<string>): Effect.Effect<number> =>
  Effect.promise(
    () =>
      new Promise((resolve) => {
        const upgrade = [
          "Connection: Upgrade",
          "Upgrade: websocket",
          "Sec-WebSocket-Version: 13",
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        ].flatMap((header) => ["-H", header])
        const all = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "--http1.1", "-m", "3", ...upgrade, ...args]
        execFile("curl", [...all, `http://127.0.0.1:${port}/`], (_, stdout) => resolve(Number(stdout)))
      })
  )

type Tls = ClientOptions & ConnectionOptions

/** What comes back, or why nothing does. */
const echoed = (url: string, protocols: ReadonlyArray<string>, options: Tls = {}): Effect.Effect<string> =>
  Effect.promise(async () => {
    const client = new WebSocket(url, [...protocols], options)
    try {
      await once(client, "open")
      client.send("hello")
      const [data] = await once(client, "message")
      client.close()
      await once(client, "close")
      return `${client.protocol} ${String(data)}`
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  })

const python = `
import asyncio, sys, websockets
async def main(url):
    try:
        async with websockets.connect(url) as socket:
            await socket.send("hello")
            print(await socket.recv())
    except Exception as error:
        print(type(error).__name__, error)
asyncio.run(main(sys.argv[1]))
`
const withPython = (url: string): Effect.Effect<string> =>
  Effect.promise(
    () => new Promise((resolve) => execFile("/usr/bin/python3", ["-c", python, url], (_, out) => resolve(out.trim())))
  )
const hasPython = Result.isSuccess(
  Result.try(() => execFileSync("/usr/bin/python3", ["-c", "import websockets"], { stdio: "ignore" }))
)
const pythonMissing = hasPython ? undefined : Installed.lacking("python3-websockets is not installed")

const token = (claims: jose.JWTPayload = {}) =>
  Effect.promise(async () => {
    const signer = await jose.importPKCS8(text("rsa2048.key"), "RS256")
    return new jose.SignJWT({ sub: "ann", iss: "https://id.example/", aud: "vnc", ...claims })
      .setProtectedHeader({ alg: "RS256" })
      .setExpirationTime("5m")
      .sign(signer)
  })

describe("admission", { timeout: 120_000 }, () => {
  it.live("--allow-client and --deny-client decide by address", () =>
    Effect.gen(function* () {
      for (const [args, status] of [
        [["--allow-client", "127.0.0.0/8"], 101],
        [["--allow-client", "192.0.2.1, localhost"], 101],
        [["--allow-client", "192.0.2.1", "--allow-client", "10.*"], 403],
        [["--deny-client", "127.0.0.1"], 403],
        [["--allow-client", "*", "--deny-client", "127.0.0.*"], 403]
      ] as const) {
        const { port } = yield* listening("echo", "0", ...args)
        assert.strictEqual(yield* statusOf(port), status, args.join(" "))
      }
    }).pipe(Effect.scoped)
  )

  it.live("--max-handshake-rate takes a rate by the second, the minute or the hour", () =>
    Effect.gen(function* () {
      const { port } = yield* listening("echo", "0", "--max-handshake-rate", "3/h")
      const statuses = []
      for (let i = 0; i < 4; i++) statuses.push(yield* statusOf(port))
      assert.deepStrictEqual(statuses, [101, 101, 101, 429])
    }).pipe(Effect.scoped)
  )

  it.live.skipIf(!hasHtpasswd)("--htpasswd asks for a password that curl -u and Python give, and tells nobody", () =>
    Effect.gen(function* () {
      const command = yield* listening("echo", "0", "--htpasswd", path("users"), "--auth-realm", "the tests")
      const { port, stderr } = command
      const refused = yield* ask(port, upgradeRequest())
      assert.strictEqual(refused.status, 401)
      assert.strictEqual(refused.headers["www-authenticate"], 'Basic realm="the tests", charset="UTF-8"')
      const wrong = yield* ask(port, upgradeRequest({ Authorization: basic("jürgen", "wrong-secret") }))
      const unknown = yield* ask(port, upgradeRequest({ Authorization: basic("nobody", "wrong-secret") }))
      assert.deepStrictEqual([wrong, unknown], [refused, refused])
      assert.strictEqual(yield* curl(port, "-u", `jürgen:${password}`), 101)
      assert.strictEqual(yield* curl(port, "-u", "jürgen:wrong-secret"), 401)
      if (pythonMissing === undefined) {
        // it decodes nothing of a URL, and so has no other characters to give
        assert.strictEqual(yield* withPython(`ws://ann:anns-secret@127.0.0.1:${port}/`), "hello")
        assert.match(yield* withPython(`ws://ann:wrong-secret@127.0.0.1:${port}/`), /401/)
      }
      yield* eventually("it is told", () => stderr().includes('wrong password for "jürgen"'))
      yield* eventually("it is told", () => stderr().includes("no such user"))
      for (const secret of ["wrong-secret", "anns-secret", password, basic("jürgen", password).slice(6)]) {
        assert.notInclude(stderr(), secret)
      }
    }).pipe(Effect.scoped)
  )

  it.live(
    "--bearer-file and --jwt-key take a token from the header, the query or a subprotocol, as they are told",
    () =>
      Effect.gen(function* () {
        const { port, stderr, url } = yield* listening(
          "echo",
          "0",
          "--bearer-file",
          path("tokens"),
          "--jwt-key",
          path("rsa.pub"),
          ..."--jwt-issuer https://id.example/ --jwt-audience vnc".split(" "),
          ..."--bearer-from header --bearer-from query:access_token --bearer-from subprotocol:bearer.".split(" ")
        )
        const signed = yield* token()
        for (const one of ["anns-token-1234567890", signed]) {
          assert.strictEqual(yield* statusOf(port, { Authorization: `Bearer ${one}` }), 101)
          assert.strictEqual(yield* statusOf(port, {}, `/?access_token=${one}`), 101)
          assert.strictEqual(yield* echoed(url, ["binary", `bearer.${one}`]), "binary hello")
          assert.strictEqual(yield* echoed(url, [`bearer.${one}`, "binary"]), "binary hello")
          assert.strictEqual(yield* echoed(url, [`bearer.${one}`]), `bearer.${one} hello`)
          assert.match(yield* echoed(url, ["binary", `bearer.${one}x`]), /401/)
        }
        for (const claims of [{ iss: "https://evil.example/" }, { aud: "other" }, { nbf: 4e9 }]) {
          assert.strictEqual(yield* statusOf(port, { Authorization: `Bearer ${yield* token(claims)}` }), 401)
        }
        yield* eventually("it is told", () => stderr().includes("another issuer"))
        for (const secret of ["anns-token", signed.split(".")[2]!]) assert.notInclude(stderr(), secret)
        const header = yield* listening("echo", "0", "--bearer-file", path("tokens"))
        assert.strictEqual(yield* statusOf(header.port, {}, "/?access_token=anns-token-1234567890"), 401)
      }).pipe(Effect.scoped)
  )

  it.live("--jwt-secret verifies what is signed with it", () =>
    Effect.gen(function* () {
      const { port } = yield* listening("echo", "0", "--jwt-secret", path("secret"))
      const signed = yield* Effect.promise(() =>
        new jose.SignJWT({})
          .setProtectedHeader({ alg: "HS256" })
          .setExpirationTime("5m")
          .sign(new TextEncoder().encode("0123456789abcdef0123456789abcdef"))
      )
      assert.strictEqual(yield* statusOf(port, { Authorization: `Bearer ${signed}` }), 101)
      assert.strictEqual(yield* statusOf(port, { Authorization: `Bearer ${yield* token()}` }), 401)
    }).pipe(Effect.scoped)
  )

  it.live("--client-cert-subject asks whose certificate it is, and --satisfy any takes a token in its place", () =>
    Effect.gen(function* () {
      const tls = ["--cert", path("both.pem"), "--client-ca", path("root.crt")]
      const serve = (...args: ReadonlyArray<string>) =>
        Effect.map(
          Effect.flatMap(start(["echo", "0", ...tls, ...args]), (command) => command.line(1)),
          (line) => `wss://127.0.0.1:${/:(\d+)$/.exec(line)?.[1]}`
        )
      const of = (name: string): Tls => ({
        ca: read("root.crt"),
        cert: read(`${name}.crt`),
        key: read(`${name}.key`),
        servername: "localhost"
      })
      const none: Tls = { ca: read("root.crt"), servername: "localhost" }
      const withToken = { headers: { authorization: "Bearer anns-token-1234567890" } }

      const ops = yield* serve("--client-cert-subject", "OU=Ops, O=Example")
      assert.strictEqual(yield* echoed(ops, [], of("ann")), " hello")
      assert.match(yield* echoed(ops, [], of("bob")), /403/)
      const plugin = yield* serve("--auth-plugin", "ClientCertCNAuth", "--auth-source", "eve.example bob.example")
      assert.strictEqual(yield* echoed(plugin, [], of("bob")), " hello")
      assert.match(yield* echoed(plugin, [], of("ann")), /403/)

      const bearer = ["--bearer-file", path("tokens"), "--client-cert-subject", "ann.example"]
      const all = yield* serve(...bearer)
      assert.match(yield* echoed(all, [], of("ann")), /401/)
      assert.strictEqual(yield* echoed(all, [], { ...of("ann"), ...withToken }), " hello")
      const any = yield* serve(...bearer, "--satisfy", "any")
      assert.strictEqual(yield* echoed(any, [], of("ann")), " hello")
      assert.strictEqual(yield* echoed(any, [], { ...none, ...withToken }), " hello")
      assert.match(yield* echoed(any, [], none), /401/)
      assert.match(yield* echoed(any, [], of("bob")), /401/)
    }).pipe(Effect.scoped)
  )

  it.live("--auth-plugin means what it means to websockify", () =>
    Effect.gen(function* () {
      const plain = yield* listening("echo", "0", "--auth-plugin", "BasicHTTPAuth", "--auth-source", "ann:se:cret-one")
      assert.strictEqual(yield* statusOf(plain.port), 401)
      assert.strictEqual(yield* statusOf(plain.port, { Authorization: basic("ann", "se:cret-one") }), 101)
      assert.strictEqual(yield* statusOf(plain.port, { Authorization: basic("ann", "other") }), 401)
      yield* eventually("it is told", () => plain.stderr().includes("--htpasswd"))
      assert.notInclude(plain.stderr(), "cret-one")
      const pages = [
        "--auth-plugin",
        "auth_plugins.ExpectOrigin",
        "--auth-source",
        "https://a.example https://b.example"
      ]
      // a page that is not of the proxy's own host, which it takes by default
      const { port } = yield* listening("proxy", "0", `127.0.0.1:${plain.port}`, ...pages)
      assert.strictEqual(yield* statusOf(port, { Origin: "https://b.example" }), 101)
      assert.strictEqual(yield* statusOf(port, { Origin: "https://c.example" }), 403)
      assert.strictEqual(yield* statusOf(port), 403)
    }).pipe(Effect.scoped)
  )

  it.live("--web-auth asks for the same before it shows a file", () =>
    Effect.gen(function* () {
      write("index.html", "<p>a page</p>\n")
      const web = ["--web", folder, "--bearer-file", path("tokens")]
      const get = (port: number, headers: Readonly<Record<string, string>> = {}) =>
        Effect.promise(() => fetch(`http://127.0.0.1:${port}/`, { headers }))
      const open = yield* listening("proxy", "0", "127.0.0.1:1", ...web)
      assert.strictEqual((yield* get(open.port)).status, 200)
      const { port } = yield* listening("proxy", "0", "127.0.0.1:1", ...web, "--web-auth")
      const refused = yield* get(port)
      assert.deepStrictEqual(
        [refused.status, refused.headers.get("www-authenticate"), yield* Effect.promise(() => refused.text())],
        [401, 'Bearer realm="effect-websocket"', "The request was refused.\n"]
      )
      const shown = yield* get(port, { authorization: "Bearer anns-token-1234567890" })
      assert.include(yield* Effect.promise(() => shown.text()), "a page")
      assert.strictEqual(yield* statusOf(port), 401)
      assert.strictEqual(yield* statusOf(port, { Authorization: "Bearer anns-token-1234567890" }), 502)
    }).pipe(Effect.scoped)
  )

  it.live("wrong passwords for files and WebSockets are counted together, and too many get 429", () =>
    Effect.gen(function* () {
      write("index.html", "<p>a page</p>\n")
      const password = ["--auth-plugin", "BasicHTTPAuth", "--auth-source", "ann:right"]
      const { port } = yield* listening("proxy", "0", "127.0.0.1:1", "--web", folder, "--web-auth", ...password)
      const headers = { Authorization: basic("ann", "wrong") }
      const page = Effect.promise(async () => (await fetch(`http://127.0.0.1:${port}/`, { headers })).status)
      const statuses: Array<number> = []
      for (let i = 0; i < 10; i++) statuses.push(yield* i % 2 === 0 ? page : statusOf(port, headers))
      assert.deepStrictEqual([...new Set(statuses)], [401])
      // one more may be looked at for each six seconds that this took
      for (const ask of [page, statusOf(port, headers)]) {
        for (let i = 0; i < 20 && statuses.at(-1) !== 429; i++) statuses.push(yield* ask)
        assert.strictEqual(statuses.pop(), 429)
      }
    }).pipe(Effect.scoped)
  )

  it.live("limits of a proxy count connections that say nothing, where no files are served", () =>
    Effect.gen(function* () {
      const target = yield* listening("echo", "0")
      const { port } = yield* listening("proxy", "0", `127.0.0.1:${target.port}`, "--max-connections", "1")
      yield* connect(port)
      assert.strictEqual(yield* statusOf(port), 503)
    }).pipe(Effect.scoped)
  )

  it.live("warns of passwords without TLS where others can listen", () =>
    Effect.gen(function* () {
      const far = yield* start(["echo", "0.0.0.0:0", "--bearer-file", path("tokens")])
      yield* far.line(1)
      yield* eventually("it is told", () => far.stderr().includes("without TLS"))
      const near = yield* listening("echo", "0", "--bearer-file", path("tokens"))
      assert.strictEqual(near.stderr(), "")
    }).pipe(Effect.scoped)
  )
})

describe("a mistake about admission", () => {
  write("md5", "ann:$apr1$Yk8x2sAB$G4m0PzEPwWKKm4kzuP6xP.\n")
  write("short", "short\n")
  write("line.pub", text("rsa.pub").trim().replaceAll("\n", "\\n"))
  write("ssh.pub", `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${"a".repeat(43)} ann@host\n`)
  write("jwks.json", `${JSON.stringify({ keys: [createPublicKey(text("rsa.pub")).export({ format: "jwk" })] })}\n`)
  const none = {
    origin: [],
    allowClient: [],
    denyClient: [],
    htpasswd: Option.none(),
    bearerFile: Option.none(),
    jwtKey: Option.none(),
    jwtSecret: Option.none(),
    jwtJwks: Option.none(),
    jwtIssuer: [],
    jwtAudience: [],
    tokenFrom: [],
    clientCertSubject: [],
    satisfy: Option.none(),
    realm: Option.none(),
    authPlugin: Option.none(),
    authSource: Option.none()
  } satisfies Admission.Flags & { readonly origin: ReadonlyArray<string> }
  const given = Option.some<string>

  it.live("is one line that names the flag, and has no secret", () =>
    Effect.gen(function* () {
      const mistakes: ReadonlyArray<readonly [Partial<Admission.Flags>, ReadonlyArray<string>]> = [
        [{ allowClient: ["300.1.2.3"] }, ["--allow-client", "300.1.2.3"]],
        [{ denyClient: [" , "] }, ["--deny-client", "none"]],
        [{ htpasswd: given("/no/such/file") }, ["--htpasswd", "/no/such/file", "ENOENT"]],
        [{ htpasswd: given(path("md5")) }, ["--htpasswd", "line 1", "MD5", "htpasswd -B"]],
        [{ bearerFile: given(path("short")) }, ["--bearer-file", "line 1", "16 characters"]],
        [{ jwtKey: given(path("secret")) }, ["--jwt-key", "PEM"]],
        [{ jwtKey: given(path("rsa2048.key")) }, ["--jwt-key", "private"]],
        [{ jwtSecret: given(path("short")) }, ["--jwt-secret", "32 bytes"]],
        // whoever has the public key could sign with it
        [{ jwtSecret: given(path("rsa.pub")) }, ["--jwt-secret", "one line", "PEM"]],
        [{ jwtSecret: given(path("line.pub")) }, ["--jwt-secret", "PEM"]],
        [{ jwtSecret: given(path("ssh.pub")) }, ["--jwt-secret", "OpenSSH"]],
        [{ jwtSecret: given(path("jwks.json")) }, ["--jwt-secret", "JWK"]],
        [{ jwtJwks: given("http://id.example/keys") }, ["--jwt-jwks", "https"]],
        [{ jwtKey: given(path("rsa.pub")), jwtSecret: given(path("secret")) }, ["name one of them"]],
        [{ jwtIssuer: ["x"] }, ["--jwt-issuer", "--jwt-key"]],
        [{ jwtAudience: ["x"] }, ["--jwt-audience", "--jwt-key"]],
        [{ tokenFrom: ["cookie"], bearerFile: given(path("tokens")) }, ["--bearer-from", "cookie"]],
        [{ tokenFrom: ["subprotocol:a,b"], bearerFile: given(path("tokens")) }, ["--bearer-from", "a,b"]],
        [{ tokenFrom: ["header"] }, ["--bearer-from", "--bearer-file"]],
        [{ clientCertSubject: ["ann"] }, ["--client-cert-subject", "--client-ca"]],
        [
          { clientCertSubject: ["ann", "O=Example, Inc."] },
          ["--client-cert-subject expects a common name", 'such as O="Example, Inc."', '; got "O=Example, Inc."']
        ],
        [{ satisfy: given("some") }, ["--satisfy", "some"]],
        [{ satisfy: given("any"), bearerFile: given(path("tokens")) }, ["--satisfy any"]],
        [{ authPlugin: given("Nonsense"), authSource: given("x") }, ["--auth-plugin", "Nonsense", "BasicHTTPAuth"]],
        [{ authPlugin: given("toString"), authSource: given("x") }, ["--auth-plugin", "toString"]],
        [{ authPlugin: given("BasicHTTPAuth") }, ["--auth-source"]],
        [{ authPlugin: given("BasicHTTPAuth"), authSource: given("no-colon") }, ["user:password"]],
        [{ authPlugin: given("ClientCertCNAuth"), authSource: given("ann") }, ["--client-ca"]],
        [{ authSource: given("x") }, ["--auth-plugin"]]
      ]
      for (const [flags, says] of mistakes) {
        const around = { host: undefined, tls: undefined, origin: undefined }
        const { message } = yield* Effect.flip(Admission.serverOptions({ ...none, ...flags }, around))
        for (const word of says) assert.include(message, word)
        assert.notInclude(message, "\n")
        assert.isBelow(message.length, 280)
        for (const secret of ["0123456789abcdef", "G4m0PzEPwW", "no-colon"]) assert.notInclude(message, secret)
      }
    }).pipe(Effect.scoped)
  )

  it.live("ends the command", () =>
    Effect.gen(function* () {
      const all = yield* untold([
        [
          ["echo", "0", "--htpasswd", path("md5")],
          ["--htpasswd", "line 1"]
        ],
        [
          ["proxy", "0", "localhost:1", "--auth-source", "x"],
          ["--auth-source", "--auth-plugin"]
        ],
        [["proxy", "0", "localhost:1", "--web-auth", "--htpasswd", path("md5")], ["--htpasswd"]],
        [
          ["proxy", "0", "localhost:1", "--web-auth", "--deny-client", "192.0.2.1"],
          ["--web-auth", "--web"]
        ],
        [
          ["proxy", "0", "localhost:1", "--web", folder, "--web-auth"],
          ["--web-auth", "--htpasswd"]
        ],
        [
          ["echo", "0", "--max-handshake-rate", "5/d"],
          ["--max-handshake-rate", "5/d"]
        ]
      ])
      assert.strictEqual(all, "")
    })
  )
})
