/** What a target sends, cut into messages and fragments in place of one binary message for each chunk. */
import * as Arr from "effect/Array"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { Outgoing } from "../../connection/internal/outbound.ts"

/** Cuts a chunk, or does not. */
export type Cut = (bytes: Uint8Array) => NonEmptyReadonlyArray<Outgoing> | undefined

/** The pieces of all chunks, if any is cut. */
export const pieces = (
  chunks: NonEmptyReadonlyArray<Uint8Array>,
  cut: Cut
): NonEmptyReadonlyArray<Outgoing> | undefined => {
  let isCut = false
  const all = Arr.flatMap(chunks, (payload): NonEmptyReadonlyArray<Outgoing> => {
    const some = cut(payload)
    isCut ||= some !== undefined
    return some ?? [{ isText: false, payload, first: true, last: true }]
  })
  return isCut ? all : undefined
}
