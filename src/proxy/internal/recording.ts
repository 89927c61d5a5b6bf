/**
 * The form in which noVNC plays back a session: a script that sets an array of strings, one for each chunk. `{` is what the
 * target sent and `}` what the client sent, then come the milliseconds since the beginning, the sign once more, and the bytes, a
 * character for each. It ends with the string `EOF`.
 */

const encoder = new TextEncoder()

export const head = encoder.encode("var VNC_frame_encoding = 'binary';\nvar VNC_frame_data = [\n")
export const tail = encoder.encode("'EOF'];\n")

const digits = encoder.encode("0123456789abcdef")
const backslash = 0x5c
const x = 0x78

/** Which bytes stand for themselves in a string of JavaScript between single quotes, in ASCII and in any page. */
const isPlain = Array.from(
  { length: 256 },
  (_, byte) => byte >= 0x20 && byte <= 0x7e && !"'\\<".includes(String.fromCharCode(byte))
)

/** One chunk. The others of its bytes are `\xNN`. */
export const entry = (from: "client" | "target", millis: number, bytes: Uint8Array): Uint8Array => {
  const sign = from === "client" ? "}" : "{"
  const begin = encoder.encode(`'${sign}${Math.floor(millis)}${sign}`)
  const out = new Uint8Array(begin.length + 4 * bytes.length + 3)
  out.set(begin)
  let at = begin.length
  for (const byte of bytes) {
    if (isPlain[byte]) out[at++] = byte
    else {
      out[at++] = backslash
      out[at++] = x
      out[at++] = digits[byte >> 4]!
      out[at++] = digits[byte & 15]!
    }
  }
  out.set(encoder.encode("',\n"), at)
  return out.subarray(0, at + 3)
}
