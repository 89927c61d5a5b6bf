/**
 * `--metrics`: what is counted, in Prometheus' text format, on an address of its own. It is for whoever watches the server and
 * not for its clients, so without a host it is for this machine alone. There is GET /metrics and nothing else.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Metric from "effect/Metric"
import * as NetAddress from "effect/net/NetAddress"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as NodeHttp from "node:http"
import * as Listen from "../node/internal/listen.ts"
import type { ListenError } from "../server/UpgradeListener.ts"
import * as Address from "./Address.ts"
import * as Series from "./series.ts"
import { usage } from "./typed.ts"

/** One scraper is enough; who else asks has few connections, and little time for a request. */
const maxConnections = 64
const requestTimeout = 10_000
/** How long an answer may take to be made, and to be read. */
const answerTimeout = Duration.seconds(5)
const stallTimeout = 30_000

const parse = Effect.fnUntraced(function* (text: string): Effect.fn.Return<Listen.Where, Address.UsageError> {
  const wrong = usage(`--metrics expects [host:]port, such as 9090 or 0.0.0.0:9090; got ${JSON.stringify(text)}`)
  const where = yield* Effect.mapError(Address.parseListen(text), () => wrong)
  return "port" in where ? where : yield* wrong
})

/** The text that Prometheus reads, as effect writes it. */
export const format = (series: Series.Series): string => {
  const registry: Metric.MetricRegistry = new Map(
    series.map((one) => [
      Series.keyOf(one),
      { ...one, hooks: { get: () => one.state, update: constVoid, modify: constVoid } }
    ])
  )
  return PrometheusMetrics.formatUnsafe(Context.make(Metric.MetricRegistry, registry))
}

/** Serves them at the address that was typed for as long as the scope lives; `snapshot` says what they are now. */
export const serve = Effect.fnUntraced(function* (
  address: string,
  snapshot: Effect.Effect<Series.Series>
): Effect.fn.Return<void, Address.UsageError | ListenError, Scope.Scope> {
  const where = yield* parse(address)
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const text = Effect.map(snapshot, (series) => format(series))

  const http = NodeHttp.createServer(
    { headersTimeout: requestTimeout, requestTimeout, connectionsCheckingInterval: 1000 },
    (request, response) => {
      const answer = (status: number, body: string, headers: NodeHttp.OutgoingHttpHeaders = {}) => {
        response.writeHead(status, { "content-type": "text/plain; charset=utf-8", ...headers })
        response.end(request.method === "HEAD" ? undefined : body)
      }
      request.resume()
      if (request.url?.split("?", 1)[0] !== "/metrics") return answer(404, "There is only /metrics.\n")
      if (request.method !== "GET" && request.method !== "HEAD") {
        return answer(405, "It is for GET and HEAD.\n", { allow: "GET, HEAD" })
      }
      runFork(
        Effect.map(
          Effect.timeoutOption(text, answerTimeout),
          Option.match({
            onNone: () => answer(503, "It took too long.\n"),
            onSome: (body) => answer(200, body, { "content-type": "text/plain; version=0.0.4; charset=utf-8" })
          })
        )
      )
    }
  )
  http.maxConnections = maxConnections
  http.setTimeout(stallTimeout)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      http.close()
      http.closeAllConnections()
    })
  )
  const bound = yield* Listen.open(http, where)
  yield* Effect.logInfo(`Metrics are at http://${NetAddress.formatSocketAddress(bound)}/metrics`)
})
