/**
 * The error codes of the documents, and what of this package becomes which. A code is a number that programs compare; its text
 * is the documented one. Two of the field's codes that the documents leave out are used too, and one is our own.
 *
 * @since 0.1.0
 */

/**
 * A code and what it means.
 *
 * @category models
 * @since 0.1.0
 */
export interface ErrorCode {
  /** The documented text. */
  readonly text: string
  /** When it is raised. */
  readonly raised?: string
  /** The error codes of Node and of the system that become this one. */
  readonly errnos?: ReadonlyArray<string>
  /** Whether nothing on this platform reports it. */
  readonly never?: boolean
}

/**
 * The documented codes.
 *
 * @category constants
 * @since 0.1.0
 */
export const documented = {
  100: {
    text: "You cannot change the RemotePort at this time. A connection is in progress.",
    raised: "`forwardPort` of a live connection is set"
  },
  101: {
    text: "You cannot change the RemoteHost at this time. A connection is in progress.",
    raised: "`forwardHost` of a live connection is set"
  },
  102: { text: "The RemoteHost address is invalid (0.0.0.0).", raised: "the forward host is empty or 0.0.0.0" },
  104: {
    text: "TCPServer is already listening.",
    raised: "`startListening()`, or `listening = true`, while it listens"
  },
  106: { text: "Cannot change LocalPort when TCPServer is listening.", raised: "`localPort` is set while it listens" },
  107: { text: "Cannot change LocalHost when TCPServer is listening.", raised: "`localHost` is set while it listens" },
  108: {
    text: "Cannot change MaxConnections when TCPServer is listening.",
    raised: "`MaxConnections` is set while it listens"
  },
  112: {
    text: "You cannot change MaxLineLength at this time. A connection is in progress.",
    raised: "`MaxLineLength` is set while the connection reads by lines"
  },
  116: {
    text: "RemotePort cannot be zero. Please specify a valid service port number.",
    raised: "the forward port is 0"
  },
  126: { text: "Invalid ConnectionId.", raised: "no connection has the id" },
  135: {
    text: "Operation would block.",
    raised:
      "an operation that must wait is asked of a connection that may not: `sendFile`, `setUploadStream` with Timeout 0"
  },
  270: {
    text: "Cannot load specified security library.",
    raised: "TLS cannot be set up: an unknown protocol, cipher suite or group"
  },
  271: {
    text: "Cannot open certificate store.",
    raised: "a certificate store cannot be opened, or its type is of another platform"
  },
  272: { text: "Cannot find specified certificate.", raised: "the store has no certificate with the subject" },
  273: {
    text: "Cannot acquire security credentials.",
    raised: "there is no private key, or it does not belong to the certificate"
  },
  274: { text: "Cannot find certificate chain.", raised: "the issuer of a certificate is missing" },
  275: { text: "Cannot verify certificate chain.", raised: "a chain of certificates does not verify" },
  276: { text: "Error during handshake.", raised: "the TLS handshake fails" },
  280: { text: "Error verifying certificate.", raised: "a client's certificate is not accepted" },
  281: { text: "Could not find client certificate.", raised: "a client has no certificate, and one is asked for" },
  282: { text: "Could not find server certificate.", raised: "`useSSL` is set and there is no certificate" },
  283: { text: "Error encrypting data.", raised: "TLS fails while something is sent: to the call that sends" },
  284: { text: "Error decrypting data.", raised: "TLS fails to receive: to the Error event" },
  4202: {
    text: "Error sending data to the connected client.",
    raised: "a send, or a file or stream that is sent, fails midway"
  },
  10004: { text: "[10004] Interrupted system call.", errnos: ["EINTR", "ECANCELED"] },
  10009: { text: "[10009] Bad file number.", errnos: ["EBADF"] },
  10013: { text: "[10013] Access denied.", errnos: ["EACCES", "EPERM"] },
  10014: { text: "[10014] Bad address.", errnos: ["EFAULT"] },
  10022: {
    text: "[10022] Invalid argument.",
    errnos: ["EINVAL", "ERR_SOCKET_BAD_PORT", "ERR_INVALID_ARG_TYPE", "ERR_INVALID_ARG_VALUE", "ERR_OUT_OF_RANGE"]
  },
  10024: { text: "[10024] Too many open files.", errnos: ["EMFILE", "ENFILE"] },
  10035: { text: "[10035] Operation would block.", errnos: ["EAGAIN", "EWOULDBLOCK"] },
  10036: { text: "[10036] Operation now in progress.", errnos: ["EINPROGRESS"] },
  10037: { text: "[10037] Operation already in progress.", errnos: ["EALREADY"] },
  10038: { text: "[10038] Socket operation on nonsocket.", errnos: ["ENOTSOCK"] },
  10039: { text: "[10039] Destination address required.", errnos: ["EDESTADDRREQ"] },
  10040: { text: "[10040] Message is too long.", errnos: ["EMSGSIZE"] },
  10041: { text: "[10041] Protocol wrong type for socket.", errnos: ["EPROTOTYPE"] },
  10042: { text: "[10042] Bad protocol option.", errnos: ["ENOPROTOOPT"] },
  10043: { text: "[10043] Protocol is not supported.", errnos: ["EPROTONOSUPPORT"] },
  10044: { text: "[10044] Socket type is not supported.", errnos: ["ESOCKTNOSUPPORT"] },
  10045: { text: "[10045] Operation is not supported on socket.", errnos: ["EOPNOTSUPP", "ENOTSUP"] },
  10046: { text: "[10046] Protocol family is not supported.", errnos: ["EPFNOSUPPORT"], never: true },
  10047: { text: "[10047] Address family is not supported by protocol family.", errnos: ["EAFNOSUPPORT"] },
  10048: { text: "[10048] Address already in use.", errnos: ["EADDRINUSE"] },
  10049: { text: "[10049] Cannot assign requested address.", errnos: ["EADDRNOTAVAIL"] },
  10050: { text: "[10050] Network is down.", errnos: ["ENETDOWN"] },
  10051: { text: "[10051] Network is unreachable.", errnos: ["ENETUNREACH"] },
  10052: { text: "[10052] Net dropped connection or reset.", errnos: ["ENETRESET"] },
  10053: { text: "[10053] Software caused connection abort.", errnos: ["ECONNABORTED"] },
  10054: { text: "[10054] Connection reset by peer.", errnos: ["ECONNRESET"] },
  10055: { text: "[10055] No buffer space available.", errnos: ["ENOBUFS", "ENOMEM"] },
  10056: { text: "[10056] Socket is already connected.", errnos: ["EISCONN"] },
  10057: {
    text: "[10057] Socket is not connected.",
    errnos: ["ENOTCONN", "ERR_SOCKET_CLOSED", "ERR_STREAM_DESTROYED"]
  },
  10058: {
    text: "[10058] Cannot send after socket shutdown.",
    errnos: ["ESHUTDOWN", "EPIPE", "ERR_STREAM_WRITE_AFTER_END"]
  },
  10059: { text: "[10059] Too many references, cannot splice.", errnos: ["ETOOMANYREFS"], never: true },
  10060: { text: "[10060] Connection timed out.", errnos: ["ETIMEDOUT", "ERR_SOCKET_CONNECTION_TIMEOUT"] },
  10061: { text: "[10061] Connection refused.", errnos: ["ECONNREFUSED"] },
  10062: { text: "[10062] Too many levels of symbolic links.", errnos: ["ELOOP"] },
  10063: { text: "[10063] File name is too long.", errnos: ["ENAMETOOLONG"] },
  10064: { text: "[10064] Host is down.", errnos: ["EHOSTDOWN"] },
  10065: { text: "[10065] No route to host.", errnos: ["EHOSTUNREACH"] },
  10066: { text: "[10066] Directory is not empty", errnos: ["ENOTEMPTY"] },
  10067: { text: "[10067] Too many processes.", errnos: ["EPROCLIM"], never: true },
  10068: { text: "[10068] Too many users.", errnos: ["EUSERS"], never: true },
  10069: { text: "[10069] Disc Quota Exceeded.", errnos: ["EDQUOT"] },
  10070: { text: "[10070] Stale NFS file handle.", errnos: ["ESTALE"] },
  10071: { text: "[10071] Too many levels of remote in path.", errnos: ["EREMOTE"], never: true },
  10091: { text: "[10091] Network subsystem is unavailable.", errnos: [], never: true },
  10092: { text: "[10092] WINSOCK DLL Version out of range.", errnos: [], never: true },
  10093: { text: "[10093] Winsock is not loaded yet.", errnos: [], never: true },
  11001: { text: "[11001] Host not found.", errnos: ["ENOTFOUND", "EAI_NONAME"] },
  11002: {
    text: "[11002] Nonauthoritative 'Host not found' (try again or check DNS setup).",
    errnos: ["EAI_AGAIN", "ETIMEOUT"]
  },
  11003: {
    text: "[11003] Nonrecoverable errors: FORMERR, REFUSED, NOTIMP.",
    errnos: ["EFORMERR", "EREFUSED", "ENOTIMP", "ESERVFAIL", "EAI_FAIL"]
  },
  11004: { text: "[11004] Valid name, no data record (check DNS setup).", errnos: ["ENODATA", "EAI_NODATA"] }
} as const satisfies Record<number, ErrorCode>

/**
 * Codes that are not in the documents.
 *
 * @category constants
 * @since 0.1.0
 */
export const additional = {
  118: { text: "Firewall error.", raised: "the firewall refuses to connect to the forward host, or cannot be reached" },
  301: {
    text: "Operation interrupted (or timeout).",
    raised: "`interrupt`, an `AbortSignal`, or a wait longer than the Timeout"
  },
  500: { text: "An event listener failed.", raised: "a listener throws or rejects: to the Error event" }
} as const satisfies Record<number, ErrorCode>

/**
 * Every code.
 *
 * @category models
 * @since 0.1.0
 */
export type Code = keyof typeof documented | keyof typeof additional

const all: Readonly<Record<number, ErrorCode>> = { ...documented, ...additional }

/**
 * The text of a code.
 *
 * @category accessors
 * @since 0.1.0
 */
export const textOf = (code: Code): string => all[code]!.text

// the keys of the table are its codes
const byErrno = new Map(
  Object.entries(documented).flatMap(([code, entry]) =>
    "errnos" in entry ? entry.errnos.map((errno): [string, Code] => [errno, Number(code) as Code]) : []
  )
)

/**
 * The code of an error of Node or the system, if it has one.
 *
 * @category accessors
 * @since 0.1.0
 */
export const ofErrno = (errno: unknown): Code | undefined =>
  typeof errno === "string" ? byErrno.get(errno) : undefined
