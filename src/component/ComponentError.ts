/**
 * The one error of the components: a documented number, its documented text, and what caused it.
 *
 * @since 0.1.0
 */
import type { CertificateStoreError } from "../tls/CertificateStore.ts"
import { type Code, ofErrno, textOf } from "./ErrorCode.ts"

/**
 * `code` is the number to compare, `message` its documented text, followed by the particulars where the text alone would not
 * help. `cause` is the error underneath, if there is one.
 *
 * @category errors
 * @since 0.1.0
 */
export class ComponentError extends Error {
  override readonly name = "ComponentError"
  readonly code: Code

  constructor(code: Code, options: { readonly detail?: string | undefined; readonly cause?: unknown } = {}) {
    const { cause, detail } = options
    super(detail === undefined ? textOf(code) : `${textOf(code)} ${detail}`, cause === undefined ? {} : { cause })
    this.code = code
  }
}

/**
 * What a method calls when it is done, if it is given in place of a signal: with the failure, or with nothing. The promise of the
 * method does not fail then.
 *
 * @category models
 * @since 0.1.0
 */
export type Callback = (error?: ComponentError) => void

/** What an error of Node or the system calls itself, here or in what caused it. */
const errnoOf = (error: unknown): Code | undefined => {
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause ?? reasonOf(at), depth++) {
    const code = ofErrno("code" in at ? at.code : undefined)
    if (code !== undefined) return code
  }
  return undefined
}

/** Errors of the core carry theirs in a reason. */
const reasonOf = (error: Error): unknown => ("reason" in error ? error.reason : undefined)

/**
 * Whatever failed, as a `ComponentError`: by the system's code in it if there is one, by `otherwise` if not.
 *
 * @internal
 */
export const fromUnknown = (cause: unknown, otherwise: Code): ComponentError =>
  cause instanceof ComponentError ? cause : new ComponentError(errnoOf(cause) ?? otherwise, { cause })

const storeCodes: Readonly<Record<CertificateStoreError["reason"]["_tag"], Code>> = {
  CannotOpenStore: 271,
  CertificateNotFound: 272,
  NoUsablePrivateKey: 273
}

/**
 * What is wrong with a store of certificates.
 *
 * @internal
 */
export const fromStore = (error: CertificateStoreError): ComponentError =>
  new ComponentError(storeCodes[error.reason._tag], { detail: error.message, cause: error })

/**
 * A value that is not what it must be.
 *
 * @internal
 */
export const invalid = (what: string, expected: string, got: unknown): ComponentError =>
  new ComponentError(10022, { detail: `${what}: expected ${expected}, got ${shown(got)}.` })

/**
 * The same for what may be a secret, of which only the type is told.
 *
 * @internal
 */
export const invalidSecret = (what: string, expected: string, got: unknown): ComponentError =>
  new ComponentError(10022, { detail: `${what}: expected ${expected}, got a value of type ${typeof got}.` })

const shown = (value: unknown): string => {
  if (typeof value === "string") return JSON.stringify(value.length > 64 ? `${value.slice(0, 64)}…` : value)
  return typeof value === "object" && value !== null ? "an object" : String(value)
}
