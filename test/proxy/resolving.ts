/**
 * A resolver that answers what a test says, and knows what it was asked.
 */
import * as Effect from "effect/Effect"
import * as Dns from "effect/net/Dns"
import * as NetAddress from "effect/net/NetAddress"
import type * as NodeDialer from "../../src/node/NodeDialer.ts"

/** The addresses of names: always the same, or one answer after the other, the last for good. */
export type Names = Readonly<Record<string, ReadonlyArray<string> | ReadonlyArray<ReadonlyArray<string>>>>

export interface Resolving {
  readonly asked: ReadonlyArray<string>
  readonly dns: NonNullable<NodeDialer.Options["dns"]>
}

const answer = (addresses: Names[string], time: number): ReadonlyArray<string> => {
  const at = addresses[Math.min(time, addresses.length - 1)] ?? []
  // all of a list are of one kind
  return typeof at === "string" ? (addresses as ReadonlyArray<string>) : at
}

/** These names, and no other. */
export const names = (known: Names): Resolving => {
  const asked: Array<string> = []
  const dns = Dns.make({
    lookup: (name, family) =>
      Effect.sync(() => {
        const time = asked.filter((one) => one === name).length
        asked.push(name)
        const found = answer(known[name] ?? [], time).map(NetAddress.ipFromStringUnsafe)
        return found.filter((address) => family === undefined || NetAddress.isFamily(address, family))
      })
  })
  return { asked, dns }
}
