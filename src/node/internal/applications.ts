/**
 * The HTTP applications of a listener, of which the last one has the requests: as effect's `HttpServer` takes them, and as the listener
 * gives it requests of HTTP/1.1 and HTTP/2 alike.
 */
import * as Effect from "effect/Effect"
import type * as HttpServer from "effect/http/HttpServer"
import type * as NetAddress from "effect/net/NetAddress"
import * as Scope from "effect/Scope"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2"
import type { Duplex } from "node:stream"
import type { Refusal } from "../../protocol/OpeningHandshake.ts"
import type { Forwarding } from "./forwarding.ts"
import * as Identified from "./identified.ts"
import { Latest } from "./latest.ts"

type Request = IncomingMessage | Http2ServerRequest

export type Application = (request: Request, response: ServerResponse | Http2ServerResponse) => void

export class Applications {
  private readonly latest = new Latest<Application>()
  private readonly forwarding: Forwarding | undefined
  /** Whether somebody else than the connection may say where a client is. */
  private readonly isNamed: boolean

  constructor(forwarding: Forwarding | undefined, isNamed: boolean) {
    this.forwarding = forwarding
    this.isNamed = isNamed
  }

  /** Calls one of the two about a request whose head is well: at once, unless names have to be looked up. */
  take(
    request: Request,
    socket: Duplex,
    onTaken: (application: Application | undefined) => void,
    onRefused: (why: Refusal) => void
  ): void {
    if (this.forwarding === undefined) return onTaken(this.latest.current)
    this.forwarding(
      request,
      socket,
      (named) => {
        Identified.name(request, named)
        onTaken(this.latest.current)
      },
      onRefused
    )
  }

  /** As HttpServer.make has it, which would take all that is beside it. */
  http(address: NetAddress.SocketAddress): HttpServer.HttpServer["Service"] {
    const { isNamed, latest } = this
    return {
      address,
      serve: Effect.fnUntraced(function* (httpApp, middleware) {
        const serveScope = yield* Effect.scope
        const { identified, makeHandler } = yield* Effect.promise(() => import("./application.ts"))
        const app = isNamed ? identified(httpApp) : httpApp
        const handler = yield* makeHandler(app, { middleware, scope: Scope.forkUnsafe(serveScope) })
        const leave = latest.add(handler)
        yield* Effect.addFinalizer(() => Effect.sync(leave))
      })
    } satisfies Parameters<typeof HttpServer.make>[0] as HttpServer.HttpServer["Service"]
  }
}
