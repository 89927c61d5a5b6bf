/**
 * A server that tells OpenTelemetry all that it knows: a span for each connection, and one for each message; the metrics of connections;
 * and the access log, as logs.
 *
 *   OTLP=http://127.0.0.1:4318 npm run example examples/telemetry.ts
 *
 * A client that sends `traceparent` (W3C Trace Context) has the connection's span as a part of its own trace.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer, Option, Stream } from "effect"
import { FetchHttpClient, Headers, HttpTraceContext } from "effect/http"
import { Otlp } from "effect/observability"
import { AccessLog, WebSocketServer } from "effect-websocket"
import { NodeWebSocketServer } from "effect-websocket/node"

const Echo = WebSocketServer.layerHandler((socket, request) =>
  Stream.runForEach(socket.messages, (message) => Effect.withSpan(socket.send(message), "message")).pipe(
    Effect.withSpan("connection", {
      kind: "server",
      attributes: { "url.path": request.path },
      parent: Option.getOrUndefined(HttpTraceContext.fromHeaders(Headers.fromInput(request.headers)))
    })
  )
)

const Telemetry = Layer.unwrap(
  Effect.map(Config.URL("OTLP"), ({ href }) =>
    Otlp.layerJson({ baseUrl: href, resource: { serviceName: "echo" } }).pipe(Layer.provide(FetchHttpClient.layer))
  )
)

const Server = NodeWebSocketServer.layerConfig({ port: Config.Int("PORT").pipe(Config.withDefault(8080)) }).pipe(
  Layer.provide(AccessLog.layerLogger())
)

Layer.mergeAll(Echo, WebSocketServer.layerLogAddress).pipe(
  Layer.provide(Server),
  Layer.provide(Telemetry),
  Layer.launch,
  NodeRuntime.runMain
)
