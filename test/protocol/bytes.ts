/** Bytes to write tests with: as hexadecimal, side by side, cut into pieces. */
export const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ""), "hex"))
export const toHex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex")

export const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array => new Uint8Array(Buffer.concat(parts))

const encoder = new TextEncoder()
export const utf8 = (text: string): Uint8Array => encoder.encode(text)

/** Bytes that differ from their neighbours, so that a byte in the wrong place shows. */
export const patterned = (length: number, seed = 1): Uint8Array => {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + seed * 101) & 0xff
  return bytes
}

/** Fresh copies of a byte string's pieces, cut at the given places, whatever their order and range. */
export const cutAt = (bytes: Uint8Array, places: ReadonlyArray<number>): Array<Uint8Array> => {
  const cuts = places.map((place) => Math.abs(place) % (bytes.length + 1)).toSorted((a, b) => a - b)
  return [0, ...cuts].map((from, i) => bytes.slice(from, cuts[i] ?? bytes.length))
}

export const eachByte = (bytes: Uint8Array): Array<Uint8Array> => Array.from(bytes, (byte) => new Uint8Array([byte]))
