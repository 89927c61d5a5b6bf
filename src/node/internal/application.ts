/**
 * An HTTP application as `node:http` calls it. It takes effect's whole HTTP server, and so the listener loads this file when there
 * is an application to serve.
 *
 * Requests have the client's address as those to upgrade have it, whoever has said it. `peerAddress` is still the one that the
 * connection is from.
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Option from "effect/Option"
import { nameOf } from "./identified.ts"
import { incomingOf } from "./incoming.ts"
import { remoteAddressOf } from "./peer.ts"

export { makeHandler } from "@effect/platform-node/NodeHttpServer"

const identify = (request: HttpServerRequest.HttpServerRequest): HttpServerRequest.HttpServerRequest => {
  const message = NodeHttpServerRequest.toIncomingMessage(request)
  const incoming = incomingOf(message)
  if (incoming === undefined) return request
  const named = nameOf(message)
  return request.modify({
    remoteAddress: Option.fromUndefinedOr(named === undefined ? remoteAddressOf(incoming.stream) : named.address),
    peerAddress: Option.fromUndefinedOr(incoming.peerAddress)
  })
}

/** The application, asked with such requests. */
export const identified = <A, E, R>(
  app: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R | HttpServerRequest.HttpServerRequest> =>
  Effect.updateService(app, HttpServerRequest.HttpServerRequest, identify)
