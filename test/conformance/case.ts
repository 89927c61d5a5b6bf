/**
 * What a conformance case is: data, and one function that talks to a server which echoes messages.
 */
import type { OpenOptions, Peer } from "./client.ts"
import type { Tcp } from "./wire/tcp.ts"

export interface Connect {
  /** Completes an opening handshake. */
  (options?: OpenOptions): Promise<Peer>
  /** Only connects. */
  tcp(): Promise<Tcp>
  /** The value of the Host header. */
  readonly host: string
  /** The request target of the echoing endpoint. */
  readonly target: string
}

export interface Case {
  /** `group.family.number`, the same in every run. */
  readonly id: string
  readonly title: string
  /** The section that asks for it. */
  readonly rfc: string
  /** Resolves when the server behaves as it should. */
  readonly run: (connect: Connect) => Promise<void>
  /** The least that a server has to do which is listed as different here. */
  readonly tolerated?: (connect: Connect) => Promise<void>
}

export interface Group {
  readonly title: string
  readonly cases: ReadonlyArray<Case>
}

/** A case before its family gives it a number and, where it has none of its own, a section. */
export type Member = Omit<Case, "id" | "rfc"> & { readonly rfc?: string }

export const member = (title: string, run: Case["run"], rest?: Pick<Member, "rfc" | "tolerated">): Member => ({
  title,
  run,
  ...rest
})

/** Numbers the members of a family of cases: `family.1`, `family.2`, … */
export const family = (id: string, rfc: string, members: ReadonlyArray<Member>): Array<Case> =>
  members.map((one, i) => ({ rfc, ...one, id: `${id}.${i + 1}` }))
