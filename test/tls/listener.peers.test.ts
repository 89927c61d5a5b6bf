/** The same listener, tried in the same ways by clients of other makes: `openssl s_client` and `curl`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import * as Identities from "../../src/tls/Identities.ts"
import { missing } from "../installed.ts"
import { echoing, identity, named } from "./listening.ts"
import { certificate, path, text, write } from "./openssl.ts"

const ca = ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"]
certificate("peers-ca", { extensions: ca })
certificate("peers-member", { issuer: "peers-ca" })
certificate("peers-stranger")

interface Tried {
  /** Whether it was answered by HTTP. */
  readonly isAnswered: boolean
  /** The common name of the certificate that it was shown, if it says so. */
  readonly name: string | undefined
  /** All that it printed. */
  readonly output: string
}

interface How {
  readonly version?: "1.2" | "1.3"
  readonly servername?: string
  /** The name of a certificate of its own. */
  readonly as?: string
  /** The kind of key whose certificates alone it takes. */
  readonly takes?: "rsa" | "ecdsa"
}

type Client = (port: number, how: How) => Effect.Effect<Tried>

const printed = (command: string, args: ReadonlyArray<string>, input: string): Effect.Effect<string> =>
  Effect.scoped(
    Effect.flatMap(
      Effect.acquireRelease(
        Effect.sync(() => spawn(command, args)),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      ),
      (child) =>
        Effect.callback<string>((resume) => {
          let output = ""
          for (const stream of [child.stdout, child.stderr]) {
            stream.on("data", (chunk: Buffer) => (output += chunk.toString("latin1")))
          }
          child.stdin.on("error", () => {}).write(input)
          child.on("close", () => resume(Effect.succeed(output)))
        })
    )
  )

const sigalgs = { rsa: "rsa_pss_rsae_sha256:RSA+SHA256", ecdsa: "ecdsa_secp256r1_sha256" } as const

const openssl: Client = (port, { as, servername = "first.example", takes, version }) =>
  Effect.map(
    printed(
      "openssl",
      [
        "s_client",
        "-connect",
        `127.0.0.1:${port}`,
        "-servername",
        servername,
        "-ign_eof",
        ...(version === undefined ? [] : [version === "1.2" ? "-tls1_2" : "-tls1_3"]),
        ...(as === undefined ? [] : ["-cert", path(`${as}.crt`), "-key", path(`${as}.key`)]),
        ...(takes === undefined ? [] : ["-sigalgs", sigalgs[takes]])
      ],
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    ),
    (output) => ({
      isAnswered: output.includes("HTTP/1.1 426 "),
      name: /^subject=.*CN ?= ?(\S+)/m.exec(output)?.[1],
      output
    })
  )

/** It verifies the name, so that an answer says that it was shown the right one. */
const curl: Client = (port, { as, servername = "first.example", takes, version }) =>
  Effect.map(
    printed(
      "curl",
      [
        "-sSiv",
        "--cacert",
        path("peers-all.pem"),
        "--resolve",
        `${servername}:${port}:127.0.0.1`,
        ...(version === undefined ? [] : [`--tlsv${version}`, "--tls-max", version]),
        ...(as === undefined ? [] : ["--cert", path(`${as}.crt`), "--key", path(`${as}.key`)]),
        // there is no flag for signatures: the suites of TLS 1.2 say the same
        ...(takes === undefined
          ? []
          : ["--tls-max", "1.2", "--ciphers", `ECDHE-${takes.toUpperCase()}-AES128-GCM-SHA256`]),
        `https://${servername}:${port}/`
      ],
      ""
    ),
    (output) => ({
      isAnswered: output.includes("HTTP/1.1 426 "),
      name: /subject:.*CN=(\S+)/.exec(output)?.[1],
      output
    })
  )

/** A listener with certificates for two names, the first of them of two kinds. */
const listening = Effect.fnUntraced(function* (options: Parameters<typeof echoing>[0] = {}) {
  const certificates = yield* Effect.all([
    named("peers-ec", ["first.example"]),
    named("peers-rsa", ["first.example"], { kind: "rsa2048" }),
    named("peers-wild", ["*.wild.example"]),
    identity("peers-nameless")
  ])
  write("peers-all.pem", ["peers-ec", "peers-rsa", "peers-wild"].map((name) => text(`${name}.crt`)).join(""))
  return yield* echoing({ identities: Identities.several(certificates), ...options })
})

const clients: ReadonlyArray<readonly [string, Client]> = [
  ["openssl", openssl],
  ["curl", curl]
]

for (const [name, client] of clients) {
  const why = missing(name)
  const skipped = describe.skipIf(why !== undefined)
  skipped(`${name}${why === undefined ? "" : `: ${why}`}`, { timeout: 30_000 }, () => {
    it.live.each(["1.2", "1.3"] as const)("is answered in TLS %s", (version) =>
      Effect.gen(function* () {
        const { port } = yield* listening()
        const { isAnswered, name, output } = yield* client(port, { version })
        assert.isTrue(isAnswered, output)
        assert.strictEqual(name, "peers-ec")
        assert.include(output, `TLSv${version}`)
      })
    )

    it.live("is shown the certificate for the name that it asks for, of a kind that it takes", () =>
      Effect.gen(function* () {
        const { port } = yield* listening()
        for (const [how, expected] of [
          [{ servername: "a.wild.example" }, "peers-wild"],
          [{ takes: "rsa" }, "peers-rsa"],
          [{ takes: "ecdsa" }, "peers-ec"]
        ] as const) {
          const { isAnswered, name, output } = yield* client(port, how)
          assert.strictEqual(name, expected, output)
          assert.isTrue(isAnswered, output)
        }
      })
    )

    it.live.each(["1.2", "1.3"] as const)(
      "is let in with its certificate in TLS %s, and not with another, or none",
      (version) =>
        Effect.gen(function* () {
          const messages: Array<string> = []
          const { port } = yield* listening({
            clientCertificates: { ca: [text("peers-ca.crt")] },
            onStatus: (_, message) => messages.push(message)
          })
          const member = yield* client(port, { version, as: "peers-member" })
          assert.isTrue(member.isAnswered, member.output)
          assert.isFalse((yield* client(port, { version, as: "peers-stranger" })).isAnswered)
          const none = yield* client(port, { version })
          assert.isFalse(none.isAnswered)
          assert.match(none.output, version === "1.3" ? /certificate required/ : /handshake failure/)
          assert.match(messages.join("\n"), /CN=peers-stranger.* is not trusted: DEPTH_ZERO_SELF_SIGNED_CERT/)
        })
    )

    it.live("is told by an alert that there is no version in common", () =>
      Effect.gen(function* () {
        const { port } = yield* listening({ settings: { minVersion: "TLSv1.3" } })
        const { isAnswered, output } = yield* client(port, { version: "1.2" })
        assert.isFalse(isAnswered)
        assert.match(output, /alert protocol version/)
      })
    )
  })
}
