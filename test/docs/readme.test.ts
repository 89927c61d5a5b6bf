/**
 * What the README shows is what is there: its code is an example's, its commands are run by CI, its links lead somewhere.
 */
import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = new URL("../../", import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), "utf8")
const readme = read("README.md")

/** A file without the comment at its head. */
const code = (path: string) => read(path).replace(/^\/\*\*[\s\S]*?\*\/\n/, "")

const pages = [
  "README.md",
  "docs/admission.md",
  "docs/architecture.md",
  "docs/behind-a-load-balancer.md",
  "docs/client.md",
  "docs/components.md",
  "docs/logs.md",
  "docs/recipes.md",
  "docs/routing.md",
  "docs/service.md",
  "docs/targets.md",
  "docs/tls.md",
  "docs/websockify.md",
  "docs/workers.md"
]

describe("pages", () => {
  it.for(pages)("%s shows code that is an example's, to the letter", (page) => {
    const text = read(page)
    const shown = [...text.matchAll(/<!-- (\S+) -->\n\n```ts\n([\s\S]*?)```/g)]
    assert.strictEqual(shown.length, [...text.matchAll(/```ts\n/g)].length)
    for (const [, path, text] of shown) assert.strictEqual(text, code(path!))
  })

  it.for(pages)("%s shows lines of clients that are a test's, each of them", (page) => {
    const text = read(page)
    const shown = [...text.matchAll(/<!-- (\S+) -->\n\n```(?:js|html)\n([\s\S]*?)```/g)]
    assert.strictEqual(shown.length, [...text.matchAll(/```(?:js|html)\n/g)].length)
    for (const [, path, lines] of shown) {
      const test = new Set(
        read(path!)
          .split("\n")
          .map((line) => line.trim())
      )
      for (const line of lines!.trim().split("\n")) assert.isTrue(test.has(line.trim()), line)
    }
  })

  it.for(pages)("%s names examples that there are", (page) => {
    for (const [, path] of read(page).matchAll(/npm run example (\S+)/g)) {
      assert.isTrue(existsSync(fileURLToPath(new URL(path!, root))), path)
    }
  })

  it.for(pages)("%s has links that lead somewhere", (page) => {
    for (const [, link] of read(page).matchAll(/\]\(([^)]+)\)/g)) {
      if (!/^https?:/.test(link!)) assert.isTrue(existsSync(fileURLToPath(new URL(link!, new URL(page, root)))), link)
    }
  })
})

describe("README", () => {
  it("gives commands that CI runs", () => {
    const commands = [...readme.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap((match) => match[1]!.trim().split("\n"))
    const ci = read(".ci/run")
    assert.isAbove(commands.length, 3)
    for (const command of commands) assert.include(ci, command)
  })
})
