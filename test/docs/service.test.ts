/**
 * The page about services: its commands, those of systemd's units and of the container, take connections and end in order, and its
 * tables say what signals and mistakes do.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { start } from "../cli/command.ts"
import { folder } from "../node/folder.ts"
import { certificate, key, path } from "../tls/openssl.ts"

const page = readFileSync(new URL("../../docs/service.md", import.meta.url), "utf8")
const program = "/opt/effect-websocket/node_modules/.bin/effect-websocket"

const units = [...page.matchAll(/```ini\n([\s\S]*?)```/g)].map(([, text]) => text!)
const commands = units.flatMap((unit) => [...unit.matchAll(/^ExecStart=(\S+) (.+)$/gm)])

/** The same with a port that the system chooses, and with files that are there. */
const here = (words: ReadonlyArray<string>): ReadonlyArray<string> => {
  certificate("site")
  const instead: Record<string, string> = {
    "fd:3": "0",
    "/etc/ssl/site.pem": path("site.crt"),
    "/etc/ssl/private/site.key": key("p256", "site")
  }
  return words.map((word) => instead[word] ?? word.replace(/^0\.0\.0\.0:\d+$/, "127.0.0.1:0"))
}

const [, container] = /^CMD (\[.*\])$/m.exec(page) ?? []

describe("docs/service.md", { timeout: 120_000 }, () => {
  it.live.each([
    ...commands.map(([, , args]) => ["systemd", args!.split(" ")] as const),
    ["a container", JSON.parse(container!) as ReadonlyArray<string>] as const
  ])("has a command for %s that serves and ends in order", ([, words]) =>
    Effect.gen(function* () {
      const running = yield* start(here(words))
      assert.match(yield* running.line(1), /^ready wss?:/)
      yield* running.kill("SIGTERM")
      assert.strictEqual((yield* running.ended).code, 0)
    })
  )

  it("names the program as it is installed", () => {
    assert.lengthOf(commands, 2)
    for (const [, name] of commands) assert.strictEqual(name, program)
    assert.include(page, 'ENTRYPOINT ["/app/node_modules/.bin/effect-websocket"]')
  })

  const analyze = "/usr/bin/systemd-analyze"
  it.live.runIf(existsSync(analyze))("has units that systemd takes", () =>
    Effect.gen(function* () {
      const at = yield* folder
      const files = ["one.service", "two.socket", "two.service"].map((name) => at(name))
      for (const [i, unit] of units.entries()) writeFileSync(files[i]!, unit.replaceAll(program, process.execPath))
      // what it does not like it prints
      assert.strictEqual(
        execFileSync(analyze, ["verify", ...files], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }),
        ""
      )
    })
  )
})
