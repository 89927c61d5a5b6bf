/**
 * The first process of several: it listens, hands each connection to a worker, and keeps the workers running. It reads nothing of
 * a connection, and nothing of it comes back here.
 *
 * It listens itself, for as long as it lives, so that a worker's death refuses nobody, port 0 is one port, and a unix socket or
 * `fd:N` is no other than for a process alone. Of the other ways, `reusePort` has the system spread connections by a
 * hash, unevenly, resets those that wait at a worker which dies, lets a second server onto a port by mistake, and knows no unix
 * sockets; `node:cluster` spreads by turns, whoever has how many, has each worker prepare a unix socket that is there already, and
 * gives the port up when the last worker dies. What it costs is one message for each connection, and none for its bytes.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Metric from "effect/Metric"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { fork, type ChildProcess } from "node:child_process"
import * as Net from "node:net"
import * as Listen from "../../node/internal/listen.ts"
import type * as NodeWebSocketServer from "../../node/NodeWebSocketServer.ts"
import type { ListenError } from "../../server/UpgradeListener.ts"
import { type Task, type ToFirst, type ToWorker, variable, WorkersError } from "./channel.ts"
import * as HangUp from "../hangUp.ts"
import { print } from "../ready.ts"
import * as Series from "../series.ts"
import { Spread, type Taker } from "./spread.ts"

/** A worker that takes longer than this to be ready hangs. */
const startTimeout = 60_000
/** One that lives shorter than this after it was ready has not worked. */
const soon = 5000
/** So many deaths in a row, each without having worked, are a failing worker; when all are failing, that is the end. */
const maxDeaths = 5
/** After the first of them it is started again in this time, after the others in twice as much each, up to the last. */
const firstDelay = 100
const lastDelay = 30_000
/** How long a worker may take to say what it counted; then its last word counts. */
const answerTimeout = 1000
/** How often it says so unasked, so that little is lost with it. */
const reportEvery = 1000

const living = Metric.gauge("websocket_workers", { description: "Processes that serve connections" })
const restarts = Metric.counter("websocket_worker_restarts_total", {
  description: "Workers that took the place of one that had died",
  incremental: true
})

/** What the workers are to do. */
export interface Plan {
  readonly workers: number
  /** The most connections of all of them. */
  readonly maxConnections: number
  readonly options: NodeWebSocketServer.Options
  readonly hasMetrics: boolean
}

type Announcement = Extract<ToFirst, { readonly kind: "ready" }>

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A worker as it is seen from here. */
class Child implements Taker<Net.Socket> {
  readonly process: ChildProcess
  readonly share: number
  readonly ready = Deferred.makeUnsafe<Announcement>()
  private readyAt: number | undefined = undefined
  /** It has ended, and all that it said has come. */
  readonly ended = Deferred.makeUnsafe<Ended>()
  series: Series.Series = []
  /** Connections that it does not have yet, in their order: Node sends the next when the last has come. */
  private readonly underway: Array<Net.Socket> = []
  private readonly spread: Spread<Net.Socket>
  private readonly asking = new Set<Deferred.Deferred<void>>()

  constructor(task: Task, spread: Spread<Net.Socket>) {
    this.share = task.maxConnections
    this.spread = spread
    // the same program with the same arguments, and options of Node's
    this.process = fork(process.argv[1]!, process.argv.slice(2), {
      env: { ...process.env, [variable]: JSON.stringify(task) },
      serialization: "advanced",
      stdio: ["ignore", "inherit", "inherit", "ipc"]
    })
    // the worker is this very program
    this.process.on("message", (message) => this.hear(message as ToFirst))
    this.process.on("disconnect", () => this.leave())
    this.process.on("error", () => this.end({ code: null, signal: null }))
    this.process.on("exit", (code, signal) => {
      // what it said may be still to be read
      if (this.process.connected) this.process.once("disconnect", () => this.end({ code, signal }))
      else this.end({ code, signal })
    })
  }

  /** It serves, and has done so for a while. */
  get works(): boolean {
    return this.readyAt !== undefined && performance.now() - this.readyAt > soon
  }

  take(socket: Net.Socket): void {
    const message: ToWorker = { kind: "connection" }
    this.underway.push(socket)
    // ours is kept until the worker says that it has its own, or that none came; or the channel ends before
    this.process.send(message, socket, { keepOpen: true }, () => {})
    this.say({ kind: "sent" })
  }

  say(message: ToWorker): void {
    if (this.process.connected) this.process.send(message, () => {})
  }

  /** Waits until it has said what it counted, as long as that may take. */
  readonly count: Effect.Effect<unknown> = Effect.suspend(() => {
    const answered = Deferred.makeUnsafe<void>()
    this.asking.add(answered)
    this.say({ kind: "metrics" })
    const answer = Effect.raceFirst(Deferred.await(answered), Deferred.await(this.ended))
    return Effect.ensuring(
      Effect.timeoutOption(answer, answerTimeout),
      Effect.sync(() => this.asking.delete(answered))
    )
  })

  private hear(message: ToFirst): void {
    switch (message.kind) {
      case "ready":
        this.readyAt = performance.now()
        Deferred.doneUnsafe(this.ready, Effect.succeed(message))
        return this.spread.join(this)
      case "moved":
        for (const socket of this.underway.splice(0, message.came)) socket.destroy()
        return this.spread.left(this, message.left)
      case "metrics":
        this.series = message.series
        for (const answered of this.asking) Deferred.doneUnsafe(answered, Effect.void)
    }
  }

  /** What it did not have yet, another one gets: it says so before it reads anything. */
  private leave(): void {
    this.spread.leave(this)
    for (const socket of this.underway.splice(0)) this.spread.give(socket)
  }

  private end(ended: Ended): void {
    this.leave()
    Deferred.doneUnsafe(this.ended, Effect.succeed(ended))
  }
}

const howEnded = ({ code, signal }: Ended): string =>
  signal ?? (code === null ? "it could not be started" : `exit code ${code}`)

/** A worker, and those that take its place one after the other. */
interface Place {
  readonly index: number
  /** The first has been ready. */
  readonly ready: Deferred.Deferred<Announcement>
  /** Deaths in a row without having worked. */
  deaths: number
  child: Child | undefined
}

const isFailing = ({ child, deaths }: Place): boolean => deaths >= maxDeaths && child?.works !== true

/** The first process' own part: where it listens, and who is there. */
export class First {
  readonly address: NetAddress.SocketAddress
  private readonly plan: Plan
  private readonly spread: Spread<Net.Socket>
  private readonly children: Set<Child>
  private past: Series.Series = []

  constructor(address: NetAddress.SocketAddress, plan: Plan, spread: Spread<Net.Socket>, children: Set<Child>) {
    this.address = address
    this.plan = plan
    this.spread = spread
    this.children = children
  }

  /** What all of them have counted, those that are gone included. */
  readonly snapshot: Effect.Effect<Series.Series> = Effect.suspend(() =>
    Effect.gen({ self: this }, function* () {
      yield* Effect.forEach(this.children, ({ count }) => count, { concurrency: "unbounded", discard: true })
      yield* Metric.update(living, this.spread.size)
      const all = [this.past, yield* Metric.snapshot, ...Array.from(this.children, ({ series }) => series)]
      return Series.sum(all)
    })
  )

  /** Keeps the workers running; done only by a failure. */
  readonly run: Effect.Effect<never, WorkersError> = Effect.suspend(() => {
    const places = Array.from({ length: this.plan.workers }, (_, index): Place => ({
      index,
      ready: Deferred.makeUnsafe(),
      deaths: 0,
      child: undefined
    }))
    const first = places[0]!
    const announced = Effect.flatMap(
      Effect.forEach(places, ({ ready }) => Deferred.await(ready)),
      ([{ line, notes } = { line: "", notes: [] }]) => print(notes, line)
    )
    // a mistake is told by the first, and not by each of them
    const all = places.map((place) =>
      Effect.andThen(place === first ? Effect.void : Deferred.await(first.ready), this.keep(place, places))
    )
    return Effect.andThen(
      Effect.all([announced, ...all], { concurrency: "unbounded", discard: true }),
      // none of them ends but by a failure
      Effect.never
    )
  })

  private keep(place: Place, all: ReadonlyArray<Place>): Effect.Effect<never, WorkersError> {
    const { index, ready } = place
    const name = `worker ${index + 1}`
    return Effect.gen({ self: this }, function* () {
      while (true) {
        const { ended, hasWorked, pid, wasReady } = yield* Effect.scoped(this.live(place))
        if (!(yield* Deferred.isDone(ready))) {
          const isTold = ended.code !== null && ended.code !== 0
          const message = isTold ? "" : `${name} ended before it was ready: ${howEnded(ended)}`
          return yield* new WorkersError({ message, code: ended.code || 1 })
        }
        place.deaths = hasWorked ? 0 : place.deaths + 1
        // as long as some worker serves, its connections are worth more than a clean end
        if (all.every(isFailing)) {
          const message = `${name} died ${place.deaths} times in a row ${wasReady ? "right after its start" : "before it was ready"}: ${howEnded(ended)}`
          return yield* new WorkersError({ message, code: 1 })
        }
        const delay = Math.min(lastDelay, firstDelay * 2 ** Math.max(0, place.deaths - 1))
        const often = place.deaths < maxDeaths ? "" : ` in ${delay / 1000} s: it died ${place.deaths} times in a row`
        yield* Effect.logWarning(
          `W${name.slice(1)} (process ${pid}) died: ${howEnded(ended)}; another takes its place${often}`
        )
        yield* Effect.sleep(delay)
        yield* Metric.update(restarts, 1)
      }
    })
  }

  /** One worker, from its start to its end. */
  private live(place: Place): Effect.Effect<
    {
      readonly ended: Ended
      readonly hasWorked: boolean
      readonly wasReady: boolean
      readonly pid: number | undefined
    },
    never,
    Scope.Scope
  > {
    return Effect.gen({ self: this }, function* () {
      const child = yield* this.start(place.index)
      place.child = child
      const isReady = Effect.flatMap(Deferred.await(child.ready), (announcement) =>
        Deferred.succeed(place.ready, announcement)
      )
      const untilEnd = Deferred.await(child.ended)
      yield* Effect.timeoutOrElse(Effect.raceFirst(isReady, untilEnd), {
        duration: startTimeout,
        orElse: () => Effect.sync(() => child.process.kill("SIGKILL"))
      })
      const ended = yield* untilEnd
      const hasWorked = child.works
      place.child = undefined
      return { ended, wasReady: yield* Deferred.isDone(child.ready), hasWorked, pid: child.process.pid }
    })
  }

  private start(index: number): Effect.Effect<Child, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => {
        const child = new Child(this.taskOf(index), this.spread)
        this.children.add(child)
        return child
      }),
      (child) =>
        Effect.suspend(() => {
          child.say({ kind: "end" })
          return Deferred.await(child.ended).pipe(
            Effect.timeoutOption(this.grace),
            Effect.flatMap(
              Option.match({
                onNone: () => {
                  child.process.kill("SIGKILL")
                  return Deferred.await(child.ended)
                },
                onSome: Effect.succeed
              })
            ),
            Effect.andThen(
              Effect.sync(() => {
                this.children.delete(child)
                this.past = Series.sum([this.past, Series.counted(child.series)])
              })
            )
          )
        })
    )
  }

  private taskOf(index: number): Task {
    const { hasMetrics, maxConnections, workers } = this.plan
    return {
      index,
      // together they have exactly as many
      maxConnections: Math.floor(maxConnections / workers) + (index < maxConnections % workers ? 1 : 0),
      address: NetAddress.isInetAddress(this.address)
        ? { ip: NetAddress.formatIp(this.address.address), port: this.address.port }
        : { path: this.address.path },
      reportEvery: hasMetrics ? reportEvery : undefined
    }
  }

  /** What a worker that ends in order takes at most; one that takes longer hangs. */
  private get grace(): Duration.Duration {
    const { closeTimeout = "10 seconds", drainTimeout = 0 } = this.plan.options
    return Duration.millis(Duration.toMillis(drainTimeout) + 3 * Duration.toMillis(closeTimeout) + 10_000)
  }
}

/** Begins to listen. Connections wait until there are workers. */
export const make = Effect.fnUntraced(function* (plan: Plan): Effect.fn.Return<First, ListenError, Scope.Scope> {
  const spread = new Spread<Net.Socket>()
  const children = new Set<Child>()
  const server = Net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
    socket.on("error", constVoid)
    spread.give(socket)
  })
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      server.close()
      spread.end()
    })
  )
  const address = yield* Listen.open(server, plan.options)
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  server.on("error", (error) => runFork(Effect.logWarning(`A connection could not be accepted: ${error.message}`)))

  yield* HangUp.reads(Effect.sync(() => children.forEach((child) => child.say({ kind: "reload" }))))
  // a second signal leaves nobody behind
  const onExit = () => children.forEach((child) => child.process.kill("SIGKILL"))
  yield* Effect.acquireRelease(
    Effect.sync(() => void process.on("exit", onExit)),
    () => Effect.sync(() => void process.off("exit", onExit))
  )
  return new First(address, plan, spread, children)
})
