/**
 * `npm run lock`: the lock file for package.json as it is now, complete for every platform.
 *
 * npm drops an optional dependency that its registry does not serve, such as another platform's binary on a partial
 * mirror, and `npm ci` then refuses the lock file because of the gap. This puts those packages back by what their parent
 * pins and their names say; without a checksum, since nothing was fetched.
 */
import { readFileSync, writeFileSync } from "node:fs"

interface Package {
  readonly version?: string
  readonly dev?: true
  readonly peer?: true
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

const file = new URL("../package-lock.json", import.meta.url)
const lock: { packages: Record<string, Package> } = JSON.parse(readFileSync(file, "utf8"))

const systems = ["android", "darwin", "freebsd", "linux", "openharmony", "win32"]
const processors = ["arm", "arm64", "ia32", "ppc64", "riscv64", "s390x", "x64"]

const platformOf = (name: string) => {
  const words = name.split(/[/-]/)
  const cpu = processors.filter((processor) => words.includes(processor))
  const os = systems.filter((system) => words.includes(system))
  if (cpu.length !== 1 || os.length !== 1)
    throw new Error(`${name}: expected the name to say one system and one processor`)
  const libc = words.some((word) => word.startsWith("musl")) ? ["musl"] : words.includes("gnu") ? ["glibc"] : undefined
  return { cpu, os, libc }
}

const added: Array<string> = []
for (const [path, parent] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`
    if (key in lock.packages || `${path}/${key}` in lock.packages) continue
    if (!/^\d+\.\d+\.\d+$/.test(version)) throw new Error(`${path}: expected ${name} to be pinned, got ${version}`)
    const { cpu, libc, os } = platformOf(name)
    const { dev, peer } = parent
    lock.packages[key] = { version, cpu, dev, libc, optional: true, os, peer } as Package
    added.push(`${name}@${version}`)
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : 1)))
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
console.log(added.length === 0 ? "the lock file was complete" : `added ${added.join(", ")}`)
