/**
 * Firewalls that are in use, where they are installed: each a process of its own on a port of this machine, gone with the
 * scope and all that it started.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Installed from "../installed.ts"
import * as Started from "../started.ts"
import { secret, user } from "./firewall.ts"

/** SOCKS5. */
export const microsocks: Program = {
  name: "microsocks",
  args: (port) => ["-i", "127.0.0.1", "-p", String(port)]
}

export const microsocksWithUser: Program = {
  name: "microsocks",
  args: (port) => ["-i", "127.0.0.1", "-p", String(port), "-u", user, "-P", secret]
}

/** HTTP. */
export const tinyproxy: Program = {
  name: "tinyproxy",
  args: (_, file) => ["-d", "-c", file],
  config: (port) => [`Port ${port}`, "Listen 127.0.0.1", "Allow 127.0.0.1", "Timeout 60", "MaxClients 20"]
}

export const tinyproxyWithUser: Program = {
  ...tinyproxy,
  config: (port, file) => [...tinyproxy.config!(port, file), `BasicAuth ${user} ${secret}`]
}

/** HTTP, also to ports other than those of HTTPS. */
export const squid: Program = {
  name: "squid",
  args: (_, file) => ["-N", "-f", file],
  config: (port) => [
    `http_port 127.0.0.1:${port}`,
    "acl local src 127.0.0.0/8",
    "http_access allow local",
    "cache deny all",
    "access_log none",
    "cache_log /dev/null",
    "cache_store_log none",
    "netdb_filename none",
    "pid_filename none",
    "pinger_enable off",
    "visible_hostname localhost",
    "shutdown_lifetime 0 seconds"
  ]
}

/** SOCKS4 and SOCKS5. */
export const danted: Program = {
  name: "danted",
  args: (_, file) => ["-f", file],
  config: (port) => [
    "logoutput: /dev/null",
    `internal: 127.0.0.1 port = ${port}`,
    "external: 127.0.0.1",
    "clientmethod: none",
    "socksmethod: none",
    ...(process.getuid?.() === 0 ? ["user.privileged: root", "user.notprivileged: nobody"] : []),
    "client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }",
    "socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }"
  ]
}

export type Program = Started.Program

/** Why it cannot run here, if so. */
export const missing = ({ name }: Program): string | undefined => Installed.missing(name)

/** Starts it and waits until it accepts; gives its port. */
export const start = (program: Program): Effect.Effect<number, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(() => Started.start(program)),
      (started) => Effect.promise(() => started[Symbol.asyncDispose]())
    ),
    ({ port }) => port
  )
