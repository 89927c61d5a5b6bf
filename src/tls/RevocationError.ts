/**
 * Why a certificate is refused after a check for revocation: it has been revoked, or nobody could confirm that it has not.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

/**
 * Where a verdict comes from.
 *
 * @category models
 * @since 0.1.0
 */
export type Source = "CRL" | "OCSP"

/**
 * What messages call a source.
 *
 * @internal
 */
export const words: Readonly<Record<Source, string>> = { CRL: "revocation list", OCSP: "OCSP responder" }

const from = ({ source, url }: { readonly source: Source; readonly url: string | undefined }): string =>
  url === undefined ? `the given ${words[source]}` : `the ${words[source]} at ${url}`

/**
 * The certificate has been revoked.
 *
 * @category errors
 * @since 0.1.0
 */
export class Revoked extends Data.TaggedError("Revoked")<{
  readonly source: Source
  /** Where it says so; `undefined` for a given list. */
  readonly url: string | undefined
  readonly at: Date
  /** In the words of RFC 5280 section 5.3.1, such as `keyCompromise`. */
  readonly why: string
}> {
  override get message(): string {
    return `the certificate was revoked at ${this.at.toISOString()} (${this.why}), says ${from(this)}`
  }
}

/**
 * The responder does not know the certificate.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnknownCertificate extends Data.TaggedError("UnknownCertificate")<{
  readonly source: Source
  readonly url: string | undefined
}> {
  override get message(): string {
    return `the certificate is not known to ${from(this)}`
  }
}

/**
 * Nobody could be asked: there is nobody, or no usable answer.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unavailable extends Data.TaggedError("Unavailable")<{
  readonly source: Source
  readonly url: string | undefined
  /** What happened, as a sentence without its capital and full stop. */
  readonly why: string
  readonly cause?: unknown
}> {
  override get message(): string {
    return this.url === undefined ? this.why : `${from(this)} cannot be used: ${this.why}`
  }
}

/**
 * The list or answer is of another time.
 *
 * @category errors
 * @since 0.1.0
 */
export class Outdated extends Data.TaggedError("Outdated")<{
  readonly source: Source
  readonly url: string | undefined
  /** When it was made. */
  readonly thisUpdate: Date
  /** When there should have been news. */
  readonly nextUpdate: Date | undefined
}> {
  override get message(): string {
    const until = this.nextUpdate === undefined ? "" : ` to ${this.nextUpdate.toISOString()}`
    return `what ${from(this)} says is of another time: from ${this.thisUpdate.toISOString()}${until}`
  }
}

/**
 * The list or answer is not signed by who may.
 *
 * @category errors
 * @since 0.1.0
 */
export class BadSignature extends Data.TaggedError("BadSignature")<{
  readonly source: Source
  readonly url: string | undefined
  readonly why: string
}> {
  override get message(): string {
    return `what ${from(this)} says cannot be trusted: ${this.why}`
  }
}

/**
 * Why a certificate is not accepted.
 *
 * @category errors
 * @since 0.1.0
 */
export type RevocationErrorReason = Revoked | UnknownCertificate | Unavailable | Outdated | BadSignature

/**
 * The certificate is not to be accepted.
 *
 * @category errors
 * @since 0.1.0
 */
export class RevocationError extends Data.TaggedError("RevocationError")<{
  readonly reason: RevocationErrorReason
}> {
  override get message(): string {
    return this.reason.message
  }
}
