/**
 * Masking of payloads (RFC 6455 section 5.3): byte `i` of the payload is XORed with byte `i mod 4` of the masking key.
 * In place, eight bytes a step over the part of the buffer that is aligned to them.
 *
 * @since 0.1.0
 */

/**
 * Below this many bytes a plain loop beats the creation of a word view (measured: the two meet at about 50 bytes).
 */
const wordThreshold = 48

const keyBytes = new Uint8Array(8)
const keyWord = new BigUint64Array(keyBytes.buffer)

/**
 * The masking key of four bytes as a 32-bit number, the first byte in its highest bits.
 *
 * @category masking
 * @since 0.1.0
 */
export const key = (bytes: Uint8Array, at = 0): number =>
  (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!

/**
 * The four bytes of a masking key.
 *
 * @category masking
 * @since 0.1.0
 */
export const toBytes = (key: number): Uint8Array => new Uint8Array([key >>> 24, key >>> 16, key >>> 8, key])

/**
 * Masks or unmasks `bytes[start, end)` in place. `phase` is the position of `start` in the payload, of which only the two low
 * bits matter: a payload may be unmasked in pieces as they arrive.
 *
 * @category masking
 * @since 0.1.0
 */
export const apply = (bytes: Uint8Array, start: number, end: number, key: number, phase: number): void => {
  const turn = (phase & 3) << 3
  const turned = turn === 0 ? key : (key << turn) | (key >>> (32 - turn))
  let k0 = turned >>> 24
  let k1 = (turned >>> 16) & 0xff
  let k2 = (turned >>> 8) & 0xff
  let k3 = turned & 0xff
  let i = start
  if (end - start >= wordThreshold) {
    // up to seven bytes to the next word boundary of the underlying buffer; the key turns with each
    while (((bytes.byteOffset + i) & 7) !== 0) {
      bytes[i] = bytes[i]! ^ k0
      i++
      const first = k0
      k0 = k1
      k1 = k2
      k2 = k3
      k3 = first
    }
    keyBytes[0] = keyBytes[4] = k0
    keyBytes[1] = keyBytes[5] = k1
    keyBytes[2] = keyBytes[6] = k2
    keyBytes[3] = keyBytes[7] = k3
    const word = keyWord[0]!
    const words = new BigUint64Array(bytes.buffer, bytes.byteOffset + i, (end - i) >> 3)
    const whole = words.length & ~3
    let w = 0
    // asUintN changes nothing, and has it compiled to instructions for 64 bits
    for (; w < whole; w += 4) {
      words[w] = BigInt.asUintN(64, words[w]! ^ word)
      words[w + 1] = BigInt.asUintN(64, words[w + 1]! ^ word)
      words[w + 2] = BigInt.asUintN(64, words[w + 2]! ^ word)
      words[w + 3] = BigInt.asUintN(64, words[w + 3]! ^ word)
    }
    for (; w < words.length; w++) words[w] = BigInt.asUintN(64, words[w]! ^ word)
    i += words.length << 3
  }
  const last = end - 3
  for (; i < last; i += 4) {
    bytes[i] = bytes[i]! ^ k0
    bytes[i + 1] = bytes[i + 1]! ^ k1
    bytes[i + 2] = bytes[i + 2]! ^ k2
    bytes[i + 3] = bytes[i + 3]! ^ k3
  }
  if (i < end) bytes[i] = bytes[i]! ^ k0
  if (i + 1 < end) bytes[i + 1] = bytes[i + 1]! ^ k1
  if (i + 2 < end) bytes[i + 2] = bytes[i + 2]! ^ k2
}
