/** What the tests of revocation share: an authority whose lists and responder are served, and a check that fails as expected. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as NodeRevocation from "../../src/node/NodeRevocation.ts"
import { type Certificate, fromEncoded } from "../../src/tls/Certificate.ts"
import type { Options } from "../../src/tls/Revocation.ts"
import { Authority, type Key } from "./authority.ts"
import { text } from "./openssl.ts"
import * as Responder from "./responder.ts"

let names = 0
export const fresh = (name: string): string => `${name}${names++}`

export const load = (name: string): Effect.Effect<Certificate> =>
  Effect.orDie(Effect.fromResult(fromEncoded(text(`${name}.crt`))))

/** Extensions of a certificate that is checked at these addresses. */
export const named = ({ crls = [], ocsps = [] }: { crls?: ReadonlyArray<string>; ocsps?: ReadonlyArray<string> }) => [
  "subjectAltName=DNS:localhost",
  ...(crls.length === 0 ? [] : [`crlDistributionPoints=${crls.map((url) => `URI:${url}`).join(",")}`]),
  ...(ocsps.length === 0 ? [] : [`authorityInfoAccess=${ocsps.map((url) => `OCSP;URI:${url}`).join(",")}`])
]

export const check = Effect.fnUntraced(function* (options: Options, authority: Authority, name: string) {
  const { check } = yield* NodeRevocation.make(options)
  return yield* check(yield* load(name), yield* load(authority.name))
})

/** The reason of a check that fails. */
export const fault = Effect.fnUntraced(function* (options: Options, authority: Authority, name: string) {
  const result = yield* Effect.result(check(options, authority, name))
  if (Result.isSuccess(result)) return yield* Effect.die(new Error(`it is ${result.success}`))
  assert.match(result.failure.message, /^[\x20-\x7e]+$/)
  return result.failure.reason
})

/** An authority with a certificate whose list or responder is at a path of the server. */
export const setUp = Effect.fnUntraced(function* (key: Key = "p256") {
  const responder = yield* Responder.listen
  const authority = new Authority(fresh("authority"), key)
  const name = fresh("server")
  const url = (path: string) => `http://127.0.0.1:${responder.port}/${path}`
  authority.issue(name, { extensions: named({ crls: [url("crl")], ocsps: [url("ocsp")] }) })
  return { responder, authority, name, url }
})

/** The same answer to whatever is asked: that to the first question. */
export const once = (authority: Authority, options?: Responder.Answering) => {
  let answer: Uint8Array | undefined
  const serve = Responder.ocsp(authority, options)
  return (asked: Buffer): Uint8Array => (answer ??= serve(asked))
}

export const both = { crl: "required", ocsp: "required" } as const
export const crl = { crl: "required" } as const
export const ocsp = { ocsp: "required" } as const
