/**
 * What BuildInfo and LicenseInfo say.
 */
import { createRequire } from "node:module"

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license: string
}

const manifest = (): Manifest =>
  // this package's own, whose fields are known
  createRequire(import.meta.url)("effect-websocket/package.json") as Manifest

/** Made up when they are asked for. */
export const about: Readonly<Record<string, () => string>> = {
  BuildInfo: () => {
    const { name, version } = manifest()
    return `${name} ${version}, Node ${process.versions.node}, OpenSSL ${process.versions.openssl}`
  },
  LicenseInfo: () => {
    const { license, name } = manifest()
    return `${name}: ${license} licence`
  }
}
