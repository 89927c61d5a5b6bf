/** The tokens of HTTP (RFC 9110 section 5.6.2): names of headers, subprotocols and extensions, and their parameters; and bearer tokens. */

/** One character of a token. */
export const tokenCharacter = /[!#$%&'*+.^_`|~0-9A-Za-z-]/

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

export const isToken = (text: string): boolean => token.test(text)

const b64token = /^[A-Za-z0-9\-._~+/]+=*$/

/** Whether this can be sent as a bearer token (RFC 6750 section 2.1: b64token). */
export const isBearerToken = (text: string): boolean => b64token.test(text)
