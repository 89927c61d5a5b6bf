/** Requests as a route sees them, without a server. */
import * as Effect from "effect/Effect"
import { Refusal } from "../../src/protocol/OpeningHandshake.ts"
import * as Router from "../../src/proxy/Router.ts"
import { Target } from "../../src/proxy/Target.ts"
import * as Identity from "../../src/server/Identity.ts"
import type { OpenRequest } from "../../src/server/OpenRequest.ts"
import { accepted, request } from "../protocol/requests.ts"

export interface Asked {
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** The name that TLS was asked for; none is without TLS. */
  readonly serverName?: string | undefined
}

/** A request for a path, with its query. */
export const asking = (target: string, { headers = {}, serverName }: Asked = {}): OpenRequest => ({
  request: request(headers, { target }),
  remoteAddress: "192.0.2.1",
  // a route looks at nothing else of the session
  peer: serverName === undefined ? undefined : ({ tls: { serverName } } as OpenRequest["peer"]),
  identity: Identity.anonymous,
  // a route makes what it can of any Host, whether or not a server would take it
  acceptance: accepted({ ...headers, host: "localhost" }),
  accept: Effect.never,
  acceptWith: () => Effect.never,
  annotate: () => {}
})

/** Where a route sends a request, as text, or the status that it refuses it with. */
export const led = <E, R>(route: Router.Route<E, R>, target: string, asked?: Asked) =>
  route(asking(target, asked)).pipe(
    Effect.map((destination): ReadonlyArray<string> | number => Router.targets(destination).map(String)),
    Effect.catch((error) => (error instanceof Refusal ? Effect.succeed(error.status) : Effect.fail(error)))
  )

/** A target of this name. */
export const at = (host: string): Target => new Target({ host, port: 1 })
