/**
 * Names as this system looks them up, its hosts file included. A look-up holds a thread until it ends, even if nobody waits for
 * it any more, and Node has four threads for everything. So two names are looked up at a time; the others wait in turn for as
 * long as somebody waits for them. A name that is being looked up already is not looked up twice.
 */
import * as Effect from "effect/Effect"
import * as Dns from "effect/net/Dns"
import type * as Host from "effect/net/Host"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import System from "node:dns"
import { closeSync, openSync } from "node:fs"
import { devNull } from "node:os"
import type { Resolver } from "./addresses.ts"
import { kindOf } from "./connecting.ts"

/** The most look-ups at a time. */
const maxLookups = 2

const families = { IPv4: 4, IPv6: 6 } as const

type Answer = Effect.Effect<ReadonlyArray<NetAddress.IpAddress>, Dns.DnsError>

/** A look-up that waits for its turn, or is under way. */
interface Lookup {
  readonly name: string
  readonly family: NetAddress.IpFamily | undefined
  readonly waiters: Set<(answer: Answer) => void>
}

const known = new Map<string, Lookup>()
const inTurn = new Set<Lookup>()
let running = 0

const keyOf = ({ family, name }: Pick<Lookup, "family" | "name">): string => `${family} ${name}`

const read = (found: ReadonlyArray<System.LookupAddress>): ReadonlyArray<NetAddress.IpAddress> =>
  found.flatMap(({ address }) => {
    // a zone is the resolver's
    const read = NetAddress.ipFromString(address.replace(/%.*/, ""))
    return Result.isSuccess(read) ? [read.success] : []
  })

/** The resolver calls every name unknown that it has no file left to ask about; whether that is so, opening one tells. */
const whyUnknown = (cause: Error): unknown => {
  try {
    closeSync(openSync(devNull, "r"))
    return cause
  } catch (full) {
    return kindOf(full) === "Exhausted" ? full : cause
  }
}

const next = (): void => {
  const [lookup] = inTurn
  if (lookup === undefined || running >= maxLookups) return
  inTurn.delete(lookup)
  running++
  const { family, name, waiters } = lookup
  const options = { all: true, family: family === undefined ? 0 : families[family], order: "verbatim" } as const
  System.lookup(name, options, (cause, found) => {
    running--
    known.delete(keyOf(lookup))
    const answer: Answer =
      cause === null
        ? Effect.succeed(read(found))
        : // whoever dials knows no other reason
          Effect.fail(
            new Dns.DnsError({ reason: "NotFound", method: "lookup", hostname: name, cause: whyUnknown(cause) })
          )
    for (const resume of waiters) resume(answer)
    next()
  })
}

const lookup = (name: Host.DomainName, family: NetAddress.IpFamily | undefined): Answer =>
  Effect.callback((resume) => {
    const key = keyOf({ name, family })
    const asked: Lookup = known.get(key) ?? { name, family, waiters: new Set() }
    asked.waiters.add(resume)
    if (!known.has(key)) {
      known.set(key, asked)
      inTurn.add(asked)
      next()
    }
    return Effect.sync(() => {
      asked.waiters.delete(resume)
      // one that is under way cannot be stopped
      if (asked.waiters.size === 0 && inTurn.delete(asked)) known.delete(key)
    })
  })

export const systemDns: Resolver = Dns.make({ lookup })
