/**
 * What sources of tokens are written in: lines of `TOKEN: host:port`, JSON objects from token to target, and single targets as
 * text or JSON. A target may be several, tried in their order. What is wrong is told by its line or place, and never with a token.
 */
import * as Arr from "effect/Array"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Destination } from "../Router.ts"
import * as Target from "../Target.ts"

/** The most targets of one token: each may be waited for as long as dialling takes. */
const maxTargets = 16

/** Reads a target. */
type ReadTarget = (text: string) => Result.Result<Target.AnyTarget, string>

// what came instead is not quoted: in a line that is turned around it would be a token
const expected = "expected host:port with a port from 1 to 65535, such as localhost:5900 or [::1]:5900"

const several = (targets: ReadonlyArray<Target.AnyTarget>): Result.Result<Destination, string> =>
  targets.length > maxTargets
    ? Result.fail(`expected ${maxTargets} targets at most, got ${targets.length}`)
    : Arr.isReadonlyArrayNonEmpty(targets)
      ? Result.succeed(targets.length === 1 ? targets[0] : targets)
      : Result.fail("expected a target, got none")

/** `host:port`, or several with commas between them. */
const readTargets = (text: string, read: ReadTarget): Result.Result<Destination, string> =>
  Result.flatMap(Result.all(text.split(",").map((one) => target(one, read))), several)

const target = (text: string, read: ReadTarget): Result.Result<Target.AnyTarget, string> =>
  Result.mapError(read(text.trim()), () => expected)

const One = Schema.Union([
  Schema.String,
  Schema.Struct({ host: Schema.String, port: Schema.optional(Schema.Union([Schema.Int, Schema.String])) })
])
const decodeAny = Schema.decodeUnknownResult(Schema.Union([One, Schema.Array(One)]))

const readOne = (one: typeof One.Type, read: ReadTarget): Result.Result<Target.AnyTarget, string> => {
  if (typeof one === "string") return target(one, read)
  const { host, port } = one
  // a host may have its port with it
  if (port === undefined) return target(host, Target.parse)
  return target(`${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`, Target.parse)
}

/** `"host:port"`, `{ "host": "host", "port": 5900 }`, `{ "host": "host:port" }`, or a list of those. */
export const readJson = (json: unknown, read: ReadTarget): Result.Result<Destination, string> => {
  const decoded = decodeAny(json)
  if (Result.isFailure(decoded)) return Result.fail(`expected "host:port" or { "host": ..., "port": ... }`)
  const value = decoded.success
  if (typeof value === "string") return readTargets(value, read)
  const all: ReadonlyArray<typeof One.Type> = "host" in value ? [value] : value
  return Result.flatMap(Result.all(all.map((one) => readOne(one, read))), several)
}

const parseJson = (text: string): Result.Result<unknown, string> =>
  // the cause quotes the text, where tokens are
  Result.try({ try: () => JSON.parse(text) as unknown, catch: () => "expected JSON" })

/** What somebody answers for a token: a target as text, or in JSON. */
export const readAnswer = (text: string, read: ReadTarget): Result.Result<Destination, string> => {
  const plain = readTargets(text, read)
  return Result.isSuccess(plain) || !/^\s*["{[]/.test(text)
    ? plain
    : Result.flatMap(parseJson(text), (json) => readJson(json, read))
}

export type Table = ReadonlyMap<string, Destination>

const readLine = (line: string, read: ReadTarget): Result.Result<readonly [string, Destination], string> => {
  const match = /^(\S+):\s+(.+)$/.exec(line)
  if (match === null) return Result.fail("expected TOKEN: host:port")
  return Result.map(readTargets(match[2]!, read), (destination) => [match[1]!, destination] as const)
}

/** Lines of `TOKEN: host:port`. Empty ones are left out, and those that begin with `#`. */
export const readLines = (text: string, read: ReadTarget): Result.Result<Table, string> => {
  const table = new Map<string, Destination>()
  for (const [index, full] of text
    .replace(/^\uFEFF/, "")
    .split(/\r\n|\r|\n/)
    .entries()) {
    const line = full.trim()
    if (line === "" || line.startsWith("#")) continue
    const entry = readLine(line, read)
    if (Result.isFailure(entry)) return Result.fail(`line ${index + 1}: ${entry.failure}`)
    const [token, destination] = entry.success
    if (table.has(token)) return Result.fail(`line ${index + 1}: the token of this line has a target already`)
    table.set(token, destination)
  }
  return Result.succeed(table)
}

/** A JSON object from token to target. */
export const readObject = (text: string, read: ReadTarget): Result.Result<Table, string> =>
  Result.flatMap(parseJson(text), (json) => {
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      return Result.fail("expected a JSON object from token to target")
    }
    const table = new Map<string, Destination>()
    for (const [index, [token, value]] of Object.entries(json).entries()) {
      const destination = readJson(value, read)
      if (Result.isFailure(destination)) return Result.fail(`entry ${index + 1}: ${destination.failure}`)
      table.set(token, destination.success)
    }
    return Result.succeed(table)
  })
