/** What the layers of a server take, give and need. */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { describe, expect, test } from "tstyche"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import type { OpenRequest, Refusal } from "../../src/server/OpenRequest.ts"
import type { ListenError } from "../../src/server/UpgradeListener.ts"
import * as WebSocketServer from "../../src/server/WebSocketServer.ts"
import type { Identities } from "../../src/tls/Identities.ts"

declare const handler: (open: OpenRequest) => Effect.Effect<void, Refusal | "gone", "Rooms" | Scope.Scope>

describe("the layers on Node", () => {
  test("need no options", () => {
    expect(NodeWebSocketServer.layer()).type.toBe<Layer.Layer<WebSocketServer.WebSocketServer, ListenError>>()
    expect(NodeWebSocketServer.layerTls()).type.toBe<
      Layer.Layer<WebSocketServer.WebSocketServer, ListenError, Identities>
    >()
    expect(NodeWebSocketServer.layerHttp).type.toBeCallableWith()
    expect(NodeWebSocketServer.layerTest).type.toBeCallableWith()
    expect(NodeWebSocketServer.layer).type.not.toBeCallableWith({ port: "8080" })
  })
})

describe("layerRequests", () => {
  test("needs the server and what its handler needs, but no scope, and does not fail", () => {
    expect(WebSocketServer.layerRequests(handler)).type.toBe<
      Layer.Layer<never, never, WebSocketServer.WebSocketServer | "Rooms">
    >()
    expect(WebSocketServer.layerRequests((open) => Effect.asVoid(open.accept))).type.toBe<
      Layer.Layer<never, never, WebSocketServer.WebSocketServer>
    >()
  })
})
