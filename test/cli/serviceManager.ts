/**
 * What a service manager does, in a process of its own: it listens, hands the socket over as descriptor 3 to the command line, whose
 * arguments are its own, and goes on without it. Signals and the exit code are handed on, too.
 */
import { spawn } from "node:child_process"
import { createServer } from "node:net"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

const server = createServer().listen(0, "127.0.0.1", () => {
  // the descriptor is known to nothing that is in the types
  const { fd } = (server as unknown as { readonly _handle: { readonly fd: number } })._handle
  const child = spawn(process.execPath, [main, ...process.argv.slice(2)], {
    stdio: ["ignore", "inherit", "inherit", fd]
  })
  server.close()
  process.on("SIGTERM", () => child.kill("SIGTERM"))
  child.on("exit", (code) => process.exit(code ?? 1))
})
