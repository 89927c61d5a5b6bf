/**
 * What `effect-websocket tunnel` does.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as SocketServer from "effect/socket/SocketServer"
import * as Tunnel from "../client/Tunnel.ts"
import * as ClientAddress from "../client/internal/address.ts"
import { headersOf } from "../client/internal/request.ts"
import * as NodeTcpListener from "../node/NodeTcpListener.ts"
import * as NodeWebSocketClient from "../node/NodeWebSocketClient.ts"
import { credentials } from "../proxy/internal/basic.ts"
import type { ListenError } from "../server/UpgradeListener.ts"
import type * as TlsClient from "../tls/TlsClient.ts"
import * as Address from "./Address.ts"
import * as Compression from "./compression.ts"
import * as flags from "./flags.ts"
import * as HangUp from "./hangUp.ts"
import { print, readyLine } from "./ready.ts"
import * as TlsFlags from "./tlsClient.ts"
import { limits, type Typed } from "./tunnel.ts"
import { isGiven, usage, variable } from "./typed.ts"
import * as Way from "./way.ts"

/** What only the environment has: arguments are no secret. */
const authorization = Effect.fnUntraced(function* ({ authorizationEnv, userEnv }: Typed) {
  if (Option.isSome(authorizationEnv)) {
    if (Option.isSome(userEnv))
      return yield* usage("--user-env has what --authorization-env would say: give one of them")
    return (yield* variable("authorization-env", authorizationEnv.value)).trim()
  }
  if (Option.isNone(userEnv)) return undefined
  const pair = (yield* variable("user-env", userEnv.value)).trim()
  // RFC 7617 section 2
  if (!/^[^:\p{Cc}]*:\P{Cc}*$/u.test(pair)) return yield* usage(`--user-env expects user:password in ${userEnv.value}`)
  return credentials(pair)
})

const headers = Effect.fnUntraced(function* (typed: Typed) {
  const { header } = typed
  const given = new Map<string, string | ReadonlyArray<string>>()
  for (const line of header) {
    const [, name, value] = /^([^:]+):[ \t]*(.*)$/.exec(line) ?? []
    // it may be a secret
    if (name === undefined || value === undefined) return yield* usage('--header expects a line such as "Name: value"')
    const before = given.get(name.toLowerCase())
    given.set(name.toLowerCase(), before === undefined ? value : [before, value].flat())
  }
  const secret = yield* authorization(typed)
  if (secret !== undefined) {
    if (given.has("authorization"))
      return yield* usage("--header has what --authorization-env or --user-env says of Authorization: give one of them")
    given.set("authorization", secret)
  }
  return Object.fromEntries(given)
})

const isOfTls = ["serverCa", "serverName", "serverInsecure", "clientCert", "clientKey", "clientCertPassword"] as const

const flagOf: Readonly<Record<(typeof isOfTls)[number], string>> = {
  serverCa: "server-ca",
  serverName: "server-name",
  serverInsecure: "server-insecure",
  clientCert: "client-cert",
  clientKey: "client-key",
  clientCertPassword: "client-cert-password-env"
}

/** Which flag a mistake is of. */
const faultOf = {
  InvalidCa: flagOf.serverCa,
  InvalidServerName: flagOf.serverName,
  UnusableCertificate: flagOf.clientCert,
  InvalidSettings: flagOf.clientCert
} as const

const tlsOptions = Effect.fnUntraced(function* (
  typed: Typed,
  isSecure: boolean
): Effect.fn.Return<TlsClient.Options, Address.UsageError> {
  const { serverCa, serverInsecure, serverName } = typed
  const stray = isOfTls.find((flag) => isGiven(typed[flag]))
  if (!isSecure) return stray === undefined ? {} : yield* usage(`--${flagOf[stray]} is for TLS, and needs a wss:// URL`)
  if (serverInsecure && Option.isSome(serverCa))
    return yield* usage("--server-insecure accepts any certificate, which makes nothing of --server-ca: leave one out")
  const ca = yield* TlsFlags.authorities(flagOf.serverCa, serverCa)
  return yield* TlsFlags.usable(faultOf, {
    certificate: yield* TlsFlags.certificate(
      [flagOf.clientCert, typed.clientCert],
      [flagOf.clientKey, typed.clientKey],
      [flagOf.clientCertPassword, typed.clientCertPassword]
    ),
    serverName: Option.getOrUndefined(serverName),
    insecure: serverInsecure,
    ...(ca !== undefined && { ca, onlyGivenCa: true })
  })
})

const printReady = Effect.flatMap(SocketServer.SocketServer, ({ address }) =>
  print([], readyLine(address, { port: "tcp", path: "unix" }))
)

/** Runs until a signal ends it. */
export const run = Effect.fnUntraced(function* (
  typed: Typed
): Effect.fn.Return<never, Address.UsageError | ListenError | SocketServer.SocketServerError> {
  const [listen, url] = typed.addresses
  if (listen === undefined || url === undefined) {
    return yield* usage("tunnel expects where to listen and where to connect to: tunnel 6379 wss://redis.example")
  }
  const where = yield* flags.withMode(yield* Address.parseListen(listen, typed.preferIpv6), typed.unixListenMode)
  const wrong = (message: string) => usage(`cannot use the URL: ${message}`)
  const address = yield* Effect.mapError(Effect.fromResult(ClientAddress.parse(url)), wrong)
  if (address.authorization !== undefined && isGiven(typed.userEnv)) {
    return yield* usage("--user-env has what the URL says before its @: give one of them")
  }
  if (address.authorization !== undefined) {
    yield* Effect.logWarning(
      "A password in the URL can be read by every user of this machine; --user-env takes it from the environment"
    )
  }
  const asking = { subprotocols: typed.subprotocol, headers: yield* headers(typed) }
  // what every handshake would be refused for is said now
  const request = headersOf({
    address,
    handshake: () => ({}),
    subprotocols: asking.subprotocols,
    given: [asking.headers]
  })
  yield* Effect.mapError(Effect.fromResult(request), (message) =>
    usage(message.replace(/^(header|subprotocol)s:/, "--$1:"))
  )
  const { maxConnections, ...given } = yield* flags.parseLimits(typed, limits)
  const client = {
    ...(yield* Way.dialerOptions(typed)),
    ...given,
    tls: yield* tlsOptions(typed, address.isSecure),
    ...(yield* Compression.options(typed))
  }
  return yield* Effect.scoped(
    Effect.andThen(
      HangUp.take,
      Layer.launch(
        Layer.effectDiscard(printReady).pipe(
          Layer.provideMerge(Tunnel.layer({ ...asking, url, messages: typed.text ? "text" : "binary" })),
          // it was found to be in order above
          Layer.orDie,
          Layer.provide(NodeWebSocketClient.layer(client)),
          Layer.provideMerge(NodeTcpListener.layer({ ...where, maxConnections }))
        )
      )
    )
  )
})
