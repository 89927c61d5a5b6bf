/**
 * What the connections of a component have of it.
 */
import type { Code } from "../ErrorCode.ts"
import type { LogEvent, CommonEvents } from "../Events.ts"
import type { Store } from "../Settings.ts"
import type { Emitter } from "./emitter.ts"
import type { Turns } from "./turns.ts"
import type { Fork } from "./waiting.ts"

export interface Host<Events extends CommonEvents> {
  readonly store: Store
  readonly emitter: Emitter<Events>
  readonly fork: Fork
  /** Whether the Log event is told what is of this level. */
  readonly logs: (level: 1 | 2 | 3) => boolean
  log(of: Logged | undefined, level: 1 | 2 | 3, message: string, type?: LogEvent["logType"]): void
  /** Fires the Error event; a failure that has a code of its own keeps it. */
  report(of: Logged | undefined, cause: unknown, otherwise: Code): void
  /** The same for a failure of something that was asked for: if nobody listens it is a warning of the process. */
  failed(of: Logged | undefined, cause: unknown, otherwise: Code): void
}

/** What a log line may be about. */
export interface Logged {
  readonly connectionId: string
  readonly turns: Turns
}
