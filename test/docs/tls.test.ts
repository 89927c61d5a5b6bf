/**
 * The page about TLS names every flag about it and no other, and its commands listen.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { flagOf } from "../../src/cli/tls.ts"
import { start } from "../cli/command.ts"
import { Authority } from "../tls/authority.ts"
import { certificate, path, read, text, write } from "../tls/openssl.ts"

const page = readFileSync(new URL("../../docs/tls.md", import.meta.url), "utf8")

/** The files that the commands name. */
const make = () => {
  const authority = new Authority("clients")
  write("clients.pem", authority.pem)
  write("revoked.pem", authority.crl({ pem: true }))
  certificate("server")
  write("server.pem", read("server.crt"))
  for (const name of ["ecdsa", "rsa", "wildcard"] as const) {
    certificate(name, name === "rsa" ? { kind: "rsa2048" } : {})
    write(`${name}.pem`, text(`${name}.crt`) + text(`${name}.key`))
  }
}

describe("docs/tls.md", { timeout: 60_000 }, () => {
  it("names each flag", () => {
    const named = new Set([...page.matchAll(/--[a-z][a-z-]+/g)].map(([flag]) => flag))
    for (const flag of Object.values(flagOf)) assert.isTrue(named.delete(`--${flag}`), flag)
    assert.deepStrictEqual([...named], ["--handshake-timeout"])
  })

  it.live("gives commands that listen", () =>
    Effect.gen(function* () {
      make()
      const commands = [...page.matchAll(/```sh\nnpm start -- (.*)\n```/g)].map(([, command]) => command!.split(" "))
      assert.isAbove(commands.length, 2)
      for (const words of commands) {
        const args = words.map((word) =>
          /^\d+$/.test(word) ? "0" : word.endsWith(".pem") || word.endsWith(".key") ? path(word) : word
        )
        const command = yield* start(args)
        assert.match(yield* command.line(1), /^ready wss:/)
      }
    }).pipe(Effect.scoped)
  )
})
