/**
 * Whether certificates of clients have been revoked, as the command line says: by lists in files, which are read again when they
 * change, and by whom the certificates name.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as NodeRevocation from "../node/NodeRevocation.ts"
import * as Revocation from "../tls/Revocation.ts"
import { follow } from "../tls/internal/follow.ts"
import type { RevocationError } from "../tls/RevocationError.ts"
import type { UsageError } from "./Address.ts"
import type { ServerFlags } from "./tls.ts"
import { readBytes, usage } from "./typed.ts"

type Service = Revocation.Revocation["Service"]

const words: ReadonlyArray<string> = ["crl", "ocsp", "crl=required", "ocsp=required"]

/** The checks that were asked for. */
const parse = (text: string): Effect.Effect<Revocation.Options, UsageError> => {
  const asked = text.split(",").map((word) => word.trim())
  const wrong = asked.find((word) => !words.includes(word))
  const mode = (check: string): Revocation.Mode => {
    if (asked.includes(`${check}=required`)) return "required"
    return asked.includes(check) ? "ifNamed" : "off"
  }
  if (wrong === undefined) return Effect.succeed({ crl: mode("crl"), ocsp: mode("ocsp") })
  return Effect.fail(
    usage(`--client-revocation expects crl, ocsp, crl=required or ocsp=required; got ${JSON.stringify(wrong)}`)
  )
}

/** With lists in files, none is fetched. */
const noFetch: Revocation.Fetch = () =>
  Effect.fail(new Revocation.FetchError({ message: "only the lists of --client-crl count" }))

const read = (paths: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<Buffer>, UsageError> =>
  Effect.forEach(paths, (path) => readBytes("client-crl", path))

const lists = (crls: ReadonlyArray<Buffer>): Effect.Effect<Service, RevocationError> =>
  Revocation.make({ crl: "required", crls }, noFetch)

/** Checks the files at each check of a certificate; a broken one is logged once, and the previous list stays in use. */
const reloading = Effect.fnUntraced(function* (paths: ReadonlyArray<string>): Effect.fn.Return<Service, UsageError> {
  const followed = follow(paths)
  let known = yield* followed.first(read(paths))
  let current = yield* Effect.mapError(lists(known), ({ message }) => usage(`--client-crl: ${message}`))
  const again = Effect.gen(function* () {
    const crls = yield* read(paths)
    if (crls.every((crl, i) => crl.equals(known[i]!))) return
    known = crls
    current = yield* lists(crls)
    yield* Effect.logInfo(`Read anew: ${paths.join(", ")}`)
  })
  const refresh = followed.again(again, ({ message }) =>
    Effect.logError(`A list was not read anew, the one of before stays: ${message}`)
  )
  return {
    check: (certificate, issuer) =>
      Effect.andThen(
        refresh,
        Effect.suspend(() => current.check(certificate, issuer))
      )
  }
})

/** The check that was asked for, if one was. */
export const make = Effect.fnUntraced(function* ({
  clientCrl,
  clientRevocation
}: Pick<ServerFlags, "clientCrl" | "clientRevocation">): Effect.fn.Return<Service | undefined, UsageError> {
  const own = clientCrl.length === 0 ? undefined : yield* reloading(clientCrl)
  if (Option.isNone(clientRevocation)) return own
  // without lists of its own there is nothing to read, and to fail at
  const asking = yield* Effect.orDie(NodeRevocation.make(yield* parse(clientRevocation.value)))
  if (own === undefined) return asking
  return {
    check: (certificate, issuer) => Effect.andThen(own.check(certificate, issuer), asking.check(certificate, issuer))
  }
})
