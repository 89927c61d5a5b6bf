/** Redis, gone with the scope. */
import * as Effect from "effect/Effect"
import { type Program, start } from "../started.ts"

export const program: Program = {
  name: "redis-server",
  args: (port) => ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
}

/** On a port that is free, or on this one. */
export const redis = (port?: number) =>
  Effect.acquireRelease(
    Effect.promise(() => start(program, port)),
    (started) => Effect.promise(() => started[Symbol.asyncDispose]())
  )
