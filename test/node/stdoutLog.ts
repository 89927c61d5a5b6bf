/**
 * A process whose access log is its standard output: it writes as many entries at once as it is told, says `written` on stderr, and
 * ends when its input does.
 */
import { Console, DateTime, Effect, Logger } from "effect"
import { once } from "node:events"
import * as NodeAccessLog from "../../src/node/NodeAccessLog.ts"

const at = DateTime.makeUnsafe("2026-11-23T10:00:00.123Z")

process.stdin.resume()

await Effect.gen(function* () {
  const log = yield* NodeAccessLog.make({ file: 1 })
  for (let i = 0; i < Number(process.argv[2]); i++) {
    yield* log.write({ event: "gone", id: String(i), at, path: "/".padEnd(1000, "x"), annotations: {}, elapsed: 0 })
  }
  yield* Console.error("written")
  yield* Effect.promise(() => once(process.stdin, "end"))
}).pipe(Effect.scoped, Effect.provideService(Logger.LogToStderr, true), Effect.runPromise)
