/**
 * Clients to test, and what they hold.
 */
import { Context, Effect, Layer, type Scope } from "effect"
import { WebSocketClient } from "../../src/client/WebSocketClient.ts"
import * as NodeWebSocketClient from "../../src/node/NodeWebSocketClient.ts"

/** A client, which ends with the scope. */
export const make = (
  options: NodeWebSocketClient.Options = {}
): Effect.Effect<WebSocketClient["Service"], never, Scope.Scope> =>
  Effect.map(Layer.build(NodeWebSocketClient.layer(options)), Context.get(WebSocketClient))

/** How many finalizers a scope has: what it holds, and has not let go. */
export const heldBy = ({ state }: Scope.Scope): number =>
  // a single one is not in the map
  state._tag === "Open" ? (state.finalizers?.size ?? 1) : 0
