/**
 * `--compress`, `--context-takeover` and `--compress-limit`: what passes through is not put together, but a compressed message is inflated
 * as a whole, so that there is a most to it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as PerMessageDeflate from "../protocol/PerMessageDeflate.ts"
import type { UsageError } from "./Address.ts"
import { given, optional, parseSize, usage } from "./typed.ts"

/** The flag of a command that compresses whether it is told to or not. */
export const contextTakeover = given(
  "context-takeover",
  "Let compressed messages refer to earlier ones: smaller, for up to 64 KiB a connection, and for peers that do so whatever they are told (Tornado, Mojolicious)"
)

/** The flags of a command that compresses. */
export const compression = (description: string) => ({
  compress: given("compress", description),
  contextTakeover,
  compressLimit: optional("compress-limit", "SIZE", "The most that one message may inflate to, such as 10MiB (1 MiB)")
})

/** What was typed for them. */
export interface CompressionFlags {
  readonly compress: boolean
  readonly contextTakeover: boolean
  readonly compressLimit: Option.Option<string>
}

/** How is compressed. A client that is not told so takes a server's context all the same, which `false` would refuse. */
export const setting = (contextTakeover: boolean): PerMessageDeflate.Setting =>
  contextTakeover ? { contextTakeover } : true

/** What they mean to a server or a client. */
export const options = Effect.fnUntraced(function* ({
  compress,
  compressLimit,
  contextTakeover
}: CompressionFlags): Effect.fn.Return<
  { readonly compression: PerMessageDeflate.Setting; readonly maxMessageSize: number | undefined },
  UsageError
> {
  if (!compress) {
    const stray = contextTakeover ? "context-takeover" : Option.isSome(compressLimit) ? "compress-limit" : undefined
    if (stray !== undefined) return yield* usage(`--${stray} needs --compress`)
    return { compression: false, maxMessageSize: undefined }
  }
  return {
    compression: setting(contextTakeover),
    maxMessageSize: Option.isNone(compressLimit)
      ? undefined
      : yield* parseSize("compress-limit", compressLimit.value, 2 ** 30)
  }
})
