/**
 * The error of modules that follow a file: `NodeBearerTokens`, `NodeHtpasswd` and `NodeJwtKeys`.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

/**
 * The file cannot be read, or what it says cannot be used. The message has the file's name and the reason, and no secret.
 *
 * @category errors
 * @since 0.1.0
 */
export class FileError extends Data.TaggedError("FileError")<{
  /** The path of the file, as it was given. */
  readonly file: string
  /** Why: a code of the system such as `ENOENT`, or a sentence about what the file says. */
  readonly reason: string
}> {
  override get message(): string {
    return `${this.file}: ${this.reason}`
  }
}
