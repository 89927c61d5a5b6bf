/**
 * Options that cannot be, as a program without types has them, or one that computes them. Each is a defect of what it was given to,
 * and says which option it is, what was expected and what came.
 */
import { NodeHttpClient, NodeHttpPlatform, NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Option, type Scope } from "effect"
import { Dns } from "effect/net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Broadcast from "../src/connection/Broadcast.ts"
import * as Hub from "../src/connection/Hub.ts"
import * as NodeDialer from "../src/node/NodeDialer.ts"
import * as NodeHtpasswd from "../src/node/NodeHtpasswd.ts"
import * as NodeRecorder from "../src/node/NodeRecorder.ts"
import * as NodeRedisTokenSource from "../src/node/NodeRedisTokenSource.ts"
import * as NodeRevocation from "../src/node/NodeRevocation.ts"
import * as NodeStaticFiles from "../src/node/NodeStaticFiles.ts"
import * as NodeTcpListener from "../src/node/NodeTcpListener.ts"
import * as NodeTokenSource from "../src/node/NodeTokenSource.ts"
import * as NodeWebSocketClient from "../src/node/NodeWebSocketClient.ts"
import * as NodeWebSocketServer from "../src/node/NodeWebSocketServer.ts"
import { Dialer } from "../src/proxy/Dialer.ts"
import * as HttpTokenSource from "../src/proxy/HttpTokenSource.ts"
import * as Router from "../src/proxy/Router.ts"
import * as TokenSource from "../src/proxy/TokenSource.ts"
import * as Target from "../src/proxy/Target.ts"
import * as AccessPolicy from "../src/server/AccessPolicy.ts"
import * as ClientNames from "../src/server/ClientNames.ts"
import * as Htpasswd from "../src/server/Htpasswd.ts"
import * as Jwt from "../src/server/Jwt.ts"
import * as JwtKeys from "../src/server/JwtKeys.ts"
import * as Identities from "../src/tls/Identities.ts"

type Making = Effect.Effect<unknown, unknown, Scope.Scope>

const nowhere = join(tmpdir(), "effect-websocket-there-is-no-such-file")
const target = new Target.Target({ host: "127.0.0.1", port: 1 })

/** What is made with an option, its name, and then what cannot be it, with what was expected. */
const makers: ReadonlyArray<
  readonly [what: string, make: (option: never) => Making, wrong: Readonly<Record<string, readonly [unknown, string]>>]
> = [
  [
    "a server",
    (option) => Layer.build(NodeWebSocketServer.layer(option)),
    {
      maxConnections: [-1, "a number from 0 on"],
      maxConnectionsPerAddress: [Number.NaN, "a number from 0 on"],
      maxHandshakeRatePerAddress: [0, "a number above 0"],
      maxHandshakeBurstPerAddress: [-3, "a number from 0 on"],
      maxAddresses: ["many", "a number from 0 on"],
      accessTimeout: ["soon", "a duration that is not negative"],
      subprotocols: [["mqtt", "a b"], "names without blanks or commas"],
      origin: ["https://app.example", '"same-origin", "any" or a list of origins'],
      pingInterval: ["abc", "a duration above 0"],
      handshakeTimeout: ["soon", "a duration that is not negative"],
      drainTimeout: [-1, "a duration that is not negative"],
      closeTimeout: [Number.NaN, "a duration that is not negative"],
      maxHeaders: [Number.NaN, "a whole number from 0 on"],
      maxPending: [0, "a whole number from 1 on"],
      "http2.maxStreams": [0, "a whole number from 1 to 2147483647"],
      "http2.idleTimeout": [-1, "a duration that is not negative"],
      maxHeaderSize: [0, "a whole number from 1 to"],
      highWaterMark: [0.5, "a whole number from 1 to"],
      compression: [[], "a policy, true or false"],
      "unix.path": [5, "the path of a socket"],
      "proxyProtocol.maxHeaderSize": [Number.NaN, "a number from 0 on"],
      "keepAlive.time": [-1, "a duration that is not negative"],
      "keepAlive.interval": ["often", "a duration that is not negative"],
      "compression.level": [99, "a whole number from 1 to 9"],
      "compression.serverMaxWindowBits": [20, "a whole number from 9 to 15"],
      "compression.clientMaxWindowBits": [8, "a whole number from 9 to 15"],
      "compression.threshold": [Number.NaN, "a number from 0 on"]
    }
  ],
  [
    "a policy about pages",
    ({ origin }: { readonly origin: ReadonlyArray<string> }) => Effect.sync(() => AccessPolicy.origin(origin)),
    { origin: [["https://app.example", "app.example"], 'origins, such as "https://app.example"'] }
  ],
  [
    "a client",
    (option) => Layer.build(NodeWebSocketClient.layer(option)),
    {
      handshakeTimeout: [0, "a duration above 0"],
      dialTimeout: ["soon", "a duration above 0"],
      "compression.level": [0, "a whole number from 1 to 9"],
      closeTimeout: [-1, "a duration that is not negative"]
    }
  ],
  [
    "a dialer",
    (option) => Layer.build(NodeDialer.layer(option)),
    {
      dialTimeout: [0, "a duration above 0"],
      attemptDelay: ["soon", "a duration that is not negative"],
      retries: [2.5, "a whole number from 0 on"],
      retryDelay: [-5, "a duration that is not negative"]
    }
  ],
  [
    "a listener of TCP",
    (option) => NodeTcpListener.make(option),
    { maxConnections: [Number.NaN, "a number from 0 on"] }
  ],
  [
    "pages",
    (option: object) =>
      Effect.provide(NodeStaticFiles.make({ root: ".", ...option }), [NodeServices.layer, NodeHttpPlatform.layer]),
    { maxRequests: [-1, "a whole number from 0 on"], stallTimeout: [0, "a duration above 0"] }
  ],
  [
    "tokens of a file",
    (option: object) => NodeTokenSource.file({ path: nowhere, ...option }),
    {
      interval: ["often", "a duration that is not negative"],
      maxFiles: [1.5, "a whole number from 0 on"],
      maxSize: [Number.NaN, "a number from 0 on"]
    }
  ],
  [
    "tokens of Redis",
    (option) => NodeRedisTokenSource.make(option),
    { timeout: [0, "a duration above 0"], maxPending: [9, "a whole number from 10 on"] }
  ],
  [
    "tokens of a service",
    (option: object) =>
      Effect.provide(
        HttpTokenSource.make({ url: "http://127.0.0.1:1/{token}", ...option }),
        NodeHttpClient.layerUndici
      ),
    {
      timeout: [0, "a duration above 0"],
      cacheFor: ["long", "a duration that is not negative"],
      cacheCapacity: [-1, "a whole number from 0 on"],
      concurrency: [0, "a whole number from 1 on"],
      maxSize: [Number.NaN, "a number from 0 on"]
    }
  ],
  [
    "a route by tokens",
    (option) => Effect.sync(() => TokenSource.routeOf(TokenSource.fromMap(new Map()), option)),
    { maxLength: [Number.NaN, "a number from 0 on"] }
  ],
  [
    "a route to several targets",
    (option) => Effect.sync(() => Router.roundRobin([target, target], option)),
    { skipFor: ["long", "a duration that is not negative"] }
  ],
  [
    "a recorder",
    (option: object) =>
      Effect.provideService(NodeRecorder.make({ file: nowhere, ...option }), Dialer, NodeDialer.make()),
    { maxFileSize: [Number.NaN, "a number from 0 on"], maxSessions: [-1, "a number from 0 on"] }
  ],
  [
    "a hub",
    (option) => Hub.make(option),
    { maxSubscriptions: [Number.NaN, "a number from 0 on"], maxUnsent: [-1, "a number from 0 on"] }
  ],
  ["a broadcast", (option) => Broadcast.send([], "all", option), { maxUnsent: [Number.NaN, "a number from 0 on"] }],
  [
    "users of a file",
    (option: object) => NodeHtpasswd.make({ file: nowhere, ...option }),
    { interval: [0, "a duration above 0"] }
  ],
  [
    "users",
    (option) => Htpasswd.make(() => new Map(), option),
    {
      concurrency: [0, "a whole number from 1 on, or Infinity"],
      // it counts those that are checked, too: none would be
      maxWaiting: [0, "a whole number from 1 on, or Infinity"],
      maxWaitingPerAddress: [0, "a whole number from 1 on, or Infinity"],
      maxWrongPasswords: [Number.NaN, "a number from 0 on"],
      remember: ["long", "a duration that is not negative"]
    }
  ],
  [
    "the text of users",
    (option) => Effect.sync(() => Htpasswd.parse("", option)),
    { maxCost: [32, "a whole number from 4 to 31"] }
  ],
  [
    "signed tokens",
    (option: object) => Jwt.make({ keys: { find: () => Effect.die("") }, ...option } as never),
    { leeway: ["some", "a duration that is not negative"] }
  ],
  [
    "keys of tokens",
    (option) => JwtKeys.fromUrl("https://127.0.0.1:1/keys", option),
    {
      timeToLive: ["long", "a duration that is not negative"],
      staleTime: [-1, "a duration that is not negative"],
      cooldown: ["long", "a duration that is not negative"],
      fetchTimeout: [0, "a duration above 0"]
    }
  ],
  [
    "names of clients",
    (option) => Effect.provideService(ClientNames.make(option), Dns.Dns, {} as Dns.Dns["Service"]),
    {
      lookupTimeout: [0, "a duration above 0"],
      timeToLive: ["long", "a duration that is not negative"],
      failureTimeToLive: [-1, "a duration that is not negative"],
      cacheSize: [Number.NaN, "a number from 0 on"]
    }
  ],
  [
    "certificates",
    (option: object) => Identities.reloading({ sources: [], ...option } as never),
    { interval: [0, "a duration above 0"] }
  ],
  [
    "a check of revocation",
    (option) => NodeRevocation.make(option),
    {
      timeout: [0, "a duration above 0"],
      maxAge: ["long", "a duration that is not negative"],
      clockSkew: [-1, "a duration that is not negative"],
      maxAddresses: [-1, "a whole number from 0 on"],
      maxSize: [Number.NaN, "a number from 0 on"]
    }
  ]
]

/** An option within another is named with a point. */
const optionOf = (name: string, value: unknown): object =>
  name
    .split(".")
    .toReversed()
    .reduce<unknown>((inner, key) => ({ [key]: inner }), value) as object

describe("an option that cannot be", () => {
  for (const [what, make, wrong] of makers) {
    for (const [name, [value, expected]] of Object.entries(wrong)) {
      it.live(`is a defect of ${what} that names it: ${name}`, () =>
        Effect.gen(function* () {
          // each maker takes its own
          const exit = yield* Effect.exit(Effect.suspend(() => make(optionOf(name, value) as never)))
          assert.isTrue(Exit.isFailure(exit) && Option.isNone(Cause.findErrorOption(exit.cause)))
          const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
          assert.instanceOf(defect, RangeError)
          assert.match(String(defect), new RegExp(`^RangeError: ${name.replace(".", "\\.")}: expected ${expected}`))
          assert.match(String(defect), /; got \S/)
        })
      )
    }
  }

  it.live("is none: a limit that Infinity switches off", () =>
    Effect.gen(function* () {
      const limits = { maxConnections: Infinity, maxHeaders: Infinity, drainTimeout: "Infinity" } as const
      yield* Effect.scoped(Layer.build(NodeWebSocketServer.layer({ ...limits, handshakeTimeout: Infinity })))
      yield* Htpasswd.make(() => new Map(), { concurrency: Infinity, maxWaiting: Infinity, remember: "Infinity" })
      yield* Effect.provide(
        HttpTokenSource.make({ url: "http://127.0.0.1:1/{token}", cacheCapacity: Infinity, concurrency: Infinity }),
        NodeHttpClient.layerUndici
      )
    })
  )
})
