/**
 * Programs that tests talk to and that npm does not bring: peers of another make, from Debian's packages. Where one is
 * missing, the tests that need it are skipped, and say what they miss.
 *
 * With `REQUIRE_PEERS=true` that is a failure instead. `.ci/run` installs all of them and sets it, so that a package that it
 * forgets is an error there and not tests that nobody runs. A test asks `missing` (or `lacking`, for what is no program)
 * before it skips, or has `beforeEach(needs("redis-server"))` do both.
 */
import { accessSync, constants } from "node:fs"
import { delimiter, join } from "node:path"

const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"]

/** Where a program is, also where only the administrator has it in the `PATH`. */
export const find = (name: string): string | undefined =>
  folders
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })

/** The reason given, as long as it is one to skip a test. */
export const lacking = (reason: string): string => {
  if (process.env["REQUIRE_PEERS"] === "true") throw new Error(`${reason}, and REQUIRE_PEERS asks for it`)
  return reason
}

/** Why a program cannot run here, if so. */
export const missing = (name: string): string | undefined =>
  find(name) === undefined ? lacking(`${name} is not installed`) : undefined

/** For `runIf`: whether a program can run here. */
export const has = (name: string): boolean => missing(name) === undefined

/** For `beforeEach`: skips the tests where one of these programs is missing. */
export const needs =
  (...names: ReadonlyArray<string>) =>
  (context: { readonly skip: (reason: string) => void }): void => {
    for (const name of names) {
      const reason = missing(name)
      if (reason !== undefined) context.skip(reason)
    }
  }
