import { assert, describe, it } from "@effect/vitest"
import { Cause, Config, ConfigProvider, Context, Effect, Exit, Layer } from "effect"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import { WebSocketServer } from "../../src/server/WebSocketServer.ts"
import { drain, portOf } from "./serving.ts"
import { upgraded } from "./wire.ts"

describe("options from Config", () => {
  const options = { port: Config.Int("PORT"), maxConnections: Config.Int("MOST") }

  it.live("make a server, and what is missing or wrong is a ConfigError", () =>
    Effect.gen(function* () {
      const build = (env: Record<string, string>) =>
        Layer.build(NodeWebSocketServer.layerConfig(options)).pipe(
          Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
        )
      const context = yield* build({ PORT: "0", MOST: "1" })
      const server = Context.get(context, WebSocketServer)
      yield* Effect.forkScoped(server.run(drain))
      yield* Effect.yieldNow
      yield* upgraded(portOf(server))
      for (const env of [{}, { PORT: "0" }, { PORT: "zero", MOST: "1" }]) {
        const error = yield* Effect.flip(build(env as Record<string, string>))
        assert.strictEqual(error._tag, "ConfigError")
      }
    })
  )
})

describe("options that cannot be", () => {
  // as a program without types has them
  const wrong = [
    [{ maxConnections: -1 }, "maxConnections: expected a number from 0 on; got -1"],
    [{ maxConnectionsPerAddress: Number.NaN }, "maxConnectionsPerAddress: expected a number from 0 on; got NaN"],
    [{ maxHandshakeRatePerAddress: 0 }, "maxHandshakeRatePerAddress: expected a number above 0; got 0"],
    [{ maxHandshakeBurstPerAddress: -3 }, "maxHandshakeBurstPerAddress: expected a number from 0 on; got -3"],
    [{ maxAddresses: "many" }, 'maxAddresses: expected a number from 0 on; got "many"'],
    [{ accessTimeout: "soon" }, "accessTimeout: expected a duration that is not negative"],
    [{ subprotocols: ["mqtt", "a b"] }, 'subprotocols: expected names without blanks or commas; got "a b"'],
    [{ origin: "https://app.example" }, 'origin: expected "same-origin", "any" or a list of origins; got "https:'],
    [
      { pingInterval: "abc" },
      'pingInterval: expected a duration above 0, such as "30 seconds" or "Infinity"; got "abc"'
    ]
  ] as ReadonlyArray<readonly [NodeWebSocketServer.Options, string]>

  it.live.each(wrong)("are a defect that says what is wrong: %j", ([options, message]) =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Layer.build(NodeWebSocketServer.layer({ port: 0, ...options })))
      const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.include(String(defect), message)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    })
  )
})
