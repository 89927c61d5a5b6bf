/**
 * What a component tells of itself: lines of the log, errors that no call could report, and faults of its listeners.
 */
import { ComponentError, fromUnknown } from "../ComponentError.ts"
import type { Code } from "../ErrorCode.ts"
import type { CommonEvents, LogEvent } from "../Events.ts"
import type { Store } from "../Settings.ts"
import { idOf, unlinked } from "./arrivals.ts"
import type { Emitter } from "./emitter.ts"
import type { Logged } from "./host.ts"

type Level = 1 | 2 | 3

/** The values of headers that the log does not tell. */
const secrets = /^((?:proxy-)?authorization|(?:set-)?cookie)(:[ \t]*).*$/gim

const typeOf = (level: Level): LogEvent["logType"] => (level === 1 ? "Info" : level === 2 ? "Verbose" : "Debug")

export class Telling<Events extends CommonEvents> {
  private readonly store: Store
  private readonly emitter: Emitter<Events>

  constructor(store: Store, emitter: Emitter<Events>) {
    this.store = store
    this.emitter = emitter
  }

  /** Whether the Log event is told what is of this level. */
  logs(level: Level): boolean {
    return this.store.values.LogLevel >= level && this.emitter.has("Log")
  }

  log(of: Logged | undefined, level: Level, message: string, logType: LogEvent["logType"] = typeOf(level)): void {
    if (!this.logs(level)) return
    const text = this.store.get("MaskSensitiveData") ? message.replace(secrets, "$1$2***") : message
    const event = { connectionId: of?.connectionId ?? "", logLevel: level, message: text, logType }
    const emit = () => this.emitter.emit("Log", event)
    if (of === undefined) void emit()
    else of.turns.offer(emit)
  }

  /** Fires the Error event; a failure that has a code of its own keeps it. */
  report(of: Logged | undefined, cause: unknown, otherwise: Code): void {
    const error = fromUnknown(cause, otherwise)
    const under = error.cause instanceof Error ? error.cause.message : ""
    const description = under === "" || error.message.includes(under) ? error.message : `${error.message} ${under}`
    this.log(of, 1, description, "Error")
    const event = { connectionId: of?.connectionId ?? "", errorCode: error.code, description }
    const emit = () => this.emitter.emit("Error", event)
    void (of === undefined ? emit() : of.turns.take(emit))
  }

  /** The same for a failure of something that was asked for: if nobody listens it is a warning of the process. */
  failed(of: Logged | undefined, cause: unknown, otherwise: Code): void {
    if (this.emitter.has("Error") || this.logs(1)) this.report(of, cause, otherwise)
    else process.emitWarning(fromUnknown(cause, otherwise))
  }

  /** A listener failed, of the connection that has the id of its event. */
  listenerFailed(
    name: keyof Events,
    cause: unknown,
    event: Events[keyof Events],
    links: { get(connectionId: string): Logged | undefined }
  ): void {
    const id = idOf(event)
    const error = new ComponentError(500, { detail: `${String(name)}: ${inWords(cause)}`, cause })
    // who listens to no errors still learns of his own; and a listener of errors is not told of itself
    if (name === "Error" || name === "Log" || !this.emitter.has("Error")) process.emitWarning(error)
    else this.report(links.get(id) ?? unlinked(id), error, 500)
  }
}

/** Anything can be thrown, also what has no words. */
export const inWords = (cause: unknown): string => {
  try {
    return String(cause)
  } catch {
    return "it threw an object that cannot be shown"
  }
}
