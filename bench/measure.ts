/**
 * One run of a row: every server in fresh processes, all gone at the end, in turn so that a slow spell of the machine falls
 * on all of them; how, is a matter of the row's kind (`kinds`). Fails with the reason when a server cannot be measured.
 */
import { measureChurn } from "./kinds/churn.ts"
import { measureFlow } from "./kinds/flow.ts"
import { measureIdle } from "./kinds/idle.ts"
import { measureLatency } from "./kinds/latency.ts"
import { measureStart } from "./kinds/start.ts"
import type { MeasureOptions, Run } from "./rig.ts"
import type { Row, ServerName } from "./rows.ts"

export const measure = (row: Row, names: ReadonlyArray<ServerName>, options: MeasureOptions): Promise<Run> => {
  switch (row.kind) {
    case "idle":
      return measureIdle(row, names, options)
    case "latency":
      return measureLatency(row, names, options)
    case "start":
      return measureStart(row, names, options)
    case "churn":
      return measureChurn(row, names, options)
    default:
      return measureFlow(row, names, options)
  }
}
