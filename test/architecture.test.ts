/**
 * The house rules that a reader relies on: which folder may import which, what may touch Node, and how large a room may be.
 * `.oxlintrc.json` holds the same while one types; this holds it against the table below.
 */
import { assert, describe, it } from "@effect/vitest"
import { globSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../src", import.meta.url))

/** What each folder may import of the others. */
const allowed: Readonly<Record<string, ReadonlyArray<string>>> = {
  protocol: [],
  tls: ["protocol"],
  connection: ["protocol"],
  server: ["connection", "tls", "protocol"],
  proxy: ["server", "connection", "tls", "protocol"],
  client: ["proxy", "connection", "protocol"],
  node: ["client", "proxy", "server", "connection", "tls", "protocol"],
  component: ["node", "client", "proxy", "server", "connection", "tls", "protocol"],
  cli: ["node", "client", "proxy", "server", "connection", "tls", "protocol"]
}

/** Who may import `node:*`. */
const onNode = new Set(["node", "component", "cli", "tls"])

/** Effect's modules that are values and not a runtime; `Effect` itself is only named by Schema's transformations. */
const pure = new Set([
  "Data",
  "Duration",
  "Effect",
  "Formatter",
  "net/NetAddress",
  "Option",
  "Result",
  "Schema",
  "SchemaIssue",
  "SchemaTransformation"
])

const files = globSync("**/*.ts", { cwd: root }).map((path) => {
  const text = readFileSync(join(root, path), "utf8")
  const imports = [...text.matchAll(/^(?:import|export)\b[^"']*?from "([^"]+)"|^import "([^"]+)"/gm)].map(
    (match) => match[1] ?? match[2]!
  )
  return { path, folder: path.includes("/") ? path.split("/")[0]! : "", text, imports }
})

const inside = (from: string, specifier: string) => relative(root, join(root, dirname(from), specifier))

describe("src", () => {
  it("has the folders that the table knows, and no room for odds and ends", () => {
    assert.deepStrictEqual(
      [...new Set(files.map(({ folder }) => folder))].filter((folder) => folder !== "").toSorted(),
      Object.keys(allowed).toSorted()
    )
    for (const { path } of files) assert.notMatch(path, /(^|\/)(utils?|helpers?|common|misc)(\/|\.)/i)
  })

  it("imports one way", () => {
    for (const { folder, imports, path } of files) {
      if (folder === "") continue
      for (const specifier of imports.filter((specifier) => specifier.startsWith("."))) {
        const to = inside(path, specifier).split("/")[0]!
        assert.isTrue(to === folder || allowed[folder]!.includes(to), `${path} imports ${specifier}`)
      }
    }
  })

  // V8 takes such a function for a method of a class that is written the old way, and has it made in the old generation, where it
  // keeps what it closes over until the next full collection: a whole connection, where there is one for each
  it("assigns no function to a property that is written there", () => {
    const assigned =
      /^\s*(?!.*\b(?:const|let|readonly)\b)\S+(?:\.\w+|\]) (?:\?\?|\|\|)?= (?:async )?(?:\([^)]*\)|\w+)(?:: [^=]+)? =>/
    for (const { folder, path, text } of files) {
      if (folder === "cli") continue
      for (const line of text.split("\n")) assert.notMatch(line, assigned, `${path}: give it a name first`)
    }
  })

  // V8 gives each object with accessors of its own a shape of its own, which is made in the old generation, and has the accessor point
  // to what it closes over
  it("has accessors in classes alone, or once for a module", () => {
    for (const { path, text } of files) {
      for (const line of text.split("\n")) assert.notMatch(line, /^ {4,}[gs]et \[?\w+\]?\(/, `${path}: make it a class`)
    }
  })

  it("has no cycle of files", () => {
    const edges = new Map(
      files.map(({ imports, path }) => [
        path,
        imports.filter((specifier) => specifier.startsWith(".")).map((specifier) => inside(path, specifier))
      ])
    )
    const done = new Set<string>()
    const visit = (path: string, above: ReadonlyArray<string>): void => {
      assert.notInclude(above, path)
      if (done.has(path)) return
      for (const next of edges.get(path) ?? []) visit(next, [...above, path])
      done.add(path)
    }
    for (const { path } of files) visit(path, [])
  })

  it("touches Node in its own folders alone", () => {
    for (const { folder, imports, path } of files) {
      if (onNode.has(folder)) continue
      for (const specifier of imports) {
        assert.isFalse(specifier.startsWith("node:") || specifier.startsWith("@effect/platform-node"), path)
      }
    }
  })

  it("imports Effect by its modules, and in protocol only what is pure", () => {
    for (const { folder, imports, path } of files) {
      for (const specifier of imports) {
        assert.notInclude(["effect", "@effect/platform-node"], specifier, path)
        const module = /^effect\/([\w/]+)$/.exec(specifier)?.[1]
        if (folder === "protocol" && specifier.startsWith("effect")) {
          assert.isTrue(module !== undefined && pure.has(module), `${path} imports ${specifier}`)
        }
      }
    }
  })

  it("begins each file with its contract, and ends it before line 450", () => {
    for (const { path, text } of files) {
      assert.match(text, /^(#!.*\n)?\/\*\*/, path)
      assert.isBelow(text.split("\n").length, 450, path)
    }
  })
})
