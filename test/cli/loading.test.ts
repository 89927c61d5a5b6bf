/**
 * Only what is used is loaded: a process has its modules in memory for as long as it lives, and they are most of what it takes
 * before its first connection.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { start } from "./command.ts"

const moduleLog = fileURLToPath(new URL("moduleLog.ts", import.meta.url))

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "loading-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const modulesOf = (file: string): ReadonlyArray<string> => [
  ...new Set(readFileSync(file, "utf8").trimEnd().split("\n"))
]

/** What a command has loaded when it listens. */
const loadedBy = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
  const file = join(yield* folder, "modules")
  const command = yield* start(args, "read", { MODULE_LOG: file, NODE_OPTIONS: `--import=${moduleLog}` })
  assert.match(yield* command.line(1), /^ready /)
  return modulesOf(file)
})

/** What importing a module of the package loads. */
const loadedWith = Effect.fnUntraced(function* (specifier: string) {
  const file = join(yield* folder, "modules")
  const program = `await import(${JSON.stringify(specifier)})`
  execFileSync(
    process.execPath,
    ["--conditions=source", `--import=${moduleLog}`, "--input-type=module", "-e", program],
    { env: { ...process.env, MODULE_LOG: file }, cwd: fileURLToPath(new URL("../..", import.meta.url)) }
  )
  return modulesOf(file)
})

const features = {
  "a package of ours": /node_modules\/(?:jose|node-forge|asn1js|bcryptjs|socks)\//,
  "effect's HTTP server": /\/(?:NodeHttpServer|HttpServer(?:Request|Response)?|HttpRouter|HttpStaticServer)\.js$/,
  "its HTTP client": /\/(?:Fetch)?HttpClient\.js$/,
  ws: /node_modules\/ws\//,
  TLS: /\/src\/tls\/(?!internal\/follow\.ts)|\/(?:secure|tlsFailure|firstBytes|clientRevocation|speaking)\.ts$/,
  passwords: /\/(?:admitting|Htpasswd|Jwt|JwtKeys|BearerTokens|bcrypt)\.ts$/,
  tokens: /\/(?:tokens|NodeTokenSource|NodeRedisTokenSource|HttpTokenSource|JwtTokenSource)\.ts$/,
  firewalls: /\/node\/internal\/(?:firewall|tunnel|socks)\.ts$/,
  "the client":
    /\/src\/client\/|\/(?:NodeWebSocketClient|NodeUpgradeDialer|NodeTcpListener|openingRequest|tunnelling)\.ts$/,
  "other processes, and metrics": /\/cli\/(?:first|worker|spread|metrics|series)\.ts$/,
  "the rest": /\/(?:demo|files|NodeStaticFiles|NodeHttpAccess|NodeRecorder|NodeClientNames|ClientRoute)\.ts$/
}

const loadsNone = (modules: ReadonlyArray<string>) => {
  assert.isAbove(modules.length, 20)
  for (const [what, pattern] of Object.entries(features)) {
    assert.deepStrictEqual(
      modules.filter((module) => pattern.test(module)),
      [],
      what
    )
  }
}

describe("what is loaded", () => {
  it.live("by echo is nothing that no flag asks for", () => Effect.map(loadedBy("echo", "127.0.0.1:0"), loadsNone))

  it.live("by proxy with a target is nothing that no flag asks for", () =>
    Effect.map(loadedBy("proxy", "127.0.0.1:0", "127.0.0.1:9"), loadsNone)
  )

  it.live("with flags is what they ask for", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const users = join(path, "users")
      writeFileSync(users, "")
      const modules = yield* loadedBy("proxy", "127.0.0.1:0", "127.0.0.1:9", "--web", path, "--htpasswd", users)
      for (const name of [
        "files.ts",
        "NodeStaticFiles.ts",
        "NodeHttpServer.js",
        "admissionOptions.ts",
        "Htpasswd.ts"
      ]) {
        assert.isTrue(
          modules.some((module) => module.endsWith(`/${name}`)),
          name
        )
      }
      // the first password that is checked starts a thread, which loads it
      assert.isFalse(modules.some((module) => features["a package of ours"].test(module)))
      // the files came with it, and keys that are fetched would need it
      const alone = yield* loadedBy("echo", "127.0.0.1:0", "--htpasswd", users)
      assert.isFalse(alone.some((module) => features["its HTTP client"].test(module)))
    })
  )

  it.live("with NodeWebSocketServer is no TLS, and no HTTP server of effect's", () =>
    Effect.map(loadedWith("effect-websocket/node/NodeWebSocketServer"), loadsNone)
  )

  it.live("with NodeDialer is no TLS, and no firewall", () =>
    Effect.map(loadedWith("effect-websocket/node/NodeDialer"), loadsNone)
  )
})
