/**
 * The lines of a file of credentials, without empty lines and remarks. A mistake is reported by the number of its line; of the
 * line itself, no more than a name is ever in a message. Pure.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"

/**
 * A line that cannot be used, and what to do about it.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidLine extends Data.TaggedError("InvalidLine")<{
  /** From 1 on. */
  readonly line: number
  readonly reason: string
}> {
  override get message(): string {
    return `line ${this.line}: ${this.reason}`
  }
}

/** The most lines that say something. */
const maxLines = 100_000

/**
 * Reads each line that is not empty and no remark (`#`). The first that cannot be read is the result.
 *
 * @category decoding
 * @since 0.1.0
 */
export const read = <A>(
  text: string,
  parse: (line: string, number: number) => Result.Result<A, string>
): Result.Result<ReadonlyArray<A>, InvalidLine> => {
  const entries: Array<A> = []
  const lines = text.replace(/^\uFEFF/, "").split("\n")
  for (const [index, raw] of lines.entries()) {
    const content = raw.replace(/\r$/, "")
    if (content.trim() === "" || content.startsWith("#")) continue
    const line = index + 1
    if (entries.length === maxLines) {
      return Result.fail(new InvalidLine({ line, reason: `there are more than ${maxLines} entries` }))
    }
    const entry = parse(content, line)
    if (Result.isFailure(entry)) return Result.fail(new InvalidLine({ line, reason: entry.failure }))
    entries.push(entry.success)
  }
  return Result.succeed(entries)
}
