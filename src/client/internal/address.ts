/**
 * A WebSocket URL (RFC 6455 section 3) as what a handshake needs of it: `ws` and `wss`, also written `http` and `https` as pages may,
 * and `ws+unix:/PATH/OF/SOCKET:/path` for a unix socket. Credentials in it are for Basic authentication (RFC 7617).
 */
import * as Result from "effect/Result"
import { quoted } from "../../protocol/internal/shown.ts"
import * as Basic from "../../proxy/internal/basic.ts"
import { type AnyTarget, Target, UnixTarget } from "../../proxy/Target.ts"

export interface Address {
  readonly target: AnyTarget
  readonly isSecure: boolean
  /** The value of the `Host` header. */
  readonly host: string
  /** Path and query. */
  readonly path: string
  /** The value of the `Authorization` header, if there are credentials. */
  readonly authorization: string | undefined
  /** For people: without credentials and query. */
  readonly shown: string
}

const expected = "expected a URL such as ws://host/path, wss://host:port/path or ws+unix:/run/app.sock:/path"

const defaultPorts = new Map([
  ["ws:", 80],
  ["http:", 80],
  ["wss:", 443],
  ["https:", 443]
])

const decoded = (text: string): Result.Result<string, string> =>
  Result.try({ try: () => decodeURIComponent(text), catch: () => `${expected}; an escape in it is malformed` })

const parsed = (text: string | URL): Result.Result<URL, string> =>
  // it may be a secret, whatever is wrong with it
  Result.try({ try: () => new URL(text), catch: () => `${expected}, got one that cannot be read` })

const authorizationOf = ({ password, username }: URL): Result.Result<string | undefined, string> => {
  if (username === "" && password === "") return Result.succeed(undefined)
  return Result.flatMap(Result.all([decoded(username), decoded(password)]), ([user, password]) =>
    Basic.isUser(user) && Basic.isPassword(password)
      ? Result.succeed(Basic.credentials(`${user}:${password}`))
      : Result.fail(`${expected}; a user has no colon, and neither it nor a password a control character`)
  )
}

const unixAddress = (url: URL): Result.Result<Address, string> => {
  const colon = url.pathname.indexOf(":")
  const escaped = colon === -1 ? url.pathname : url.pathname.slice(0, colon)
  const path = colon === -1 ? "" : url.pathname.slice(colon + 1)
  return Result.flatMap(decoded(escaped), (file) => {
    if (!file.startsWith("/") || url.host !== "" || file.includes("\0"))
      return Result.fail(`${expected}; the path of a unix socket is absolute`)
    // such a URL may be opaque, and then nothing in it is escaped
    if (!/^[\x21-\x7e]*$/.test(`${path}${url.search}`)) return Result.fail(`${expected}, its blanks escaped as %20`)
    return Result.succeed({
      target: new UnixTarget({ path: file }),
      isSecure: false,
      host: "localhost",
      path: `${path.startsWith("/") ? path : `/${path}`}${url.search}`,
      authorization: undefined,
      shown: `ws+unix:${escaped}:${path}`
    })
  })
}

/** Reads a URL; what is wrong with it is told without repeating any of it. */
export const parse = (text: string | URL): Result.Result<Address, string> =>
  Result.flatMap(parsed(text), (url) => {
    // section 3: fragments mean nothing here, and the number sign is to be escaped
    if (url.href.includes("#")) return Result.fail(`${expected}, without a fragment (#)`)
    if (url.protocol === "ws+unix:") return unixAddress(url)
    const defaultPort = defaultPorts.get(url.protocol)
    if (defaultPort === undefined) return Result.fail(`${expected}, got one with another scheme`)
    if (url.port === "0") return Result.fail(`${expected}; no server listens on port 0`)
    const isSecure = defaultPort === 443
    return Result.map(authorizationOf(url), (authorization) => ({
      target: new Target({
        host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
        port: url.port === "" ? defaultPort : Number(url.port)
      }),
      isSecure,
      host: url.host,
      path: `${url.pathname}${url.search}`,
      authorization,
      shown: `${isSecure ? "wss" : "ws"}://${url.host}${url.pathname}`
    }))
  })

/** A URL as it came from somebody else, for people: without credentials, query and fragment, short, and in a line. */
export const shownOther = (text: string): string => quoted(text.replace(/[?#].*$/s, "").replace(/\/\/[^/]*@/, "//"))

/** How a URL that cannot be used is shown: no more of it than where its host may end. */
export const shown = (text: string | URL): string =>
  Result.match(parse(text), { onSuccess: ({ shown }) => shown, onFailure: () => "a URL that cannot be used" })
