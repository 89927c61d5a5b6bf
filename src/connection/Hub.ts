/**
 * Who listens to what: connections subscribe to topics, and what is published to a topic goes to all of its subscribers, as
 * `Broadcast` does it. A chat of one room is a hub with one topic.
 *
 * A subscription belongs to a scope, usually the handler's, and a topic is there as long as it has subscribers: a hub holds
 * nothing that does not belong to an open connection.
 *
 * **Example** (Telling all others what one says)
 *
 * ```ts
 * import { Hub, WebSocketServer } from "effect-websocket"
 * import { Effect, Layer, Stream } from "effect"
 *
 * const Chat = Layer.unwrap(
 *   Effect.map(Hub.make(), (hub) =>
 *     WebSocketServer.layerHandler(
 *       Effect.fnUntraced(function* (socket) {
 *         yield* hub.subscribe("room", socket)
 *         yield* Stream.runForEach(socket.messages, (message) => hub.publish("room", message, { except: socket }))
 *       })
 *     )
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Message } from "../protocol/Message.ts"
import * as Broadcast from "./Broadcast.ts"
import type { PreparedMessage } from "./PreparedMessage.ts"
import * as Telemetry from "./Telemetry.ts"
import type { WebSocket } from "./WebSocket.ts"
import { invalidUsage, type WebSocketError } from "./WebSocketError.ts"

/**
 * How a hub treats slow connections: see `Broadcast.Options`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Pick<Broadcast.Options, "maxUnsent" | "slow"> {
  /** The most subscriptions of one connection at a time: more fail with `InvalidUsage`. Default: 1,024. */
  readonly maxSubscriptions?: number | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Hub<Topic> {
  /** Subscribes until the scope is left. Twice to one topic is once, until both scopes are left. */
  subscribe(topic: Topic, webSocket: WebSocket): Effect.Effect<void, WebSocketError, Scope.Scope>
  /** Sends a message to the subscribers of a topic. It never fails, and waits for none unless slow ones are waited for. */
  publish(
    topic: Topic,
    message: Message | PreparedMessage,
    options?: Pick<Broadcast.Options, "except">
  ): Effect.Effect<Broadcast.Report>
  /** How many connections have subscribed to a topic. */
  subscribers(topic: Topic): Effect.Effect<number>
  /** The topics that have subscribers. */
  readonly topics: Effect.Effect<ReadonlyArray<Topic>>
}

const nobody: ReadonlyMap<WebSocket, number> = new Map()

/**
 * Makes a hub. Topics are compared as the keys of a `Map`: strings, numbers, or objects by identity.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Topic = string>(options: Options = {}): Effect.Effect<Hub<Topic>> =>
  Effect.sync(() => {
    const { maxSubscriptions = 1024 } = options
    /** With each subscriber, how often it has subscribed. */
    const topics = new Map<Topic, Map<WebSocket, number>>()
    const held = new WeakMap<WebSocket, number>()

    const count = (topic: Topic, webSocket: WebSocket, by: 1 | -1): void => {
      const subscribers = topics.get(topic) ?? new Map<WebSocket, number>()
      const times = (subscribers.get(webSocket) ?? 0) + by
      if (times === 0) subscribers.delete(webSocket)
      else subscribers.set(webSocket, times)
      if (subscribers.size === 0) topics.delete(topic)
      else topics.set(topic, subscribers)
      held.set(webSocket, (held.get(webSocket) ?? 0) + by)
    }

    return {
      subscribe: (topic, webSocket) =>
        Effect.acquireRelease(
          Effect.suspend(() => {
            if ((held.get(webSocket) ?? 0) >= maxSubscriptions) {
              return Effect.andThen(
                Telemetry.limitHit("maxSubscriptions"),
                Effect.fail(invalidUsage(`a connection may have at most ${maxSubscriptions} subscriptions`))
              )
            }
            count(topic, webSocket, 1)
            return Effect.void
          }),
          () => Effect.sync(() => count(topic, webSocket, -1))
        ),
      publish: (topic, message, { except } = {}) =>
        Effect.suspend(() =>
          Broadcast.send((topics.get(topic) ?? nobody).keys(), message, {
            maxUnsent: options.maxUnsent,
            slow: options.slow,
            except
          })
        ),
      subscribers: (topic) => Effect.sync(() => (topics.get(topic) ?? nobody).size),
      topics: Effect.sync(() => [...topics.keys()])
    }
  })
