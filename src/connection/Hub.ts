/**
 * Topics: connections subscribe to them, and a message that is published to a topic goes to all of its subscribers, as
 * `Broadcast` sends it. A chat of one room is a hub with one topic.
 *
 * A subscription belongs to a scope, usually the handler's, and a topic exists as long as it has subscribers: a hub holds nothing
 * that does not belong to an open connection.
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
import { number } from "../protocol/internal/option.ts"
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
 * Connections by the topics that they have subscribed to. See the head of this module.
 *
 * @category models
 * @since 0.1.0
 */
export interface Hub<Topic> {
  /** Subscribes until the scope is left. A connection that subscribes twice gets each message once, until both scopes are left. */
  subscribe(topic: Topic, webSocket: WebSocket): Effect.Effect<void, WebSocketError, Scope.Scope>
  /** Sends a message to the subscribers of a topic. It never fails, and waits for no connection unless `slow` is `"wait"`. */
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

/**
 * Stands for a connection in the tables of topics, which keep what was in them until the next full collection (`internal/roster.ts`): so
 * it lets go of the connection with its last subscription.
 */
interface Subscriber {
  webSocket: WebSocket | undefined
  /** How many subscriptions it has. */
  subscriptions: number
}

const nobody: ReadonlyMap<Subscriber, number> = new Map()

function* webSocketsOf(subscribers: ReadonlyMap<Subscriber, number>): Generator<WebSocket> {
  for (const { webSocket } of subscribers.keys()) if (webSocket !== undefined) yield webSocket
}

/**
 * Makes a hub. Topics are compared as the keys of a `Map`: strings, numbers, or objects by identity.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Topic = string>(options: Options = {}): Effect.Effect<Hub<Topic>> =>
  Effect.sync(() => {
    const maxUnsent = number("maxUnsent", options.maxUnsent, Broadcast.defaultMaxUnsent)
    const maxSubscriptions = number("maxSubscriptions", options.maxSubscriptions, 1024)
    /** With each subscriber, how often it has subscribed. */
    const topics = new Map<Topic, Map<Subscriber, number>>()
    const present = new WeakMap<WebSocket, Subscriber>()

    const subscribe = (topic: Topic, webSocket: WebSocket, subscriber: Subscriber): void => {
      present.set(webSocket, subscriber)
      subscriber.subscriptions++
      const subscribers = topics.get(topic) ?? new Map<Subscriber, number>()
      topics.set(topic, subscribers)
      subscribers.set(subscriber, (subscribers.get(subscriber) ?? 0) + 1)
    }

    const unsubscribe = (topic: Topic, webSocket: WebSocket, subscriber: Subscriber): void => {
      // it has subscribed
      const subscribers = topics.get(topic)!
      const times = subscribers.get(subscriber)! - 1
      if (times === 0) subscribers.delete(subscriber)
      else subscribers.set(subscriber, times)
      if (subscribers.size === 0) topics.delete(topic)
      if (--subscriber.subscriptions > 0) return
      subscriber.webSocket = undefined
      present.delete(webSocket)
    }

    return {
      subscribe: (topic, webSocket) =>
        Effect.asVoid(
          Effect.acquireRelease(
            Effect.suspend(() => {
              const subscriber = present.get(webSocket) ?? { webSocket, subscriptions: 0 }
              if (subscriber.subscriptions >= maxSubscriptions) {
                return Effect.andThen(
                  Telemetry.limitHit("maxSubscriptions"),
                  Effect.fail(invalidUsage(`a connection may have at most ${maxSubscriptions} subscriptions`))
                )
              }
              subscribe(topic, webSocket, subscriber)
              return Effect.succeed(subscriber)
            }),
            (subscriber) => Effect.sync(() => unsubscribe(topic, webSocket, subscriber))
          )
        ),
      publish: (topic, message, { except } = {}) =>
        Effect.suspend(() =>
          Broadcast.send(webSocketsOf(topics.get(topic) ?? nobody), message, {
            maxUnsent,
            slow: options.slow,
            except
          })
        ),
      subscribers: (topic) => Effect.sync(() => (topics.get(topic) ?? nobody).size),
      topics: Effect.sync(() => [...topics.keys()])
    }
  })
