/**
 * Somebody who stays for a connection, most of the time without a fiber: the handler may end before the connection does, and goes on in a new
 * fiber once what is waited for has come (`parked.ts`). Here is whose turn it is; what the handler does, and what is done at its end, is
 * for those who extend this.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Keeper, Ongoing } from "./keeper.ts"
import type { Host, Parked } from "./parked.ts"

/** `barred`: the fiber must stay, because somebody relies on its end or an effect of the application's has run in it. */
type Parking = "allowed" | "barred" | "begins"

export abstract class Staying implements Ongoing, Host {
  place = -1
  private readonly keeper: Keeper<unknown> | undefined
  /** What it waits for without a fiber, if it does or is about to. */
  protected parked: Parked | undefined = undefined
  private parking: Parking = "allowed"
  private next: Effect.Effect<unknown, unknown, unknown> | undefined = undefined

  constructor(keeper: Keeper<unknown> | undefined) {
    this.keeper = keeper
  }

  /** All that is left to do from this on, with its end; asks {@link goesOn} whether that is the end. */
  protected abstract handled(
    handling: Effect.Effect<unknown, unknown, unknown>
  ): Effect.Effect<unknown, unknown, unknown>

  /** The fiber has to last as long as the connection from now on. */
  protected bar(): void {
    this.parking = "barred"
  }

  /** Waits without a fiber, if that is possible: the last effect of a handler that has nothing else left to do. */
  stay(parked: () => Parked | undefined): Effect.Effect<void> | undefined {
    if (this.keeper === undefined || this.parking === "barred") return undefined
    this.parked = parked()
    return this.parked === undefined ? undefined : this.again()
  }

  again(): Effect.Effect<void> | undefined {
    if (this.parking === "barred") return undefined
    this.parking = "begins"
    return Effect.void
  }

  within<E, R>(self: Effect.Effect<unknown, E, R>): Effect.Effect<unknown, E, R> {
    // its children, and what it has changed in its fiber, last until the handler ends
    this.bar()
    return self
  }

  /** Whether it goes on when its fiber has ended so, and then it waits from now on; to be asked once. */
  goesOn(exit: Exit.Exit<unknown, unknown>): boolean {
    if (this.parking !== "begins") return false
    this.parking = "allowed"
    if (!Exit.isSuccess(exit)) return false
    this.keeper!.keep(this)
    this.parked!.begin(this)
    return true
  }

  /** A fiber holds its first effect for life. So this comes first, and drops the reference to the real one before that runs. */
  private get going(): Effect.Effect<unknown, unknown, unknown> {
    return Effect.suspend(() => {
      const { next } = this
      this.next = undefined
      return next!
    })
  }

  resume(next: Effect.Effect<unknown, unknown, unknown>): void {
    this.next = next
    this.keeper!.goOn(this, this.handled(this.going))
  }

  interrupt(): void {
    this.resume(this.parked!.interrupted())
  }
}
