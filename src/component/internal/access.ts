/**
 * Who may connect: AllowedClients and BlockedClients as the access lists that they say.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as AccessList from "../../server/AccessList.ts"
import type { ClientNames } from "../../server/ClientNames.ts"
import type { Store } from "../Settings.ts"

export class Access {
  private readonly store: Store
  private text: string | undefined
  private policy: AccessList.Policy = {}
  private isOpen = true
  private needsNames = false

  constructor(store: Store) {
    this.store = store
  }

  /** Whether a client may connect; an effect where its names have to be looked up. */
  allows(address: string | undefined): boolean | Effect.Effect<boolean, never, ClientNames> {
    this.read()
    if (this.isOpen) return true
    return this.needsNames
      ? Effect.map(AccessList.decideEffect(this.policy, address), (denial) => denial === undefined)
      : AccessList.decide(this.policy, address) === undefined
  }

  /** Reads the settings, if they have changed. */
  private read(): void {
    const allowed = this.store.get("AllowedClients")
    const blocked = this.store.get("BlockedClients")
    const text = `${allowed}\n${blocked}`
    if (text === this.text) return
    this.text = text
    this.isOpen = allowed.trim() === "*" && blocked.trim() === ""
    // the settings take nothing that is no list
    this.policy = {
      allowed: Result.getOrThrow(AccessList.parse(allowed)),
      blocked: Result.getOrThrow(AccessList.parse(blocked))
    }
    this.needsNames = [this.policy.allowed, this.policy.blocked].some(
      (list) => list !== undefined && AccessList.needsNames(list)
    )
  }
}
