/** What a client fails with and needs, and what its options are. */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import { describe, expect, test } from "tstyche"
import type * as UpgradeDialer from "../../src/client/UpgradeDialer.ts"
import * as WebSocketClient from "../../src/client/WebSocketClient.ts"
import type * as ClientError from "../../src/client/WebSocketClientError.ts"
import type { WebSocket } from "../../src/connection/WebSocket.ts"
import * as NodeUpgradeDialer from "../../src/node/NodeUpgradeDialer.ts"
import * as NodeWebSocketClient from "../../src/node/NodeWebSocketClient.ts"
import type { DialError } from "../../src/proxy/Dialer.ts"

declare const client: WebSocketClient.WebSocketClient["Service"]
declare const error: ClientError.WebSocketClientError

describe("connect", () => {
  test("needs the client and a scope, and fails with one error", () => {
    expect(WebSocketClient.connect("ws://h")).type.toBe<
      Effect.Effect<WebSocket, ClientError.WebSocketClientError, WebSocketClient.WebSocketClient | Scope.Scope>
    >()
    expect(client.connect(new URL("ws://h"), {})).type.toBe<
      Effect.Effect<WebSocket, ClientError.WebSocketClientError, Scope.Scope>
    >()
    expect(client.connections).type.toBe<Effect.Effect<number>>()
  })

  test("is asked for subprotocols, compression and headers, and for nothing else", () => {
    expect(WebSocketClient.connect).type.toBeCallableWith("ws://h", {
      subprotocols: ["a"],
      compression: { contextTakeover: true },
      headers: { a: "b", c: ["d"] }
    })
    expect(WebSocketClient.connect).type.toBeCallableWith("ws://h", {
      subprotocols: undefined,
      compression: false,
      headers: undefined
    })
    expect(WebSocketClient.connect).type.toBeCallableWith("ws://h", { compression: true })
    expect(WebSocketClient.connect).type.not.toBeCallableWith("ws://h", { compression: "on" })
    expect(WebSocketClient.connect).type.not.toBeCallableWith("ws://h", { headers: { a: 1 } })
    expect(WebSocketClient.connect).type.not.toBeCallableWith("ws://h", { subprotocols: "a" })
    expect(WebSocketClient.connect).type.not.toBeCallableWith("ws://h", { pingInterval: "1 second" })
    expect(WebSocketClient.connect).type.not.toBeCallableWith()
  })
})

describe("an error", () => {
  test("has one of five reasons", () => {
    expect(error.reason).type.toBe<
      ClientError.InvalidRequest | DialError | UpgradeDialer.NoAnswer | ClientError.Declined | ClientError.InvalidAnswer
    >()
    expect(error.reason._tag).type.toBe<"InvalidRequest" | "DialError" | "NoAnswer" | "Declined" | "InvalidAnswer">()
    expect(error.url).type.toBe<string>()
    expect(error.isTransient).type.toBe<boolean>()
  })

  test("is recovered from by its tag, and by each reason's", () => {
    const connecting = client.connect("ws://h")
    expect(Effect.catchTag(connecting, "WebSocketClientError", () => Effect.succeed(1))).type.toBe<
      Effect.Effect<WebSocket | number, never, Scope.Scope>
    >()
    const declined = Effect.catchReason(connecting, "WebSocketClientError", "Declined", (reason) => {
      expect(reason).type.toBe<ClientError.Declined>()
      expect(reason.headers["location"]).type.toBe<string | undefined>()
      return Effect.void
    })
    const silent = Effect.catchReason(connecting, "WebSocketClientError", "NoAnswer", ({ kind }) => {
      expect(kind).type.toBe<"Lost" | "Unreadable" | "TimedOut" | "TlsFailed">()
      return Effect.void
    })
    expect(declined).type.toBe<typeof silent>()
  })
})

describe("layers", () => {
  test("of the client need what dials, and that needs nothing", () => {
    expect(WebSocketClient.layer()).type.toBe<
      Layer.Layer<WebSocketClient.WebSocketClient, never, UpgradeDialer.UpgradeDialer>
    >()
    expect(NodeUpgradeDialer.layer()).type.toBe<Layer.Layer<UpgradeDialer.UpgradeDialer>>()
    expect(NodeWebSocketClient.layer()).type.toBe<Layer.Layer<WebSocketClient.WebSocketClient>>()
    expect(WebSocketClient.make()).type.toBe<
      Effect.Effect<WebSocketClient.WebSocketClient["Service"], never, UpgradeDialer.UpgradeDialer | Scope.Scope>
    >()
  })

  test("of a socket need the client, and cannot fail", () => {
    expect(WebSocketClient.layerSocket("ws://h", { subprotocols: ["a"] })).type.toBe<
      Layer.Layer<Socket.Socket, never, WebSocketClient.WebSocketClient>
    >()
  })

  test("of Node take how to connect, what to ask for and the limits of connections", () => {
    expect(NodeWebSocketClient.layer).type.toBeCallableWith({
      handshakeTimeout: "5 seconds",
      dialTimeout: 1000,
      tls: { ca: "", serverName: "h" },
      headers: { a: "b" },
      compression: {},
      subprotocols: ["a"],
      maxMessageSize: 1,
      pingInterval: "1 second"
    })
    // of what a proxy tells its targets there is nothing here
    expect(NodeWebSocketClient.layer).type.not.toBeCallableWith({ proxyProtocol: { version: 2 } })
    expect(NodeWebSocketClient.layer).type.not.toBeCallableWith({ tls: () => undefined })
    expect(WebSocketClient.layer).type.not.toBeCallableWith({ dialTimeout: 1000 })
  })
})

describe("an answer", () => {
  test("is one that switches, with the stream behind it, or declines, with its body", () => {
    const use = (answer: UpgradeDialer.Answer) => {
      if (answer.socket === undefined) {
        expect(answer).type.toBe<UpgradeDialer.Declined>()
        expect(answer.body).type.toBe<string>()
      } else {
        expect(answer).type.toBe<UpgradeDialer.Switched>()
        expect(answer.status).type.toBe<101>()
        expect(answer.socket).type.toBe<Socket.Socket>()
      }
    }
    expect(use).type.toBeCallableWith({ status: 403, headers: {}, body: "" })
  })
})
