/** What all connections of one server, or of one client, have in common. There is one object for all of them. */
import type * as Clock from "effect/Clock"
import type { Limits } from "../Limits.ts"

export interface Terms {
  readonly role: "server" | "client"
  readonly limits: Limits
  readonly clock: Clock.Clock
}
