/**
 * The command line in few files, `dist/cli`: `npm run build` ends with it. Of some five hundred modules that it is made of, most of
 * them Effect's, it takes the parts that it uses, without their comments, and what a flag asks for stays in a file of its own, which
 * is loaded when the flag is given. As modules, the same command has a third more memory before its first connection, and takes more
 * than twice the time to it (bench/README.md, "The process"). An import() that would load nothing is an error here, as is every warning.
 *
 * What the package depends on stays outside and is installed with it. Effect is inside, so the command line runs with the one that
 * it was tested with, whichever its user has; `LICENSES` has the terms of all that is.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { rolldown } from "rolldown"

const root = fileURLToPath(new URL("..", import.meta.url))
const target = join(root, "dist", "cli")

const { dependencies }: { readonly dependencies: Readonly<Record<string, string>> } = JSON.parse(
  readFileSync(join(root, "package.json"), "utf8")
)

/** Installed with us, or, as Redis' client is, with `@effect/platform-node`. */
const outside = [...Object.keys(dependencies), "redis"]

const bundle = await rolldown({
  input: {
    main: join(root, "src", "cli", "main.ts"),
    // a thread starts with a file
    bcryptWorker: join(root, "src", "node", "internal", "bcryptWorker.ts")
  },
  platform: "node",
  external: (id) => outside.some((name) => id === name || id.startsWith(`${name}/`)),
  resolve: { conditionNames: ["source", "import", "node", "default"] },
  // what is not known to be there is a mistake, and no global
  onLog: (level, log) => {
    if (level === "warn") throw new Error(log.message)
  }
})

rmSync(target, { recursive: true, force: true })
const { output } = await bundle.write({
  dir: target,
  format: "esm",
  chunkFileNames: "[name].js",
  // names stay as they are, for whoever reads the trace of an internal error
  comments: false
})
await bundle.close()

/** The folder of the package that a module is of. */
const packageOf = (module: string): string | undefined =>
  /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(module.replaceAll("\\", "/"))?.[0]

const folders = new Set(
  output.flatMap((file) => (file.type === "chunk" ? file.moduleIds.flatMap((module) => packageOf(module) ?? []) : []))
)
const terms = [...folders].toSorted().map((folder) => {
  const file = ["LICENSE", "LICENSE.md", "LICENSE.txt"].map((name) => join(folder, name)).find(existsSync)
  if (file === undefined) throw new Error(`expected a license in ${folder}`)
  return `${folder.split("/node_modules/").at(-1)}\n\n${readFileSync(file, "utf8").trim()}\n`
})
writeFileSync(join(target, "LICENSES"), terms.join(`\n${"-".repeat(80)}\n\n`))
