/**
 * The way to the target on the command line: TLS, firewalls, retries, and which targets may be connected to.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { play, secret, socks5Before, socks5WithUser, tunnel } from "../proxy/firewall.ts"
import * as RawClient from "../proxy/rawClient.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { run, start } from "./command.ts"

const serving = Effect.fnUntraced(function* (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) {
  const command = yield* start(["proxy", "0", ...args], "read", env)
  const line = yield* command.line(1)
  const [, port] = /^ready ws:\/\/127\.0\.0\.1:(\d+)$/.exec(line) ?? assert.fail(line)
  return { command, port: Number(port) }
})

const target = "192.0.2.7:5900"

describe("--firewall", { timeout: 60_000 }, () => {
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

describe("--allow-target and --deny-target", { timeout: 60_000 }, () => {
  it.live("are 403 for what is not allowed, with the reason in the log alone", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const at = `localhost:${listener.port}`
      for (const [flags, status] of [
        [["--allow-target", `127.0.0.1:${listener.port}`, "--allow-target", "[::1]"], 101],
        [["--allow-target", "localhost:1-65535"], 101],
        [["--allow-target", "*", "--deny-target", "10.0.0.0/8"], 101],
        [["--allow-target", "10.0.0.0/8"], 403],
        [["--deny-target", "localhost"], 403],
        [["--deny-target", "127.0.0.0/8", "--deny-target", "::1"], 403]
      ] as const) {
        const { command, port } = yield* serving([at, ...flags])
        const client = yield* RawClient.request(port)
        yield* client.watch.until("an answer", () => client.status !== undefined)
        assert.strictEqual(client.status, status, flags.join(" "))
        assert.notInclude(client.answer, "10.0.0.0")
        yield* client.reset()
        yield* command.kill("SIGTERM")
        const { stderr } = yield* command.ended
        if (status === 403) assert.include(stderr, "The target is not allowed: ")
      }
    }).pipe(Effect.scoped)
  )
})

describe("--dial-retries", { timeout: 60_000 }, () => {
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
  const mistakes: ReadonlyArray<readonly [ReadonlyArray<string>, ReadonlyArray<string>]> = [
    [["0x7f.1:80"], ["cannot use the target", "0x7f.1:80", "numeric"]],
    [["unix:"], ["cannot use the target", "unix:"]],
    [[at, "--firewall", `ftp://ann:${secret}@fw`], ["--firewall: expected a firewall as a URL"]],
    [[at, "--firewall", `socks5://ann:${secret}@fw/x`], ["nothing comes behind the port"]],
    [
      [at, "--firewall-env", "NO_SUCH_VARIABLE"],
      ["--firewall-env", "NO_SUCH_VARIABLE", "not set"]
    ],
    [[at, "--firewall-env", "HOME", "--firewall", "http://fw"], ["give one of them"]],
    [
      [at, "--firewall-ca", "/no/such/file.pem", "--firewall", "https://fw"],
      ["--firewall-ca", "ENOENT"]
    ],
    [
      [at, "--target-ca", "/no/such/file.pem"],
      ["--target-ca", "--target-tls"]
    ],
    [
      [at, "--target-insecure"],
      ["--target-insecure", "--target-tls"]
    ],
    [
      [at, "--target-tls", "--target-ca", "/no/such/file.pem"],
      ["--target-ca", "/no/such/file.pem", "ENOENT"]
    ],
    [[at, "--target-tls", "--target-ca", "package.json"], ["--target-ca expects certificates in PEM"]],
    [[at, "--target-tls", "--target-cert", "package.json"], ["--target-cert: "]],
    [
      [at, "--target-tls", "--target-cert", "/no/such/file.pem"],
      ["--target-cert", "ENOENT"]
    ],
    [
      [at, "--target-tls", "--target-key", "package.json"],
      ["--target-cert", "missing"]
    ],
    [[at, "--target-tls", "--target-name", "a b"], ["--target-tls: expected a host name"]],
    [[at, "--target-tls", "--target-alpn", ""], ["--target-tls: "]],
    [
      ["unix:/run/x.sock", "--target-tls"],
      ["--target-tls", "unix socket"]
    ],
    [
      [at, "--dial-retries", "11"],
      ["--dial-retries", "10", "11"]
    ],
    [[at, "--dial-retries", "-1"], ["--dial-retries"]],
    [
      [at, "--allow-target", "10.0.0.1/8"],
      ["--allow-target: ", "10.0.0.1/8"]
    ],
    [
      [at, "--deny-target", "*:http"],
      ["--deny-target: ", "ports are numbers"]
    ]
  ]

  it.live("is one line, and repeats no password", () =>
    Effect.gen(function* () {
      const wrong: Array<string> = []
      yield* Effect.forEach(
        mistakes,
        ([args, words]) =>
          Effect.map(run("proxy", "0", ...args), ({ code, stderr, stdout }) => {
            const fine =
              code !== 0 &&
              code !== null &&
              stdout === "" &&
              /^effect-websocket: [^\n]+\n$/.test(stderr) &&
              !stderr.includes(secret) &&
              words.every((word) => stderr.includes(word))
            if (!fine) wrong.push(`${args.join(" ")}\n  -> ${code}, stdout ${JSON.stringify(stdout)}\n${stderr}`)
          }),
        { concurrency: 4, discard: true }
      )
      assert.strictEqual(wrong.join("\n"), "")
    })
  )
})
