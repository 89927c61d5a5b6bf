/**
 * The bytes of a file on disk. A pipe, which would hold up the whole process until somebody writes to it, and what is too large, are not
 * read. Throws.
 */
import { readFileSync, statSync } from "node:fs"

/** The largest file in bytes. */
export const maxSize = 16 * 1024 * 1024

/** `name` is what the message calls it. */
export const readRegularFile = (path: string, name = "it"): Buffer => {
  const stat = statSync(path)
  if (!stat.isFile()) throw new Error(`${name} is no file`)
  if (stat.size > maxSize) throw new Error(`${name} has ${stat.size} bytes; at most ${maxSize} are taken`)
  return readFileSync(path)
}

/** Why it was not read: what the system calls it, or the message. */
export const whyNot = (cause: unknown): string =>
  cause instanceof Error ? ("code" in cause ? String(cause.code) : cause.message) : String(cause)
