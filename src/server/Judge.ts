/**
 * Asks an access policy about a client, and tells the log and the metrics why it is refused. A server has a judge for its
 * requests to upgrade; another server of HTTP on the same port makes its own.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { duration } from "../protocol/internal/option.ts"
import * as Telemetry from "../connection/Telemetry.ts"
import type { Refusal } from "../protocol/OpeningHandshake.ts"
import type { Client, Policy } from "./AccessPolicy.ts"
import { Denial } from "./Denial.ts"
import type { Identity } from "./Identity.ts"
import * as Lines from "./internal/lines.ts"

/**
 * How long a policy may take.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How long a policy may take; then the client gets 503. Default: 10 seconds. */
  readonly accessTimeout?: Duration.Input | undefined
}

/**
 * See the head of this module.
 *
 * @category models
 * @since 0.1.0
 */
export interface Judge {
  /** Who the client is, or what it is answered. */
  readonly judge: (policy: Policy, client: Client) => Effect.Effect<Identity, Refusal>
  /** Logs and counts a refusal that was decided elsewhere, and gives the answer to send. */
  readonly refuse: (denial: Denial, client: Pick<Client, "annotate" | "remoteAddress">) => Effect.Effect<Refusal>
}

/**
 * A judge, which logs up to 20 refusals in a second.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<Judge> =>
  Effect.sync(() => {
    const timeout = Duration.millis(duration("accessTimeout", options.accessTimeout, "10 seconds"))
    const tell = Lines.make()

    const line = ({ kind, policy, reason }: Denial, remoteAddress: string | undefined): Effect.Effect<void> =>
      tell((untold) =>
        Effect.annotateLogs(
          Effect.logInfo(`Refused ${remoteAddress ?? "a client without an address"}: ${reason}${untold}`),
          { policy, kind }
        )
      )

    const refuse: Judge["refuse"] = (denial, client) =>
      Effect.suspend(() => {
        client.annotate?.("denied", denial.kind)
        return Effect.as(
          Effect.andThen(Metric.update(Telemetry.denials, denial.kind), line(denial, client.remoteAddress)),
          denial.refusal
        )
      })

    return {
      refuse,
      judge: (policy, client) =>
        policy.judge(client).pipe(
          Effect.timeoutOrElse({
            duration: timeout,
            orElse: () =>
              Effect.fail(
                new Denial({
                  kind: "unavailable",
                  policy: policy.name,
                  reason: `no decision within ${Duration.format(timeout)}`,
                  challenges: []
                })
              )
          }),
          Effect.catch((denial) => Effect.flatMap(refuse(denial, client), Effect.fail))
        )
    }
  })
