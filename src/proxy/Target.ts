/**
 * Where the proxy connects to: a TCP address, or the socket of a service on this machine.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Host from "effect/net/Host"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { authority } from "../protocol/internal/authority.ts"

/**
 * A host name or IP address and a port. An IPv6 address is without brackets.
 *
 * @category models
 * @since 0.1.0
 */
export class Target extends Schema.Class<Target>("effect-websocket/proxy/Target")({
  host: Schema.NonEmptyString,
  port: Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 65535 })))
}) {
  override toString(): string {
    return authority(this.host, this.port)
  }
}

/**
 * A target that the client chose in its request, and not the operator. A dialler judges such targets by another policy than those
 * that are configured: see `TargetPolicy`.
 *
 * @category models
 * @since 0.1.0
 */
export class ClientTarget extends Target.extend<ClientTarget>("effect-websocket/proxy/ClientTarget")({}) {
  override toString(): string {
    return authority(this.host, this.port)
  }
}

/**
 * A unix socket, by its path. What begins with NUL is a name in Linux' abstract namespace.
 *
 * @category models
 * @since 0.1.0
 */
export class UnixTarget extends Schema.Class<UnixTarget>("effect-websocket/proxy/UnixTarget")({
  path: Schema.NonEmptyString
}) {
  override toString(): string {
    return `unix:${this.path.replace("\0", "@")}`
  }
}

/**
 * All that can be connected to.
 *
 * @category models
 * @since 0.1.0
 */
export type AnyTarget = Target | UnixTarget

const hostPort = /^(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([^:/\s[\]]+)):(\d{1,5})$/

/**
 * Reads `host:port`, with an IPv6 address in brackets: `db.example:5432`, `[::1]:5900`.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<Target, string> => {
  const match = hostPort.exec(text)
  if (match === null)
    return Result.fail(`expected host:port, such as localhost:5900 or [::1]:5900, got ${JSON.stringify(text)}`)
  const port = Number(match[3])
  if (port < 1 || port > 65535)
    return Result.fail(`expected a port from 1 to 65535 in ${JSON.stringify(text)}, got ${match[3]}`)
  const host = match[1] ?? match[2]!
  // behind a star it is a firewall's to look up
  return Result.mapBoth(readHost(host.replace(/^\*/, "")), {
    onFailure: (reason) => `expected a host name or an IP address in ${JSON.stringify(text)}: ${reason}`,
    onSuccess: () => new Target({ host, port })
  })
}

/**
 * Reads the `host:port` that a client asks for. Clients cannot use `*name`, which has a firewall look up the name, nor unix
 * sockets.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parseClient = (text: string): Result.Result<ClientTarget, string> =>
  Result.flatMap(parse(text), ({ host, port }) =>
    host.startsWith("*")
      ? Result.fail(
          `expected a host name or an IP address in ${JSON.stringify(text)}: who looks it up is not said by a client`
        )
      : Result.succeed(new ClientTarget({ host, port }))
  )

/**
 * Reads `host:port`, or `unix:PATH` for a unix socket, with `unix:@NAME` for a name in Linux' abstract namespace. For what an
 * operator wrote: a client is not to choose among the sockets of this machine.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parseAny = (text: string): Result.Result<AnyTarget, string> => {
  if (!text.startsWith("unix:")) return parse(text)
  const path = text.slice("unix:".length)
  return path === "" || path === "@" || path.includes("\0")
    ? Result.fail(
        `expected the path of a unix socket behind unix:, such as unix:/run/app.sock, got ${JSON.stringify(text)}`
      )
    : Result.succeed(new UnixTarget({ path: path.replace(/^@/, "\0") }))
}

/**
 * A host as it is looked up, compared and connected to: an address, or a name in lower case and in ASCII (`xn--`). An IPv6
 * address may be in brackets. Text that resolvers take for an address and people do not (`0x7f.1`, `0177.0.0.1`, `2130706433`,
 * `127.1`) is neither, and fails.
 *
 * @category decoding
 * @since 0.1.0
 */
export const readHost = (text: string): Result.Result<Host.Host, string> => {
  const bare = /^\[(.*:.*)\]$/.exec(text)?.[1] ?? text
  return Result.flatMap(
    Result.mapError(Host.hostFromString(bare), ({ message }) => message),
    (host) => (host === "." ? Result.fail("the root of all names is no host") : Result.succeed(host))
  )
}

/**
 * Schema between {@link Target} and `host:port`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const FromString = Schema.String.pipe(
  Schema.decodeTo(
    Target,
    SchemaTransformation.transformEffect<typeof Target.Encoded, string>({
      decode: (text, options) =>
        Result.match(parse(text), {
          onFailure: (message) => Effect.fail(new SchemaIssue.InvalidValue({ message }, text, options)),
          onSuccess: (target) => Effect.succeed(target)
        }),
      encode: (target) => Effect.succeed(new Target(target).toString())
    })
  )
)
