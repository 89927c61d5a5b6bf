import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Context, Effect, Layer } from "effect"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import { WebSocketServer } from "../../src/server/WebSocketServer.ts"
import { drain, portOf, serving } from "./serving.ts"
import { connect, upgraded } from "./wire.ts"

describe("the defaults of a server on Node", () => {
  it.live(
    "give a client 10 seconds for its handshake",
    () =>
      Effect.gen(function* () {
        const { port } = yield* serving(drain)
        const begin = performance.now()
        const wire = yield* connect(port)
        assert.strictEqual((yield* wire.response).status, 408)
        const millis = performance.now() - begin
        assert.isTrue(millis >= 9_900 && millis < 12_000, `${millis}`)
      }),
    15_000
  )
})

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
