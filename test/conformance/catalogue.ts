/**
 * All the cases, in the order of their groups.
 */
import type { Group } from "./case.ts"
import { byteStream } from "./cases/byte-stream.ts"
import { closing } from "./cases/closing.ts"
import { compressedContent, compressedParameters } from "./cases/compression.ts"
import { fragmentation } from "./cases/fragmentation.ts"
import { framing } from "./cases/framing.ts"
import { handshake } from "./cases/handshake.ts"
import { autoFragmentation, limits } from "./cases/limits.ts"
import { masking } from "./cases/masking.ts"
import { opcodes } from "./cases/opcodes.ts"
import { pings } from "./cases/pings.ts"
import { reservedBits } from "./cases/reserved-bits.ts"
import { utf8 } from "./cases/utf8.ts"

export const catalogue: ReadonlyArray<Group> = [
  handshake,
  framing,
  pings,
  reservedBits,
  opcodes,
  fragmentation,
  utf8,
  closing,
  masking,
  limits,
  autoFragmentation,
  byteStream,
  compressedContent,
  compressedParameters
]
