/**
 * Who a client is, as far as it was proven. An access policy finds it out, and the request has it from then on. It is never
 * read from a header that the client could have written as it liked.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"

/**
 * One thing that was proven about a client.
 *
 * @category models
 * @since 0.1.0
 */
export interface Proof {
  /** How: `basic`, `bearer`, `jwt`, `clientCertificate`, or the name that an application gave a policy of its own. */
  readonly method: string
  /** The name of who it is: the user, the subject of the token or the certificate's common name, if there is one. */
  readonly subject: string | undefined
  /** What else is known, such as the claims of a token. */
  readonly claims: Readonly<Record<string, unknown>>
}

/**
 * Who a client is, by all that was proven.
 *
 * @category models
 * @since 0.1.0
 */
export interface Identity {
  /** The first subject that was proven; `undefined` for a client that had nothing to prove. */
  readonly subject: string | undefined
  /** In the order in which they were looked at. */
  readonly proofs: ReadonlyArray<Proof>
}

/**
 * A client of which nothing is known.
 *
 * @category constructors
 * @since 0.1.0
 */
export const anonymous: Identity = Object.freeze({ subject: undefined, proofs: Object.freeze([]) })

/**
 * The identity of these proofs; {@link anonymous} without any.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (...proofs: ReadonlyArray<Proof>): Identity =>
  proofs.length === 0 ? anonymous : { subject: proofs.find(({ subject }) => subject !== undefined)?.subject, proofs }

/**
 * What two policies found out about the same client.
 *
 * @category combining
 * @since 0.1.0
 */
export const merge = (one: Identity, other: Identity): Identity =>
  other === anonymous ? one : one === anonymous ? other : make(...one.proofs, ...other.proofs)

/**
 * The proof of one kind, if there is one.
 *
 * @category getters
 * @since 0.1.0
 */
export const provenBy = (identity: Identity, method: string): Proof | undefined =>
  identity.proofs.find((proof) => proof.method === method)

/**
 * Who sends the HTTP request that is being answered, where `NodeHttpAccess` puts an access policy before it.
 *
 * In a handler of a WebSocket server it is {@link anonymous}, whatever was proven: providing it there would cost memory for every
 * connection. Such a handler finds the identity in `OpenRequest.identity`, with `WebSocketServer.layerRequests` or `runRequests`.
 *
 * @category references
 * @since 0.1.0
 */
export const Current = Context.Reference<Identity>("effect-websocket/server/Identity/Current", {
  defaultValue: () => anonymous
})
