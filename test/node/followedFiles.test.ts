/**
 * Every file that is followed, changed within one tick of the file system's clock, to what is as long. The clock is one that stands,
 * and so all that tells the first content from the second is that it is read.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Redacted, Result } from "effect"
import type { StatOptions } from "node:fs"
import type * as FileSystem from "node:fs/promises"
import { vi } from "vitest"
import * as ClientRevocation from "../../src/cli/clientRevocation.ts"
import * as NodeBearerTokens from "../../src/node/NodeBearerTokens.ts"
import * as NodeTokenSource from "../../src/node/NodeTokenSource.ts"
import { CertStoreType } from "../../src/tls/CertificateStore.ts"
import * as Identities from "../../src/tls/Identities.ts"
import { says } from "../proxy/says.ts"
import { eventually } from "../server/serving.ts"
import { Authority } from "../tls/authority.ts"
import { pemOf } from "../tls/listening.ts"
import { certificate, path, write } from "../tls/openssl.ts"
import { load, named } from "../tls/revoking.ts"

vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof FileSystem>()
  const stat = async (path: string, options?: StatOptions) =>
    Object.assign((await real.stat(path, options)) ?? {}, { mtimeNs: 0n, ctimeNs: 0n })
  return { ...real, stat }
})

const interval = "20 millis"

/** The same, and as long as all others. */
const padded = (content: string): string => content.padEnd(8192, "\n")

describe("two changes within one tick", { timeout: 60_000 }, () => {
  it.live("are both seen of a file of credentials", () =>
    Effect.gen(function* () {
      write("tokens", "one-token-1234567890 ann\n")
      const { verify } = yield* NodeBearerTokens.make({ file: path("tokens"), interval })
      write("tokens", "two-token-1234567890 bob\n")
      yield* eventually(
        "the new token is known",
        Effect.map(Effect.result(verify(Redacted.make("two-token-1234567890"))), Result.isSuccess)
      )
    }).pipe(Effect.scoped)
  )

  it.live("are both seen of a file of targets", () =>
    Effect.gen(function* () {
      write("targets", "ann: a:1\n")
      const source = yield* NodeTokenSource.file({ path: path("targets"), interval })
      write("targets", "ann: b:2\n")
      yield* eventually(
        "the new target is known",
        Effect.orDie(Effect.map(says(source, "ann"), (target) => target === "b:2"))
      )
    }).pipe(Effect.scoped)
  )

  it.live("are both seen of a certificate", () =>
    Effect.gen(function* () {
      for (const name of ["one", "two"]) certificate(name)
      const [one, two] = [padded(pemOf("one")), padded(pemOf("two"))]
      const sources = [{ type: CertStoreType.cstPEMKeyFile, store: write("live.pem", one) }]
      const identities = yield* Identities.reloading({ sources, interval })
      write("live.pem", two)
      yield* eventually(
        "the new one serves",
        Effect.sync(() => identities.forAll?.()?.subject.includes("CN=two") === true)
      )
    }).pipe(Effect.scoped)
  )

  it.live("are both seen of a list of those that are revoked", () =>
    Effect.gen(function* () {
      const authority = new Authority("authority")
      authority.issue("client", { extensions: named({}) })
      const clientCrl = [write("list.pem", padded(authority.crl({ pem: true }).toString()))]
      authority.revoke("client")
      const next = padded(authority.crl({ pem: true }).toString())
      const revocation = yield* ClientRevocation.make({ clientCrl, clientRevocation: Option.none() })
      write("list.pem", next)
      const [client, issuer] = [yield* load("client"), yield* load("authority")]
      const result = yield* Effect.result(revocation!.check(client, issuer))
      assert.isTrue(Result.isFailure(result))
    }).pipe(Effect.scoped)
  )
})
