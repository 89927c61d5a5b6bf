/**
 * websockify's command line: `effect-websocket [options] [host:]port [host:port]` without a command is `proxy`, and the options
 * are what websockify means by them. Each becomes the flag of `proxy` that does the same, or one line that says why not
 * (`websockifyOptions.ts`). What is no option of websockify's is handed on, so that flags of `proxy` can be mixed in.
 *
 * Pure: arguments in, arguments out, and what is to be told. A flag that both have with another meaning (`--idle-timeout`) is
 * websockify's here, and ours behind `proxy`.
 */
import * as Context from "effect/Context"
import * as Result from "effect/Result"
import { type Row, rows, wrapping } from "./websockifyOptions.ts"

const byName = new Map(rows.map((row) => [row.option, row]))
const byShort = new Map(rows.flatMap((row) => (row.short === undefined ? [] : [[row.short, row] as const])))

/** Something that only an address to listen on or to connect to looks like. */
const isAddress = (token: string): boolean => /^(?:(?:[^-].*:)?\d{1,5}|unix:.+)$/.test(token)

/** Options that find the target, so that an address alone is the one to listen on. */
const routing = ["token-plugin", "target-config"]

/** Flags of ours that do. */
const findsTarget = /^--(?:route|target-from-client)(?:=|$)/

/** The options that a token is, with the value that it has in itself; several where short ones share a dash. */
const optionsOf = (token: string): ReadonlyArray<readonly [Row, string | undefined]> | undefined => {
  const long = /^--([^=]+)(?:=(.*))?$/s.exec(token)
  if (long !== null) {
    const row = byName.get(long[1]!)
    return row === undefined || (row.value === undefined && long[2] !== undefined) ? undefined : [[row, long[2]]]
  }
  if (!/^-[a-zA-Z0-9]+$/.test(token)) return undefined
  const shorts = Array.from(token.slice(1), (name) => byShort.get(name))
  return shorts.every((row) => row !== undefined) ? shorts.map((row) => [row, undefined] as const) : undefined
}

interface Scanned {
  readonly typed: Map<string, string>
  /** Addresses, and what is not websockify's. */
  readonly rest: Array<string>
  /** Whether a program to start follows. */
  readonly wraps: boolean
  /** An option at the end that misses its value. */
  readonly incomplete: Row | undefined
}

const scan = (argv: ReadonlyArray<string>): Scanned => {
  const end = argv.indexOf("--")
  const tokens = end === -1 ? argv : argv.slice(0, end)
  const typed = new Map<string, string>()
  const rest: Array<string> = []
  for (let i = 0; i < tokens.length; i++) {
    const options = optionsOf(tokens[i]!)
    if (options === undefined) {
      rest.push(tokens[i]!)
      continue
    }
    for (const [row, inline] of options) {
      const value = row.value === undefined ? "" : (inline ?? tokens[++i])
      if (value === undefined) return { typed, rest, wraps: end !== -1, incomplete: row }
      typed.set(row.option, value)
    }
  }
  return { typed, rest, wraps: end !== -1, incomplete: undefined }
}

/** Arguments as our own command line takes them, and what is to be told when it listens. */
export interface Translated {
  readonly argv: ReadonlyArray<string>
  readonly notes: ReadonlyArray<string>
}

/** A word that comes first was to be a command of ours: what it may be, that command line says. Others are addresses, maybe wrong ones. */
const isCommand = (first: string | undefined): boolean => first !== undefined && /^[a-z][a-z-]*$/i.test(first)

/** Whether the arguments are websockify's: no command of ours, and an option of its or an address. */
const isWebsockify = (
  { rest, typed }: Scanned,
  argv: ReadonlyArray<string>,
  commands: ReadonlyArray<string>
): boolean =>
  !isCommand(argv[0]) &&
  !rest.some((token) => commands.includes(token)) &&
  (rest.some(isAddress) || [...typed.keys()].some((option) => option !== "verbose"))

/**
 * Translates websockify's arguments, and leaves ours as they are. Fails with the line that says what cannot be done.
 * `commands` are the names of ours.
 */
export const translate = (
  argv: ReadonlyArray<string>,
  commands: ReadonlyArray<string>
): Result.Result<Translated, string> => {
  const scanned = scan(argv)
  if (!isWebsockify(scanned, argv, commands)) return Result.succeed({ argv, notes: [] })
  const { incomplete, rest, typed, wraps } = scanned
  if (incomplete !== undefined) return Result.fail(`--${incomplete.option} expects a value (${incomplete.value})`)
  if (wraps) return Result.fail(`-- COMMAND: ${wrapping}`)
  const carried = rows.flatMap((row) => {
    const value = typed.get(row.option)
    return value === undefined ? [] : [row.carry(value, typed)]
  })
  const refused = carried.find((one) => one.refused !== undefined)?.refused
  if (refused !== undefined) return Result.fail(refused)
  const one = (key: "listen" | "target") => carried.flatMap((carried) => carried[key] ?? [])
  const typedAddresses = [...one("listen"), ...rest.filter((it) => !it.startsWith("-")), ...one("target")]
  const isRouted = routing.some((option) => typed.has(option)) || rest.some((it) => findsTarget.test(it))
  // a single address would be taken for the target
  if (typedAddresses.length === 1 && !isRouted) {
    return Result.fail(`expected [host:]port and a target, such as 6080 localhost:5900; got ${typedAddresses[0]} alone`)
  }
  const bare = rest.find((token, i) => /^\d{1,5}$/.test(token) && !/^--[^=]+$/.test(rest[i - 1] ?? ""))
  return Result.succeed({
    argv: ["proxy", ...carried.flatMap(({ flags = [] }) => flags), ...one("listen"), ...rest, ...one("target")],
    notes: [
      ...carried.flatMap(({ note }) => note ?? []),
      ...(bare === undefined || typed.has("unix-listen")
        ? []
        : [
            `${bare} alone is for this machine, as against websockify; ${typed.has("prefer-ipv6") ? "[::]" : "0.0.0.0"}:${bare} is for others, too`
          ])
    ]
  })
}

/** What is to be told when it listens. */
export const Notes = Context.Reference<ReadonlyArray<string>>("effect-websocket/cli/websockify/Notes", {
  defaultValue: () => []
})
