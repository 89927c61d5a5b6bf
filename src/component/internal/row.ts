/**
 * What the tables of the components say of each item of the documents, besides how it works: where it is documented, how far
 * it goes here, and what it becomes. `README.md` of the components is made of it.
 */

/** Whose documentation has it: the server's, the proxy's, both, or neither. */
export type Documents = "server" | "proxy" | "both" | "none"

/**
 * `works`; `partly`, for a reason that the note gives; `no meaning`: accepted, checked and read back, since nothing on this
 * platform can carry it; `with TLS`: not there yet.
 */
export type Status = "works" | "partly" | "no meaning" | "with TLS"

export interface Row {
  /** The documented name. */
  readonly name: string
  readonly documents: Documents
  readonly status: Status
  /** What it maps to, or why it does not. */
  readonly note: string
}
