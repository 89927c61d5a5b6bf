/**
 * CRC32C (Castagnoli), the checksum of SCTP (RFC 9260 appendix A; RFC 4960 appendix B before it). It finds damage, and is no
 * protection against anybody.
 */

/** The polynomial 0x1EDC6F41, its bits reversed. */
const polynomial = 0x82f63b78

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ polynomial : rest >>> 1
  return rest
})

/** The checksum as a number of 32 bits without sign. */
export const crc32c = (bytes: Uint8Array): number => {
  let rest = 0xffffffff
  for (const byte of bytes) rest = table[(rest ^ byte) & 0xff]! ^ (rest >>> 8)
  return ~rest >>> 0
}
