/**
 * The {@link WebSocketClient} on Node: one layer that connects over TCP, TLS and unix sockets, through firewalls if it is told to, and
 * speaks permessage-deflate if asked to.
 *
 * @since 0.1.0
 */
import * as Layer from "effect/Layer"
import * as WebSocketClient from "../client/WebSocketClient.ts"
import * as NodeUpgradeDialer from "./NodeUpgradeDialer.ts"
import * as NodeZlib from "./NodeZlib.ts"

/**
 * How to connect, and what to ask for. Everything has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends NodeUpgradeDialer.Options, WebSocketClient.Options {}

/**
 * The client, with its dialler and its compression.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<WebSocketClient.WebSocketClient> =>
  WebSocketClient.layer(options).pipe(Layer.provide([NodeUpgradeDialer.layer(options), NodeZlib.layer]))
