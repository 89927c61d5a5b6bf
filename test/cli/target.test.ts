/**
 * The way to the target on the command line: TLS, firewalls, retries, and which targets may be connected to.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { readFileSync } from "node:fs"
import * as Target from "../../src/cli/target.ts"
import { play, secret, socks5Before, socks5WithUser, tunnel } from "../proxy/firewall.ts"
import * as RawClient from "../proxy/rawClient.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { certificate, write } from "../tls/openssl.ts"
import { run, start } from "./command.ts"

const serving = Effect.fnUntraced(function* (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) {
  const command = yield* start(["proxy", "0", ...args], "read", env)
  const line = yield* command.line(1)
  const [, port] = /^ready ws:\/\/127\.0\.0\.1:(\d+)$/.exec(line) ?? assert.fail(line)
  return { command, port: Number(port) }
})

const target = "192.0.2.7:5900"

describe("--firewall", { timeout: 120_000 }, () => {
  it.live("is a chain if it is there more than once", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const at = `127.0.0.1:${listener.port}`
      const { port } = yield* serving([target, "--firewall", `socks5://${at}`, "--firewall", `http://${at}`])
      const client = yield* RawClient.request(port)
      const firewall = yield* listener.accept
      yield* play(firewall, socks5Before.steps(listener.port))
      firewall.forget()
      yield* play(firewall, tunnel.steps, { behind: "banner" })
      yield* client.untilPayload(6)
      assert.strictEqual(client.bytes.toString(), "banner")
    }).pipe(Effect.scoped)
  )

  it.live("has its password from the environment, where nobody else reads it", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const url = `socks5://ann:${secret}@127.0.0.1:${listener.port}`
      const { command, port } = yield* serving([target, "--firewall-env", "FIREWALLS"], { FIREWALLS: ` ${url}\n` })
      const client = yield* RawClient.request(port)
      yield* play(yield* listener.accept, socks5WithUser.steps)
      yield* client.until("open")
      if (process.platform === "linux") {
        assert.notInclude(readFileSync(`/proc/${command.pid}/cmdline`, "utf8"), secret)
      }
      assert.notInclude(command.stdout() + command.stderr(), secret)
    }).pipe(Effect.scoped)
  )

  it.live("that refuses is told to the log without its password", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const url = `socks5://ann:${secret}@127.0.0.1:${listener.port}`
      const { command, port } = yield* serving([target, "--firewall", url])
      const client = yield* RawClient.request(port)
      const firewall = yield* listener.accept
      yield* play(firewall, [
        socks5WithUser.steps[0]!,
        { ask: socks5WithUser.steps[1]!.ask, answer: Buffer.from([1, 1]) }
      ])
      yield* client.until("502")
      yield* client.until("end")
      yield* command.kill("SIGTERM")
      const { stderr } = yield* command.ended
      assert.include(stderr, "refused the user or the password")
      assert.notInclude(stderr, secret)
    }).pipe(Effect.scoped)
  )
})

describe("--allow-target and --deny-target", { timeout: 120_000 }, () => {
  it.live("are 403 for what is not allowed, with the reason in the log alone", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const at = `localhost:${listener.port}`
      const cases = [
        [["--allow-target", `127.0.0.1:${listener.port}`, "--allow-target", "[::1]"], 101],
        [["--allow-target", "localhost:1-65535"], 101],
        [["--allow-target", "*", "--deny-target", "10.0.0.0/8"], 101],
        [["--allow-target", "10.0.0.0/8"], 403],
        [["--deny-target", "127.0.0.0/8", "--deny-target", "::1"], 403]
      ] as const
      yield* Effect.forEach(
        cases,
        Effect.fnUntraced(function* ([flags, status]) {
          const { command, port } = yield* serving([at, ...flags])
          const client = yield* RawClient.request(port)
          yield* client.watch.until("an answer", () => client.status !== undefined)
          assert.strictEqual(client.status, status, flags.join(" "))
          assert.notInclude(client.answer, "10.0.0.0")
          yield* client.reset()
          yield* command.kill("SIGTERM")
          const { stderr } = yield* command.ended
          if (status === 403) assert.include(stderr, "The target is not allowed: ")
        }),
        { concurrency: 2, discard: true }
      )
    }).pipe(Effect.scoped)
  )
})

describe("--dial-retries", { timeout: 120_000 }, () => {
  it.live("is a number, and dials on", () =>
    Effect.gen(function* () {
      const { port: nobody } = yield* RawTarget.nobody
      const { port } = yield* serving([`127.0.0.1:${nobody}`, "--dial-retries", "2", "--dial-timeout", "20s"])
      const client = yield* RawClient.request(port)
      yield* client.until("502")
    }).pipe(Effect.scoped)
  )
})

describe("a mistake about the target", { timeout: 120_000 }, () => {
  const at = "localhost:1"
  const none: Target.Flags = {
    dialTimeout: Option.none(),
    dialRetries: Option.none(),
    firewall: [],
    firewallEnv: Option.none(),
    firewallCa: Option.none(),
    targetTls: false,
    targetCa: Option.none(),
    targetCert: Option.none(),
    targetKey: Option.none(),
    targetCertPassword: Option.none(),
    targetName: Option.none(),
    targetAlpn: [],
    targetInsecure: false,
    allowTarget: [],
    denyTarget: []
  }
  const some = (text: string) => Option.some(text)
  const tls = { targetTls: true }
  const missing = "/no/such/file.pem"
  const mistakes: ReadonlyArray<readonly [Partial<Target.Flags>, ReadonlyArray<string>, to?: string]> = [
    [{ firewall: [`ftp://ann:${secret}@fw`] }, ["--firewall: expected a firewall as a URL"]],
    [{ firewall: [`socks5://ann:${secret}@fw/x`] }, ["nothing comes behind the port"]],
    [{ firewallEnv: some("NO_SUCH_VARIABLE") }, ["--firewall-env", "NO_SUCH_VARIABLE", "not set"]],
    [{ firewallEnv: some("HOME"), firewall: ["http://fw"] }, ["give one of them"]],
    [{ firewallCa: some(missing), firewall: ["https://fw"] }, ["--firewall-ca", "ENOENT"]],
    [{ targetCa: some(missing) }, ["--target-ca", "--target-tls"]],
    [{ targetAlpn: ["mqtt"] }, ["--target-alpn", "--target-tls"]],
    [{ targetInsecure: true }, ["--target-insecure", "--target-tls"]],
    [{ ...tls, targetCa: some(missing) }, ["--target-ca", missing, "ENOENT"]],
    [
      { ...tls, targetCa: some("package.json") },
      ["--target-ca package.json: expected certificates of authorities in PEM"]
    ],
    [
      { ...tls, targetCa: some(write("cut.pem", "-----BEGIN CERTIFICATE-----")) },
      ["--target-ca ", "cut.pem: it is cut off"]
    ],
    [{ ...tls, targetCa: some("package.json"), targetInsecure: true }, ["--target-insecure", "leave one out"]],
    [{ ...tls, targetCert: some("package.json") }, ["--target-cert: "]],
    [{ ...tls, targetCert: some(missing) }, ["--target-cert", "ENOENT"]],
    [
      { ...tls, targetCert: some(certificate("keyless")) },
      ["--target-cert ", "keyless.crt has no private key; give its file with --target-key"]
    ],
    [{ ...tls, targetKey: some("package.json") }, ["--target-cert", "missing"]],
    [{ ...tls, targetName: some("a b") }, ["--target-name: expected a host name"]],
    [{ ...tls, targetAlpn: [""] }, ["--target-tls: "]],
    [tls, ["--target-tls", "unix socket"], "unix:/run/x.sock"],
    [{ dialTimeout: some("soon") }, ["--dial-timeout", "soon"]],
    [{ dialTimeout: some("0") }, ["--dial-timeout", "more than no time", "infinity"]],
    [{ dialRetries: some("11") }, ["--dial-retries", "10", "11"]],
    [{ dialRetries: some("-1") }, ["--dial-retries"]],
    [{ allowTarget: ["10.0.0.1/8"] }, ["--allow-target: ", "10.0.0.1/8"]],
    [{ denyTarget: ["*:http"] }, ["--deny-target: ", "ports are numbers"]]
  ]

  it.effect("is told by its flag in one line, and repeats no password", () =>
    Effect.gen(function* () {
      yield* Target.dialerOptions(none, at)
      for (const [flags, words, to = at] of mistakes) {
        const { _tag, message } = yield* Effect.flip(Target.dialerOptions({ ...none, ...flags }, to))
        assert.strictEqual(_tag, "UsageError")
        assert.notInclude(message, "\n")
        assert.notInclude(message, secret)
        for (const word of words) assert.include(message, word)
      }
    })
  )

  it.live("ends the command before it listens", () =>
    Effect.gen(function* () {
      for (const [args, word] of [
        [["0x7f.1:80"], "expected a host name or an IP address"],
        [[at, "--firewall", `socks5h://ann:${secret}@fw`], "write socks5 and the target as *name"]
      ] as const) {
        const { code, stderr, stdout } = yield* run("proxy", "0", ...args)
        assert.isAbove(code ?? 0, 0)
        assert.strictEqual(stdout, "")
        assert.match(stderr, /^effect-websocket: [^\n]+\n$/)
        assert.include(stderr, word)
        assert.notInclude(stderr, secret)
      }
    })
  )
})
