/**
 * What the readers of this folder throw or fail with when their bytes are not what they should be. `CertificateStore` turns it
 * into its own error, which also names the store.
 */
import * as Data from "effect/Data"

/**
 * - `Malformed`: the bytes are not what their format says.
 * - `WrongPassword`: the password is missing or wrong.
 * - `Unsupported`: the format is known and cannot be read here.
 */
export type Kind = "Malformed" | "WrongPassword" | "Unsupported"

/** The message is a sentence without its capital and its full stop, to be put behind the store's name. It holds no secrets. */
export class Malformed extends Data.TaggedError("Malformed")<{
  readonly kind: Kind
  readonly message: string
  readonly cause?: unknown
}> {}

export const malformed = (message: string, cause?: unknown): Malformed =>
  new Malformed({ kind: "Malformed", message, cause })

export const unsupported = (message: string): Malformed => new Malformed({ kind: "Unsupported", message })

export const wrongPassword = (message: string, cause?: unknown): Malformed =>
  new Malformed({ kind: "WrongPassword", message, cause })

/** Any exception as one: those of other libraries become `message`, and stay its cause. */
export const from =
  (message: string) =>
  (cause: unknown): Malformed =>
    cause instanceof Malformed ? cause : malformed(message, cause)
