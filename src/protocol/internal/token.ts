/** The tokens of HTTP (RFC 9110 section 5.6.2): names of headers, subprotocols and extensions, and their parameters. */

/** One character of a token. */
export const tokenCharacter = /[!#$%&'*+.^_`|~0-9A-Za-z-]/

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

export const isToken = (text: string): boolean => token.test(text)
