/**
 * A proxy whose target depends on who the client is, as its access policy found out.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import { Refusal } from "../../src/protocol/OpeningHandshake.ts"
import * as Target from "../../src/proxy/Target.ts"
import * as WebSocketProxy from "../../src/proxy/WebSocketProxy.ts"
import * as AccessPolicy from "../../src/server/AccessPolicy.ts"
import { WebSocketServer } from "../../src/server/WebSocketServer.ts"
import { portOf } from "../server/serving.ts"
import { ask, upgradeRequest } from "../server/wire.ts"
import * as RawTarget from "./rawTarget.ts"

const access = AccessPolicy.bearer({
  verify: (token) =>
    Effect.succeed({ subject: Redacted.value(token), claims: { room: `room of ${Redacted.value(token)}` } })
})

describe("a route", () => {
  it.live("knows who the client is, and what was proven of it", () =>
    Effect.gen(function* () {
      const anns = yield* RawTarget.listen()
      const context = yield* Layer.build(
        WebSocketProxy.layer({
          target: ({ identity }) =>
            identity.subject === "ann" && identity.proofs[0]?.claims["room"] === "room of ann"
              ? Effect.fromResult(Target.parse(`${anns.target}`)).pipe(Effect.orDie)
              : Effect.fail(new Refusal({ status: 404, reason: "There is no service for you." }))
        }).pipe(Layer.provide(NodeDialer.layer()), Layer.provideMerge(NodeWebSocketServer.layer({ port: 0, access })))
      )
      const port = portOf(yield* Effect.provide(WebSocketServer, context))
      const status = (token: string) =>
        Effect.map(ask(port, upgradeRequest({ Authorization: `Bearer ${token}` })), (_) => _.status)
      assert.deepStrictEqual([yield* status("ann"), yield* status("bob")], [101, 404])
      assert.strictEqual((yield* ask(port, upgradeRequest({ "X-User": "ann" }))).status, 401)
      assert.strictEqual(anns.connections.length, 1)
    })
  )
})
