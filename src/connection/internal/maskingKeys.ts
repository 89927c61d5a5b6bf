/**
 * Masking keys: four bytes for each frame of a client, many at a time from the system's generator, whose calls cost more than a frame.
 */

const keyPool = new Uint8Array(4096)
let keyAt = keyPool.length

/** A fresh masking key, from a strong source of entropy (RFC 6455 section 10.3). */
export const makeKey = (): Uint8Array => {
  if (keyAt === keyPool.length) {
    crypto.getRandomValues(keyPool)
    keyAt = 0
  }
  keyAt += 4
  return keyPool.subarray(keyAt - 4, keyAt)
}
