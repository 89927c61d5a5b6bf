/**
 * Applies an access policy to the other HTTP requests on the port of the WebSockets, too: pages, files, whatever an `effect/http`
 * application answers. The policy sees the head of the request; in the application, `Identity.Current` is the client that it
 * admitted.
 *
 * **Example** (A password for the pages and the WebSockets)
 *
 * ```ts
 * HttpServer.serve(pages).pipe(
 *   Layer.provide(NodeHttpAccess.layer({ access })),
 *   Layer.provideMerge(NodeWebSocketServer.layerHttp({ port: 8080, access }))
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Refusal } from "../protocol/OpeningHandshake.ts"
import type * as AccessPolicy from "../server/AccessPolicy.ts"
import * as Identity from "../server/Identity.ts"
import * as Judge from "../server/Judge.ts"
import { incomingOf } from "./internal/incoming.ts"
import { peerOf } from "./internal/peer.ts"

/**
 * The policy, and how long it may take.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Judge.Options {
  readonly access: AccessPolicy.Policy
}

/**
 * What a policy sees of a request. `undefined` if the request does not come from the listener.
 *
 * @category constructors
 * @since 0.1.0
 */
export const client = (request: HttpServerRequest.HttpServerRequest): AccessPolicy.Client | undefined => {
  const incoming = incomingOf(NodeHttpServerRequest.toIncomingMessage(request))
  return (
    incoming && {
      request: incoming.request(),
      // whoever the listener believes about it
      remoteAddress: Option.getOrUndefined(request.remoteAddress),
      peer: peerOf(incoming.stream)
    }
  )
}

const answer = ({ headers, reason, status }: Refusal): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(`${reason}\n`, {
    status,
    // RFC 9110 section 11.6.1: several challenges may share a line
    headers: Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, typeof value === "string" ? value : value.join(", ")])
    )
  })

/**
 * An HTTP server whose applications answer only those that the policy lets in.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (options: Options) {
  const server = yield* HttpServer.HttpServer
  const judge = yield* Judge.make(options)

  const guard = <E, R>(app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
    HttpServerRequest.HttpServerRequest.use((request) => {
      const who = client(request)
      return who === undefined
        ? Effect.die(new Error("an access policy needs a request of NodeWebSocketServer.layerHttp"))
        : Effect.matchEffect(judge.judge(options.access, who), {
            onFailure: (refusal) => Effect.succeed(answer(refusal)),
            onSuccess: (identity) => Effect.provideService(app, Identity.Current, identity)
          })
    })

  return HttpServer.make({
    address: server.address,
    serve: (app, middleware) =>
      middleware === undefined ? server.serve(guard(app)) : server.serve(guard(app), middleware)
  })
})

/**
 * Goes between the applications and the server's layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<HttpServer.HttpServer, never, HttpServer.HttpServer> =>
  Layer.effect(HttpServer.HttpServer)(make(options))
