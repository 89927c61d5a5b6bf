/**
 * Operations that the caller waits for: bounded by a time of inactivity, and ended early by `interrupt` or an `AbortSignal`.
 */
import type * as Effect from "effect/Effect"
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { type Member, Roster } from "../../connection/internal/roster.ts"
import { WebSocketError } from "../../connection/WebSocketError.ts"
import type { Code } from "../ErrorCode.ts"
import { ComponentError, fromUnknown } from "../ComponentError.ts"
import { tlsCode } from "./tlsFault.ts"

/** Starts an effect at once, and runs it until it waits. */
export type Fork = <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>

export interface Options {
  /** So many seconds without progress end it; 0: no limit. */
  readonly timeout: number
  /** Grows as long as there is progress. */
  readonly progress: () => number
  readonly signal?: AbortSignal | undefined
  /** The code of a failure of the connection, and of one that has none of its own. */
  readonly otherwise: Code
  /** What may go on when nobody waits for it any more. */
  readonly goesOn?: GoesOn | undefined
}

/** Of a message, whether a part of it is sent, so that the rest will be. */
export interface GoesOn {
  readonly isBegun: boolean
}

/** How often progress is looked at, in parts of the timeout. */
const looks = 4

interface Wait extends Member {
  readonly fiber: Fiber.Fiber<unknown, unknown>
}

export class Waiting {
  private readonly fork: Fork
  private readonly waits = new Roster<Wait>()

  constructor(fork: Fork) {
    this.fork = fork
  }

  /** Ends all that is waited for, with 301. */
  interrupt(): void {
    for (const { fiber } of this.waits) fiber.interruptUnsafe()
  }

  run<A, E>(effect: Effect.Effect<A, E>, options: Options): Promise<A> {
    const { signal } = options
    if (signal?.aborted === true) return Promise.reject(new ComponentError(301, { cause: signal.reason }))
    const fiber = this.fork(effect)
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) return conclude(exit, options)
    const wait: Wait = { fiber, place: -1 }
    this.waits.add(wait)
    const interrupt = () => fiber.interruptUnsafe()
    signal?.addEventListener("abort", interrupt)
    const timer = watch(options, interrupt)
    return new Promise((resolve) => {
      fiber.addObserver((exit) => {
        this.waits.delete(wait)
        signal?.removeEventListener("abort", interrupt)
        clearInterval(timer)
        resolve(conclude(exit, options))
      })
    })
  }
}

const watch = ({ progress, timeout }: Options, stalled: () => void): NodeJS.Timeout | undefined => {
  if (timeout <= 0) return undefined
  let seen = progress()
  let still = 0
  return setInterval(
    () => {
      const now = progress()
      still = now === seen ? still + 1 : 0
      seen = now
      if (still >= looks) stalled()
    },
    (timeout * 1000) / looks
  )
}

const conclude = <A, E>(exit: Exit.Exit<A, E>, { goesOn, otherwise, signal }: Options): Promise<A> => {
  if (Exit.isSuccess(exit)) return Promise.resolve(exit.value)
  if (Cause.hasInterruptsOnly(exit.cause)) {
    const detail = goesOn?.isBegun === true ? begun : undefined
    return Promise.reject(
      new ComponentError(301, { detail, cause: signal?.aborted === true ? signal.reason : undefined })
    )
  }
  const error = Cause.squash(exit.cause)
  // what became of the client is told by Error and Disconnected; the call failed to send, whatever the system says of it
  if (error instanceof WebSocketError) {
    return Promise.reject(new ComponentError(tlsCode(error) ?? otherwise, { cause: error }))
  }
  return Promise.reject(fromUnknown(error, tlsCode(error) ?? otherwise))
}

const begun = "The message has begun, and is completed when the client takes it."
