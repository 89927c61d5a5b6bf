/**
 * What connections have in common that one server has accepted, or one client opened. There is one object for all of them.
 */
import type * as Clock from "effect/Clock"
import type { Limits } from "../Limits.ts"

export interface Terms {
  readonly role: "server" | "client"
  readonly limits: Limits
  readonly clock: Clock.Clock
}
