/**
 * What stands between the proxy and its targets: nothing, an HTTP proxy that is asked for a tunnel (CONNECT, RFC 9110 section
 * 9.3.6, with Basic credentials, RFC 7617), or SOCKS (SOCKS 4 and 4a; SOCKS 5, RFC 1928, with user and password, RFC 1929). Each of
 * them may be spoken to over TLS.
 *
 * Who looks up the name of a target:
 *
 * | firewall | `name`   | `*name`      |
 * | -------- | -------- | ------------ |
 * | None     | we       | (not a name) |
 * | Tunnel   | firewall | firewall     |
 * | Socks4   | we, IPv4 | firewall: 4a |
 * | Socks4a  | firewall | firewall     |
 * | Socks5   | we       | firewall     |
 *
 * With several, the first is dialled; each is asked to connect to the next, and the last to the target. The table holds for each.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { authority } from "../protocol/internal/authority.ts"
import * as Basic from "./internal/basic.ts"

const Port = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 65535 })))

/** Which port a firewall listens on unless it is said. */
const portOr = (port: number) => Port.pipe(Schema.withConstructorDefault(Effect.succeed(port)))

/** Whether TLS is spoken with the firewall itself. Default: `false`. */
const tls = Schema.optional(Schema.Boolean)

const encoder = new TextEncoder()

/** Text that the protocol carries: one byte has its length, or NUL ends it. */
const short = (what: string) =>
  Schema.makeFilter(
    (text: string) =>
      (encoder.encode(text).length <= 255 && !text.includes("\0")) || `${what} is up to 255 bytes without NUL`
  )

const basicUser = Schema.makeFilter(
  (text: string) => Basic.isUser(text) || "a user has no colon and no control character"
)
const basicPassword = Schema.makeFilter(
  (text: string) => Basic.isPassword(text) || "a password has no control character"
)

/**
 * No firewall: targets are dialled directly.
 *
 * @category models
 * @since 0.1.0
 */
export class None extends Schema.TaggedClass<None>("effect-websocket/proxy/Firewall/None")("None", {}) {
  override toString(): string {
    return "no firewall"
  }
}

/**
 * An HTTP proxy that tunnels. `port` is 80 by default.
 *
 * @category models
 * @since 0.1.0
 */
export class Tunnel extends Schema.TaggedClass<Tunnel>("effect-websocket/proxy/Firewall/Tunnel")("Tunnel", {
  host: Schema.NonEmptyString,
  port: portOr(80),
  user: Schema.optional(Schema.String.pipe(Schema.check(basicUser))),
  password: Schema.optional(Schema.Redacted(Schema.String.pipe(Schema.check(basicPassword)))),
  tls
}) {
  override toString(): string {
    return `tunnel firewall ${authority(this.host, this.port)}`
  }
}

/**
 * SOCKS 4. It knows IPv4 alone, and a user without a password. `port` is 1080 by default.
 *
 * @category models
 * @since 0.1.0
 */
export class Socks4 extends Schema.TaggedClass<Socks4>("effect-websocket/proxy/Firewall/Socks4")("Socks4", {
  host: Schema.NonEmptyString,
  port: portOr(1080),
  user: Schema.optional(Schema.String.pipe(Schema.check(short("a user")))),
  tls
}) {
  override toString(): string {
    return `SOCKS4 firewall ${authority(this.host, this.port)}`
  }
}

/**
 * SOCKS 4a: SOCKS 4 where the firewall looks up the name. `port` is 1080 by default.
 *
 * @category models
 * @since 0.1.0
 */
export class Socks4a extends Schema.TaggedClass<Socks4a>("effect-websocket/proxy/Firewall/Socks4a")("Socks4a", {
  host: Schema.NonEmptyString,
  port: portOr(1080),
  user: Schema.optional(Schema.String.pipe(Schema.check(short("a user")))),
  tls
}) {
  override toString(): string {
    return `SOCKS4a firewall ${authority(this.host, this.port)}`
  }
}

/**
 * SOCKS 5. Without a user no authentication is offered. `port` is 1080 by default.
 *
 * @category models
 * @since 0.1.0
 */
export class Socks5 extends Schema.TaggedClass<Socks5>("effect-websocket/proxy/Firewall/Socks5")("Socks5", {
  host: Schema.NonEmptyString,
  port: portOr(1080),
  user: Schema.optional(Schema.String.pipe(Schema.check(short("a user")))),
  password: Schema.optional(Schema.Redacted(Schema.String.pipe(Schema.check(short("a password"))))),
  tls
}) {
  override toString(): string {
    return `SOCKS5 firewall ${authority(this.host, this.port)}`
  }
}

/**
 * Schema of any firewall, or none.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Firewall = Schema.Union([None, Tunnel, Socks4, Socks4a, Socks5])

/**
 * Any firewall, or {@link none}.
 *
 * @category models
 * @since 0.1.0
 */
export type Firewall = typeof Firewall.Type

/**
 * A firewall that there is.
 *
 * @category models
 * @since 0.1.0
 */
export type Present = Exclude<Firewall, None>

/**
 * Whether there is a firewall.
 *
 * @category guards
 * @since 0.1.0
 */
export const isPresent = (firewall: Firewall): firewall is Present => firewall._tag !== "None"

/**
 * Targets are dialled directly: the default.
 *
 * @category constructors
 * @since 0.1.0
 */
export const none: Firewall = new None()

const kinds = { http: Tunnel, https: Tunnel, socks4: Socks4, socks4a: Socks4a, socks5: Socks5 } as const

const expected =
  "expected a firewall as a URL such as http://proxy.example:3128, https://user:password@proxy.example, socks5://proxy.example:1080, or with socks4, socks4a or, over TLS, socks5+tls"

/** What a URL says; credentials and host are percent-encoded in it. */
const parts = (url: URL) =>
  Result.try({
    try: () => ({
      host: decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, "$1"),
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password)
    }),
    catch: () => `${expected}; an escape in it is malformed`
  })

/**
 * Reads a firewall from a URL: `http://`, `https://`, `socks4://`, `socks4a://` or `socks5://`, a SOCKS one also with `+tls`,
 * then `user:password@` if it asks for them, percent-encoded, and `host` or `host:port`. The default port is that of the scheme
 * (80, 443), or 1080. The error says what is wrong without repeating any part of the URL, since there may be a password in it.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromUrl = (text: string): Result.Result<Present, string> =>
  Result.gen(function* () {
    const url = yield* Result.try({ try: () => new URL(text.trim()), catch: () => expected })
    const [, scheme = "", plus] = /^(\w+)(\+tls)?:$/.exec(url.protocol) ?? []
    if (scheme === "socks5h" || scheme === "socks") {
      return yield* Result.fail(
        `${expected}; where the firewall is to look up names, write socks5 and the target as *name`
      )
    }
    if (!Object.hasOwn(kinds, scheme) || (plus !== undefined && !scheme.startsWith("socks")))
      return yield* Result.fail(expected)
    if (!/^\/?$/.test(url.pathname) || url.search !== "" || url.hash !== "") {
      return yield* Result.fail(`${expected}; nothing comes behind the port`)
    }
    const { host, password, user } = yield* parts(url)
    if (host === "" || url.port === "0") return yield* Result.fail(`${expected}; its host is missing, or its port is 0`)
    if (password !== "" && scheme.startsWith("socks4")) return yield* Result.fail(`${expected}; SOCKS4 has no password`)
    const port = url.port === "" ? (scheme === "https" ? 443 : undefined) : Number(url.port)
    const Kind = kinds[scheme as keyof typeof kinds]
    return yield* Result.try({
      try: (): Present =>
        new Kind({
          host,
          ...(port !== undefined && { port }),
          ...(user !== "" && { user }),
          ...(password !== "" && { password: Redacted.make(password) }),
          ...((scheme === "https" || plus !== undefined) && { tls: true })
        }),
      catch: () => `${expected}; its protocol cannot carry that user or password`
    })
  })
