/**
 * Where to listen: LocalHost as UseIPv6 means it.
 */
import { lookup } from "node:dns/promises"
import { isIP } from "node:net"
import { ComponentError, fromUnknown } from "../ComponentError.ts"

export interface Where {
  readonly host: string
  readonly ipv6Only: boolean
}

const families = { 0: 4, 1: 6, 2: 0 } as const

/** The places to try, one after the other. */
export const whereToListen = async (localHost: string, useIPv6: 0 | 1 | 2): Promise<ReadonlyArray<Where>> => {
  const everywhere = { host: "0.0.0.0", ipv6Only: false }
  if (localHost === "") {
    if (useIPv6 === 0) return [everywhere]
    // a system without IPv6 still has IPv4
    return useIPv6 === 1 ? [{ host: "::", ipv6Only: true }] : [{ host: "::", ipv6Only: false }, everywhere]
  }
  const family = families[useIPv6]
  const is = isIP(localHost)
  if (is !== 0 && family !== 0 && is !== family) {
    throw new ComponentError(10047, { detail: `LocalHost ${localHost} is of IPv${is}, and UseIPv6 is ${useIPv6}.` })
  }
  if (is !== 0) return [{ host: localHost, ipv6Only: useIPv6 === 1 }]
  try {
    const { address } = await lookup(localHost, { family })
    return [{ host: address, ipv6Only: useIPv6 === 1 }]
  } catch (cause) {
    throw fromUnknown(cause, 11001)
  }
}
