/** Each Node that the package is made for, as an npm package of its own; none where there is none for this platform. */
import { execFileSync } from "node:child_process"
import { join } from "node:path"

const name = process.platform === "linux" ? `node-linux-${process.arch}` : undefined

/** The oldest that `engines` promises, and the newest of those that followed. */
export const versions: ReadonlyArray<string> = name === undefined ? [] : ["22.19.0", "24", "26"]

export const npm = (cwd: string, ...args: ReadonlyArray<string>): void => {
  execFileSync("npm", [...args, "--no-audit", "--no-fund", "--loglevel=error"], { cwd, stdio: "inherit" })
}

/** Installs one in a folder of its own below this one, and says where the program is. */
export const install = (folder: string, version: string): string => {
  if (name === undefined) throw new Error(`no npm package has a Node for ${process.platform}`)
  const prefix = join(folder, `node-${version}`)
  npm(folder, "install", "--prefix", prefix, `${name}@${version}`)
  return join(prefix, "node_modules", name, "bin", "node")
}
