/** A host and a port as one text (RFC 3986 section 3.2), with an IPv6 address in brackets. */
export const authority = (host: string, port: number): string => `${host.includes(":") ? `[${host}]` : host}:${port}`
