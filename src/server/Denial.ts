/**
 * Why a client is not admitted. What is in here is for the log and the metrics; the client gets a status, a challenge or a
 * time to come back, and a body that is always the same.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import { Refusal } from "../protocol/OpeningHandshake.ts"

/**
 * The kinds of reasons, as the metric counts them.
 *
 * - `address`, `origin`: the client's address, or the page that it comes from.
 * - `addressUnreadable`: the header in which a reverse proxy that is believed says the client's address.
 * - `maxConnections`, `maxConnectionsPerAddress`, `maxHandshakeRatePerAddress`: the limits of `Admission`.
 * - `maxWrongPasswords`: the limit of `Htpasswd`.
 * - `credentialsMissing`, `credentialsMalformed`, `credentialsWrong`: no credentials, such that cannot be read, or wrong ones.
 * - `tokenExpired`, `tokenNotYetValid`, `tokenNotForUs`: a genuine token, at the wrong time or for somebody else.
 * - `certificateMissing`, `certificateRefused`: of a client certificate.
 * - `unavailable`: what is needed to check could not be had, or too much waits to be checked.
 * - `custom`: a policy of the application's own.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind =
  | "address"
  | "addressUnreadable"
  | "origin"
  | "maxConnections"
  | "maxConnectionsPerAddress"
  | "maxHandshakeRatePerAddress"
  | "maxWrongPasswords"
  | "credentialsMissing"
  | "credentialsMalformed"
  | "credentialsWrong"
  | "tokenExpired"
  | "tokenNotYetValid"
  | "tokenNotForUs"
  | "certificateMissing"
  | "certificateRefused"
  | "unavailable"
  | "custom"

/** What every client that is not admitted reads, whatever the reason. */
const body = "The request was refused."

/**
 * See the head of this module.
 *
 * @category errors
 * @since 0.1.0
 */
export class Denial extends Data.TaggedError("Denial")<{
  readonly kind: Kind
  /** The policy that refused. */
  readonly policy: string
  /** For the log: no credentials are in it, and what the client wrote is quoted. */
  readonly reason: string
  /** Of `WWW-Authenticate` (RFC 9110 section 11.6.1). */
  readonly challenges: ReadonlyArray<string>
  /** When to come back, in whole seconds (RFC 9110 section 10.2.3). */
  readonly retryAfter?: number | undefined
}> {
  override get message(): string {
    return `refused by ${this.policy}: ${this.reason}`
  }

  /** The HTTP status: see the head of `AccessPolicy`. */
  get status(): 400 | 401 | 403 | 429 | 503 {
    switch (this.kind) {
      case "addressUnreadable":
        return 400
      case "maxConnections":
      case "unavailable":
        return 503
      // RFC 6585 section 4
      case "maxConnectionsPerAddress":
      case "maxHandshakeRatePerAddress":
      case "maxWrongPasswords":
        return 429
      default:
        return this.challenges.length > 0 ? 401 : 403
    }
  }

  /** What the client is told. */
  get refusal(): Refusal {
    const { challenges, retryAfter, status } = this
    return new Refusal({
      status,
      reason: body,
      headers: {
        ...(status === 401 ? { "www-authenticate": challenges } : {}),
        ...(retryAfter === undefined ? {} : { "retry-after": String(retryAfter) })
      }
    })
  }

  /** What several policies say together, one of which would have been enough. */
  static all(policy: string, denials: ReadonlyArray<Denial>): Denial {
    // what could not be checked may have been right; what came says more than what did not
    const telling =
      denials.find(({ kind }) => kind === "unavailable") ??
      denials.find(({ kind }) => kind !== "credentialsMissing" && kind !== "certificateMissing") ??
      denials[0]
    return new Denial({
      kind: telling?.kind ?? "custom",
      policy,
      reason: denials.map((denial) => `${denial.policy}: ${denial.reason}`).join("; ") || "it lets in nobody",
      challenges: [...new Set(denials.flatMap(({ challenges }) => challenges))],
      retryAfter: telling?.retryAfter
    })
  }
}
