/**
 * The {@link WebSocketClient} on Node: one layer that connects over TCP, TLS and unix sockets, through firewalls if it is told to, and
 * speaks permessage-deflate if asked to.
 *
 * @since 0.1.0
 */
import * as Digest from "effect/crypto/Digest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { hash } from "node:crypto"
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
 * A digest of a few bytes at once: Web Crypto takes it in another thread, and the wait for that is a seventh of what a handshake costs.
 * `NodeCrypto.layerDigest` is the same, and has all of effect's cryptography loaded for it, which takes 12 ms.
 */
const digest = Layer.succeed(Digest.Digest)({
  digest: ({ name }, data) => Effect.sync(() => hash(name, data, "buffer")),
  digestHex: ({ name }, data) => Effect.sync(() => hash(name, data, "hex"))
})

/**
 * The client, with its dialler and its compression.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<WebSocketClient.WebSocketClient> =>
  WebSocketClient.layer(options).pipe(Layer.provide([NodeUpgradeDialer.layer(options), NodeZlib.layer, digest]))
