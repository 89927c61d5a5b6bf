/**
 * What a store holds, before its keys and certificates are matched: the common answer of all readers.
 */
import type { KeyObject } from "node:crypto"

export interface Contents {
  /** Certificates in DER, in the order of the store. */
  readonly certificates: ReadonlyArray<Uint8Array>
  readonly privateKeys: ReadonlyArray<KeyObject>
  /** Public keys that stand alone. */
  readonly publicKeys: ReadonlyArray<KeyObject>
}

export const make = (contents: Partial<Contents>): Contents => ({
  certificates: [],
  privateKeys: [],
  publicKeys: [],
  ...contents
})
