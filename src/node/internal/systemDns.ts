/**
 * Names as this system looks them up, its hosts file included. Who asks for a name while it is being looked up gets the same
 * answer: each look-up holds a thread until it ends, whoever still waits, and Node has four of them for everything.
 */
import * as Effect from "effect/Effect"
import * as Dns from "effect/net/Dns"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import System from "node:dns"
import type { Resolver } from "./addresses.ts"

const families = { IPv4: 4, IPv6: 6 } as const

const underWay = new Map<string, Promise<ReadonlyArray<System.LookupAddress>>>()

const ask = (name: string, family: 0 | 4 | 6): Promise<ReadonlyArray<System.LookupAddress>> => {
  const key = `${family} ${name}`
  const known = underWay.get(key)
  if (known !== undefined) return known
  const asked = new Promise<ReadonlyArray<System.LookupAddress>>((resolve, reject) => {
    System.lookup(name, { all: true, family, order: "verbatim" }, (cause, found) =>
      cause === null ? resolve(found) : reject(cause)
    )
  }).finally(() => underWay.delete(key))
  underWay.set(key, asked)
  return asked
}

export const systemDns: Resolver = Dns.make({
  lookup: (host, family) =>
    Effect.map(
      Effect.tryPromise({
        try: () => ask(host, family === undefined ? 0 : families[family]),
        // whoever dials knows no other reason
        catch: (cause) => new Dns.DnsError({ reason: "NotFound", method: "lookup", hostname: host, cause })
      }),
      // a zone is of this machine, and the resolver's
      (found) =>
        found.flatMap(({ address }) => {
          const read = NetAddress.ipFromString(address.replace(/%.*/, ""))
          return Result.isSuccess(read) ? [read.success] : []
        })
    )
})
