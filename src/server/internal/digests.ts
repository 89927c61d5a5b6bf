/**
 * SHA-256, and HMAC with a key that only this process has, by the platform's Web Crypto. What is looked up by such an HMAC can be
 * found in a table: where the search ends says nothing about what is in it to somebody who does not have the key.
 */

const hex = (bytes: ArrayBuffer): string =>
  Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("")

const bytesOf = (text: string) => new TextEncoder().encode(text)

export const sha256 = async (text: string): Promise<string> => hex(await crypto.subtle.digest("SHA-256", bytesOf(text)))

type HmacKey = Awaited<ReturnType<typeof hmacKey>>

/** A key of chance, for as long as the process runs. */
export const hmacKey = () => crypto.subtle.generateKey({ name: "HMAC", hash: "SHA-256" }, false, ["sign"])

export const hmac = async (key: HmacKey, text: string): Promise<string> =>
  hex(await crypto.subtle.sign("HMAC", key, bytesOf(text)))
