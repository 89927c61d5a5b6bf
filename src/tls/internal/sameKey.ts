/**
 * Whether two keys are the same. OpenSSL leaves an error behind when it compares keys of two kinds, which Node then takes for
 * one of whatever TLS connection comes next: so they are compared by kind first.
 */
import type { KeyObject } from "node:crypto"

export const sameKey = (a: KeyObject | undefined, b: KeyObject | undefined): boolean =>
  a !== undefined && b !== undefined && a.asymmetricKeyType === b.asymmetricKeyType && a.equals(b)
