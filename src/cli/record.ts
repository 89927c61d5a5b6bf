/**
 * `--record`: each session in a file, to be played back with noVNC.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { statSync } from "node:fs"
import { Dialer } from "../proxy/Dialer.ts"
import type { UsageError } from "./Address.ts"
import { optional, parseSize, usage } from "./typed.ts"

/** The flags of a command that has sessions. */
export const server = {
  record: optional(
    "record",
    "FILE",
    "Record each session, with all that is typed, to FILE.1, FILE.2 and so on (noVNC's form)"
  ),
  recordLimit: optional("record-limit", "SIZE", "The most of one recording, such as 10MiB (64 MiB)")
}

/** What was typed for them. */
export interface RecordFlags {
  readonly record: Option.Option<string>
  readonly recordLimit: Option.Option<string>
}

const isFolder = (path: string): boolean => {
  try {
    return statSync(path).isDirectory()
  } catch {
    // what is wrong with it then, the recorder tells
    return false
  }
}

/** The dialler beneath, recorded if that was asked for. */
export const layer = ({ record, recordLimit }: RecordFlags): Layer.Layer<Dialer, UsageError, Dialer> =>
  Layer.effect(Dialer)(
    Effect.gen(function* () {
      if (Option.isNone(record)) {
        if (Option.isSome(recordLimit)) return yield* usage("--record-limit needs --record")
        return yield* Dialer
      }
      const maxFileSize = Option.isNone(recordLimit) ? undefined : yield* parseSize("record-limit", recordLimit.value)
      if (isFolder(record.value)) {
        return yield* usage(
          `--record expects a file, to whose name .1 and so on are added; ${record.value} is a folder`
        )
      }
      const NodeRecorder = yield* Effect.promise(() => import("../node/NodeRecorder.ts"))
      return yield* Effect.mapError(NodeRecorder.make({ file: record.value, maxFileSize }), ({ message }) =>
        usage(`--record: ${message}`)
      )
    })
  )
