/**
 * Where the proxy connects to: a TCP address, or the socket of a service on this machine.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"

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
    return `${this.host.includes(":") ? `[${this.host}]` : this.host}:${this.port}`
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
  return Result.succeed(new Target({ host: match[1] ?? match[2]!, port }))
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
