/**
 * The client that proxies name, by the object of the request: the listener finds it out, and tells the application
 * (`application.ts`).
 */
import type { Named } from "./upgrade.ts"

const names = new WeakMap<object, Named>()

export const name = (request: object, named: Named): void => void names.set(request, named)

export const nameOf = (request: object): Named | undefined => names.get(request)
