/**
 * The form in which noVNC plays back a session: a script that sets an array of strings, one for each chunk. `{` is what the
 * target sent and `}` what the client sent, then come the milliseconds since the beginning, the sign once more, and the bytes, a
 * character for each. It ends with the string `EOF`.
 */

export const head = "var VNC_frame_encoding = 'binary';\nvar VNC_frame_data = [\n"
export const tail = "'EOF'];\n"

/** Each byte as it is written in a string of JavaScript between single quotes, on one line and in ASCII. */
const written = Array.from({ length: 256 }, (_, byte) => {
  const char = String.fromCharCode(byte)
  return /[ -~]/.test(char) && !/['\\<]/.test(char) ? char : `\\x${byte.toString(16).padStart(2, "0")}`
})

/** One chunk. */
export const entry = (from: "client" | "target", millis: number, bytes: Uint8Array): string => {
  const sign = from === "client" ? "}" : "{"
  let text = `'${sign}${Math.floor(millis)}${sign}`
  for (const byte of bytes) text += written[byte]!
  return `${text}',\n`
}
