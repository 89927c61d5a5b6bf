/**
 * Whom proxies name as the client of a request, by its object: the listener knows it, and an application is told (`application.ts`).
 */
import type { Named } from "./upgrade.ts"

const names = new WeakMap<object, Named>()

export const name = (request: object, named: Named): void => void names.set(request, named)

export const nameOf = (request: object): Named | undefined => names.get(request)
