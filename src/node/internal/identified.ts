/**
 * Requests of an HTTP application with the client's address as those to upgrade have it, whoever has said it. `peerAddress` is still
 * the one that the connection is from.
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Option from "effect/Option"
import type { Socket } from "node:net"
import { remoteAddressOf } from "./peer.ts"
import type { Named } from "./upgrade.ts"

/** Whom proxies name as the client of a request, by its object. */
const names = new WeakMap<object, Named>()

export const name = (request: object, named: Named): void => void names.set(request, named)

const identify = (request: HttpServerRequest.HttpServerRequest): HttpServerRequest.HttpServerRequest => {
  const incoming = NodeHttpServerRequest.toIncomingMessage(request)
  // the listener speaks HTTP/1.1, whose requests have a socket
  const socket = incoming.socket as Socket
  const named = names.get(incoming)
  return request.modify({
    remoteAddress: Option.fromUndefinedOr(named === undefined ? remoteAddressOf(socket) : named.address),
    peerAddress: Option.fromUndefinedOr(socket.remoteAddress)
  })
}

/** The application, asked with such requests. */
export const identified = <A, E, R>(
  app: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R | HttpServerRequest.HttpServerRequest> =>
  Effect.updateService(app, HttpServerRequest.HttpServerRequest, identify)
