/**
 * A worker's end: it serves the connections that the first process hands it, and does what that says. It ends in order when it is
 * told to, and when the first process is gone, whatever became of it: the channel ends with it.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as NetAddress from "effect/net/NetAddress"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import type { Accepted } from "../../node/NodeUpgradeListener.ts"
import type { Task, ToFirst, ToWorker } from "./channel.ts"

export interface Worker {
  readonly task: Task
  readonly accepted: Accepted
  readonly say: (message: ToFirst) => Effect.Effect<void>
  /** Waits until it is to end. */
  readonly end: Effect.Effect<void>
}

const addressOf = ({ address }: Task): NetAddress.SocketAddress =>
  "path" in address
    ? NetAddress.unixPathAddress(address.path)
    : NetAddress.inetAddressFromIpStringUnsafe(address.ip, address.port)

/** Begins to listen to the first process. */
export const make = Effect.fnUntraced(function* (task: Task): Effect.fn.Return<Worker, never, Scope.Scope> {
  const over = Deferred.makeUnsafe<void>()
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  let take: ((socket: Net.Socket) => void) | undefined
  let [came, left] = [0, 0]
  /** One has come, and it is still to be said that it was sent. */
  let hasCome = false

  /** Gone is gone: there is nobody to tell it to. */
  const say = (message: ToFirst): Effect.Effect<void> =>
    Effect.callback<void>((resume) => {
      if (!process.connected) return resume(Effect.void)
      process.send!(message, undefined, undefined, () => resume(Effect.void))
    })

  /** Told together, since connections tend to come and go together. */
  const tellMoved = () => {
    const message: ToFirst = { kind: "moved", came, left }
    came = left = 0
    runFork(say(message))
  }
  const count = (one: "came" | "left") => {
    if (came + left === 0) setImmediate(tellMoved)
    if (one === "came") came++
    else left++
  }
  const countLeft = () => count("left")
  const report = Effect.flatMap(Metric.snapshot, (series) => say({ kind: "metrics", series }))

  const onMessage = (message: unknown, socket: unknown) => {
    // the first process is this very program
    switch ((message as ToWorker).kind) {
      case "connection":
        hasCome = true
        count("came")
        // its client may have been faster to go
        if (!(socket instanceof Net.Socket)) return countLeft()
        socket.on("close", countLeft)
        return take === undefined ? void socket.destroy() : take(socket)
      case "sent":
        if (!hasCome) {
          count("came")
          countLeft()
        }
        hasCome = false
        return
      case "reload":
        return void process.emit("SIGHUP")
      case "metrics":
        return void runFork(report)
      case "end":
        return void Deferred.doneUnsafe(over, Effect.void)
    }
  }
  const onDisconnect = () => void Deferred.doneUnsafe(over, Effect.void)
  yield* Effect.acquireRelease(
    Effect.sync(() => process.on("message", onMessage).on("disconnect", onDisconnect)),
    () =>
      // its last counts are the ones that stay
      Effect.andThen(
        task.reportEvery === undefined ? Effect.void : report,
        Effect.sync(() => {
          process.off("message", onMessage).off("disconnect", onDisconnect)
          if (process.connected) process.disconnect?.()
        })
      )
  )
  if (task.reportEvery !== undefined) {
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(task.reportEvery), report)))
  }

  return {
    task,
    accepted: {
      address: addressOf(task),
      connections: (taker) => {
        take = taker
        return () => {
          if (take === taker) take = undefined
        }
      }
    },
    say,
    end: Deferred.await(over)
  }
})
