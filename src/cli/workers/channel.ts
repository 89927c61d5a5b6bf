/**
 * What the first process and its workers say to each other, over the channel that Node gives a child. Both ends are the same
 * program, so that what comes is believed by its type. Structured clones, and not JSON: counts may be bigints, and maps.
 */
import * as Data from "effect/Data"
import type * as Metric from "effect/Metric"

/** From the first process to a worker. */
export type ToWorker =
  /** Comes with a socket, unless its client was faster to go. */
  | { readonly kind: "connection" }
  /**
   * Comes behind each connection. If that has not come before, it is lost: Node drops a message whose socket does not arrive, as none does
   * while a process has as many files open as it may.
   */
  | { readonly kind: "sent" }
  /** Read again what is read again. */
  | { readonly kind: "reload" }
  /** Say what was counted. */
  | { readonly kind: "metrics" }
  /** End in order. */
  | { readonly kind: "end" }

/** From a worker to the first process. */
export type ToFirst =
  /** It serves; the lines are what a process alone would print. */
  | { readonly kind: "ready"; readonly notes: ReadonlyArray<string>; readonly line: string }
  /** So many connections have come, and so many are gone, since it said so last. */
  | { readonly kind: "moved"; readonly came: number; readonly left: number }
  | { readonly kind: "metrics"; readonly series: ReadonlyArray<Metric.Metric.Snapshot> }

/** The environment variable that makes a process a worker, and what it has to know from the start. */
export const variable = "EFFECT_WEBSOCKET_WORKER"

export interface Task {
  /** From 0 on. */
  readonly index: number
  /** The most connections of its own. */
  readonly maxConnections: number
  /** Where the first process listens: an IP address with its port, or the path of a unix socket. */
  readonly address: { readonly ip: string; readonly port: number } | { readonly path: string }
  /** How often it says what it counted, in milliseconds, if anybody wants to know. */
  readonly reportEvery: number | undefined
}

const takeTask = (): Task | undefined => {
  const text = process.env[variable]
  // nothing that this process starts is to take itself for one
  delete process.env[variable]
  // written by the same program
  return text === undefined || process.send === undefined ? undefined : (JSON.parse(text) as Task)
}

/** What this process is a worker for, if it is one. */
export const task = takeTask()

/** The first process cannot go on. The message is one line, and empty if a worker has told it already. */
export class WorkersError extends Data.TaggedError("WorkersError")<{
  readonly message: string
  /** What the process is to exit with. */
  readonly code: number
}> {}
