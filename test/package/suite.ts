/**
 * `node test/package/suite.ts`: the tests of what a Node does for us, under every Node that the package is made for but the one at hand,
 * which runs all of them. Each takes about a minute: a Node that ends, resets or refuses in another way is noticed.
 */
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { install, versions } from "./nodes.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

const tests = [
  "test/connection",
  "test/client",
  // how a target and a client end, reset and fail, and what becomes of that on the other side
  ...["close-client", "close-faults", "close-target", "dial-failures", "endings", "lean-reads"].map(
    (name) => `test/proxy/${name}.test.ts`
  ),
  "test/tls/client-proxy.test.ts",
  // what OpenSSL is asked for
  ...["TlsSettings", "names"].map((name) => `test/tls/${name}.test.ts`),
  // sockets of the system, and what has listened on them before
  ...["NodeSocket.slow", "attended", "refusal", "unixListening"].map((name) => `test/node/${name}.test.ts`),
  // what `node:http` hands over, or answers itself
  ...["http", "http2", "http2.frames", "http2.pages", "node-socket", "pipelined", "shutdown", "upgrade"].map(
    (name) => `test/server/${name}.test.ts`
  )
]

const scratch = mkdtempSync(join(tmpdir(), "effect-websocket-suite-"))
try {
  const major = (version: string) => version.split(".")[0]
  const others = versions.filter((version) => major(version) !== major(process.versions.node))
  for (const version of others) {
    const node = install(scratch, version)
    console.log(`under Node ${version}`)
    const { status } = spawnSync(node, [join(root, "node_modules", "vitest", "vitest.mjs"), "run", ...tests], {
      cwd: root,
      stdio: "inherit",
      // what a test starts as `node` is this one as well
      env: { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env["PATH"]}` }
    })
    if (status !== 0) process.exitCode = 1
  }
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
