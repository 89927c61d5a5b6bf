/**
 * The page about logs shows an entry as it is written, names every event and every part, and its command listens.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { start } from "../cli/command.ts"
import { folder } from "../node/folder.ts"
import * as AccessLogEntry from "../../src/server/AccessLogEntry.ts"

const page = readFileSync(new URL("../../docs/logs.md", import.meta.url), "utf8")
const members = [AccessLogEntry.Refused, AccessLogEntry.Gone, AccessLogEntry.Opened, AccessLogEntry.Closed]

describe("docs/logs.md", { timeout: 120_000 }, () => {
  it("shows an entry with all that one can have", () => {
    const [, json] = /```json\n([\s\S]*?)```/.exec(page) ?? []
    const entry = Schema.decodeSync(AccessLogEntry.FromJson)(json!)
    assert.deepStrictEqual(Object.keys(entry), Object.keys(AccessLogEntry.Closed.fields))
    assert.deepStrictEqual(JSON.parse(Schema.encodeSync(AccessLogEntry.FromJson)(entry)), JSON.parse(json!))
  })

  it("names each event, with its own parts", () => {
    for (const { fields } of members) {
      const event = fields.event.literal
      const [, row] = new RegExp(`^\\| \`${event}\` +\\|(.*)$`, "m").exec(page) ?? []
      assert.isDefined(row, event)
      for (const part of Object.keys(fields))
        if (!(part in AccessLogEntry.Gone.fields)) assert.include(row!, `\`${part}\``)
    }
  })

  it.live("has a command that listens", () =>
    Effect.gen(function* () {
      const at = yield* folder
      const [, line] = /^npm start -- (proxy .+)$/m.exec(page) ?? []
      const words = line!.split(" ").map((word) => (word === "6080" ? "0" : word === "access.log" ? at(word) : word))
      const running = yield* start(words)
      assert.match(yield* running.line(1), /^ready ws:/)
      yield* running.kill("SIGTERM")
      assert.strictEqual((yield* running.ended).code, 0)
      assert.isTrue(existsSync(join(at("access.log"))))
    })
  )
})
