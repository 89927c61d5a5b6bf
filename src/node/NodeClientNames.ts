/**
 * {@link ClientNames} from `node:dns`: addresses from the system's resolver, its hosts file included, and names from the name
 * servers alone.
 *
 * @since 0.1.0
 */
import * as NodeDns from "@effect/platform-node/NodeDns"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Dns from "effect/net/Dns"
import * as ClientNames from "../server/ClientNames.ts"

/**
 * The look-ups, with each answer remembered for a minute by default.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: ClientNames.Options = {}): Layer.Layer<ClientNames.ClientNames> =>
  ClientNames.layer(options).pipe(
    // a query that nobody waits for any more is to end as well; only name servers that are wrong make this fail, and none is given
    Layer.provide(
      Layer.effect(Dns.Dns)(Effect.orDie(NodeDns.make({ timeout: options.lookupTimeout ?? "2 seconds", tries: 1 })))
    )
  )
