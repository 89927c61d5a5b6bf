/**
 * A few bytes of chance for masking keys and handshake keys (RFC 6455 section 10.3): taken from many that come from the system's
 * generator at once, since asking it costs more than a frame does.
 */

const pool = new Uint8Array(4096)
let at = pool.length

/** So many bytes, at most a hundred or so, that nobody else gets. To be used at once: they are overwritten later. */
export const randomBytes = (length: number): Uint8Array => {
  if (at + length > pool.length) {
    crypto.getRandomValues(pool)
    at = 0
  }
  at += length
  return pool.subarray(at - length, at)
}
