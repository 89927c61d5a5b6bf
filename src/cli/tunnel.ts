/**
 * `effect-websocket tunnel LISTEN URL`: the other end of a proxy, a port of this machine for programs that speak no WebSocket. Its
 * flags; what it does is loaded when it is run (`tunnelling.ts`).
 */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Compression from "./compression.ts"
import * as flags from "./flags.ts"
import { given, optional, repeated } from "./typed.ts"
import * as Way from "./way.ts"

/** The limits of its connections. */
export const limits = [
  "maxConnections",
  "handshakeTimeout",
  "pingInterval",
  "pongTimeout",
  "idleTimeout",
  "maxLifetime",
  "closeTimeout"
] as const satisfies ReadonlyArray<flags.Limit>

/** What was typed. */
export interface Typed
  extends Way.Flags, Compression.CompressionFlags, Readonly<Record<(typeof limits)[number], Option.Option<string>>> {
  readonly addresses: ReadonlyArray<string>
  readonly authorizationEnv: Option.Option<string>
  readonly userEnv: Option.Option<string>
  readonly header: ReadonlyArray<string>
  readonly subprotocol: ReadonlyArray<string>
  readonly text: boolean
  readonly serverCa: Option.Option<string>
  readonly serverName: Option.Option<string>
  readonly serverInsecure: boolean
  readonly clientCert: Option.Option<string>
  readonly clientKey: Option.Option<string>
  readonly clientCertPassword: Option.Option<string>
  readonly preferIpv6: boolean
  readonly unixListenMode: Option.Option<string>
}

export const tunnel = Command.make(
  "tunnel",
  {
    addresses: flags.addresses(
      "LISTEN URL",
      "LISTEN is [host:]port (port 0 picks one), unix:PATH or fd:N, URL is ws://host:port/path, wss://host/path or ws+unix:PATH:/path",
      2,
      0
    ),
    authorizationEnv: optional(
      "authorization-env",
      "NAME",
      'The environment variable that has the Authorization header, such as "Bearer TOKEN"'
    ),
    userEnv: optional(
      "user-env",
      "NAME",
      "The environment variable that has user:password, for servers that ask for them (Basic)"
    ),
    header: repeated(
      "header",
      "LINE",
      'Send this header with the handshake: "Origin: https://app.example"; repeatable'
    ),
    subprotocol: repeated("subprotocol", "NAME", "Offer this subprotocol; repeat it for more, the preferred first"),
    ...Compression.compression("Offer permessage-deflate"),
    text: given("text", "Send text messages to the server; the program must speak UTF-8"),
    serverCa: optional("server-ca", "FILE", "Trust these authorities alone for the server's certificate (PEM)"),
    serverName: optional("server-name", "NAME", "The name in the server's certificate, and in SNI (the URL's host)"),
    serverInsecure: given(
      "server-insecure",
      "Accept any certificate of the server; each connection is logged as insecure"
    ),
    clientCert: optional("client-cert", "FILE", "Present this certificate to the server: PEM with its key, or PFX"),
    clientKey: optional("client-key", "FILE", "The private key of that certificate, if it is in a file of its own"),
    clientCertPassword: optional(
      "client-cert-password-env",
      "NAME",
      "The environment variable that has the password of that certificate or key"
    ),
    ...Way.to("server"),
    preferIpv6: flags.server.preferIpv6,
    unixListenMode: flags.server.unixListenMode,
    maxConnections: flags.limitFlag("maxConnections"),
    handshakeTimeout: flags.limitFlag(
      "handshakeTimeout",
      "How long the server may take to answer a handshake (10 seconds)"
    ),
    pingInterval: flags.limitFlag("pingInterval", "Ping the server after this much silence (30 seconds)"),
    pongTimeout: flags.limitFlag("pongTimeout", "Give up a server still silent after a ping (20 seconds)"),
    idleTimeout: flags.limitFlag("idleTimeout"),
    maxLifetime: flags.limitFlag("maxLifetime"),
    closeTimeout: flags.limitFlag("closeTimeout")
  },
  (typed) =>
    Effect.flatMap(
      Effect.promise(() => import("./tunnelling.ts")),
      ({ run }) => run(typed)
    )
).pipe(
  Command.withDescription(
    `A TCP port of this machine that leads to a WebSocket server, each connection through a WebSocket of its own: the other end of proxy. ${flags.durations}`
  ),
  Command.withShortDescription("Lead a TCP port of this machine to a WebSocket server: the other end of proxy")
)
