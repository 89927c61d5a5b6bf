/**
 * `--compress`, and `--compress-limit`: what passes through is not put together, but a compressed message is inflated as a whole, so that
 * there is a most to it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { UsageError } from "./Address.ts"
import { given, optional, parseSize, usage } from "./typed.ts"

/** The flags of a command that compresses. */
export const compression = (description: string) => ({
  compress: given("compress", description),
  compressLimit: optional("compress-limit", "SIZE", "The most that one message may inflate to, such as 10MiB (1 MiB)")
})

/** What was typed for them. */
export interface CompressionFlags {
  readonly compress: boolean
  readonly compressLimit: Option.Option<string>
}

/** What they mean to a server or a client. */
export const options = Effect.fnUntraced(function* ({
  compress,
  compressLimit
}: CompressionFlags): Effect.fn.Return<
  { readonly compression: boolean; readonly maxMessageSize: number | undefined },
  UsageError
> {
  if (Option.isNone(compressLimit)) return { compression: compress, maxMessageSize: undefined }
  if (!compress) return yield* usage("--compress-limit needs --compress")
  return { compression: true, maxMessageSize: yield* parseSize("compress-limit", compressLimit.value, 2 ** 30) }
})
