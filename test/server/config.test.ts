import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Context, Effect, Layer } from "effect"
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
