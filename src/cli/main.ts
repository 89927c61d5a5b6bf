#!/usr/bin/env node
/**
 * The command line. Results go to stdout and everything else to stderr; a mistake of the user is one line and the exit code 1,
 * and one of ours a trace and 2. SIGTERM and SIGINT close all connections in order and exit with 0; a second one exits at once.
 * SIGHUP ends nothing: see `hangUp.ts`.
 */
import "./engine.ts"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { UsageError } from "./Address.ts"
import { task, WorkersError } from "./workers/channel.ts"
import { echo } from "./echo.ts"
import { proxy } from "./proxy.ts"
import { tunnel } from "./tunnel.ts"
import * as Websockify from "./websockify.ts"

const name = "effect-websocket"

/** The package's own version; its manifest lies above both `src` and `dist`. */
const version: unknown = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version

/** It is installed with the package. */
const page = fileURLToPath(new URL("../../docs/websockify.md", import.meta.url))

const command = Command.make(name, {}, () =>
  Effect.flatMap(
    Effect.promise(() => import("./demo.ts")),
    ({ demo }) => demo
  )
).pipe(
  Command.withDescription(
    "A WebSocket in front of a TCP service. Without anything: a demonstration to open in a browser. With addresses and no command it is proxy with the options of websockify: effect-websocket 6080 localhost:5900 --web /usr/share/novnc"
  ),
  Command.withSubcommands([proxy, tunnel, echo])
)

/** Runs what was typed, as our own commands have it. */
const run = Effect.gen(function* () {
  const commands = command.subcommands.flatMap(({ commands }) => commands.map(({ name }) => name))
  const { argv, notes } = yield* Effect.fromResult(
    Result.mapError(
      Websockify.translate(process.argv.slice(2), commands),
      (message) => new UsageError({ message: `${message} (see ${page})` })
    )
  )
  const program = Command.runWith(command, { version: String(version) })(argv)
  const noted = Effect.provideService(program, Websockify.Notes, notes)
  // of several that log the same a line says which it is
  return yield* task === undefined ? noted : Effect.annotateLogs(noted, "worker", task.index + 1)
})

/** One line for a mistake in the arguments, in place of the whole help. */
const presenter: CliOutput.Presenter = {
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Console.error(`${name}: ${event.errors.map(({ message }) => oneLine(message)).join("; ")} (try --help)`)
      : CliOutput.defaultPresenter.present(event)
}

const oneLine = (text: string): string =>
  text
    .replace(/\s+Did you mean this\?\s+(\S+)/, "; did you mean $1?")
    .replace(/\s+/g, " ")
    .trim()

/** The mistake has been told. */
const failed = "failed" as const

let signals = 0
const onSignal = (signal: NodeJS.Signals) => {
  if (++signals > 1) process.exit(signal === "SIGINT" ? 130 : 143)
}
process.on("SIGINT", onSignal).on("SIGTERM", onSignal)
// SIGHUP is no end before a command takes it, either; but a demonstration goes with its terminal
if (process.argv.length > 2) process.on("SIGHUP", () => {})
// a reader of our output that goes away is no reason to fall over
process.stdout.on("error", () => {})
process.stderr.on("error", () => {})

run.pipe(
  Effect.catchTags({
    ListenError: (error) => Effect.andThen(Console.error(`${name}: ${oneLine(error.message)}`), Effect.fail(failed)),
    // an empty line was told by a worker
    WorkersError: (error) =>
      Effect.andThen(
        error.message === "" ? Effect.void : Console.error(`${name}: ${oneLine(error.message)}`),
        Effect.fail(error)
      ),
    UsageError: (error) => Effect.andThen(Console.error(`${name}: ${oneLine(error.message)}`), Effect.fail(failed))
  }),
  Effect.provide(
    Layer.mergeAll(NodeServices.layer, CliOutput.layerPresenter(presenter), Layer.succeed(Logger.LogToStderr)(true))
  ),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    teardown: (exit, onExit) => {
      // an end that was asked for by a signal is a success
      if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return onExit(0)
      if (Cause.hasDies(exit.cause)) {
        process.stderr.write(`${name}: internal error: ${Cause.pretty(exit.cause)}\n`)
        return onExit(2)
      }
      const failure = Cause.squash(exit.cause)
      onExit(failure instanceof WorkersError ? failure.code : 1)
    }
  })
)
