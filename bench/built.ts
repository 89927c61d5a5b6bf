/**
 * The programs of `peers` and `servers` in JavaScript, in `bench/.built`: to run TypeScript, Node loads a parser that takes 15 MB of
 * a process, of whichever server it is.
 */
import { globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { stripTypeScriptTypes } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const bench = fileURLToPath(new URL(".", import.meta.url))
let isBuilt = false

const build = (): void => {
  for (const file of globSync("{peers,servers}/*.ts", { cwd: bench })) {
    const target = join(bench, ".built", file.replace(/ts$/, "js"))
    mkdirSync(dirname(target), { recursive: true })
    const text = stripTypeScriptTypes(readFileSync(join(bench, file), "utf8"))
    writeFileSync(target, text.replaceAll(/(from ".*)\.ts"/g, '$1.js"'))
  }
  isBuilt = true
}

/** The path of one of them, such as `peers/ws-echo`, in the project. */
export const built = (name: string): string => {
  if (!isBuilt) build()
  return `bench/.built/${name}.js`
}
