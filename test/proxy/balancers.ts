/**
 * Load balancers that are in use, where they are installed, with the configurations of `docs/behind-a-load-balancer.md` to the
 * letter: only the addresses in them become addresses of this machine.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { existsSync, readFileSync } from "node:fs"
import { dirname } from "node:path"
import { listening } from "../cli/command.ts"
import * as Installed from "../installed.ts"
import { type Program, start as startProgram } from "../started.ts"

const page = readFileSync(new URL("../../docs/behind-a-load-balancer.md", import.meta.url), "utf8")

/** A block of the page, by the comment before it. */
const block = (name: string): string => {
  const start = page.indexOf(`<!-- ${name} -->\n\n\`\`\`\n`)
  assert.notStrictEqual(start, -1, `the page has no ${name}`)
  const from = page.indexOf("```\n", start) + 4
  return page.slice(from, page.indexOf("```", from))
}

/** Where things are, in place of where they are on the page. */
interface Places {
  /** Of `effect-websocket`. */
  readonly server?: number
  /** Of what is behind a balancer that is behind us. */
  readonly target?: number
  /** Files, by their path on the page. */
  readonly files?: Readonly<Record<string, string>>
}

const placed = (name: string, port: number, { files = {}, server = 1, target = 1 }: Places): string => {
  let text = block(name)
    .replaceAll("10.0.0.5:8080", `127.0.0.1:${server}`)
    .replaceAll("10.0.0.7:5900", `127.0.0.1:${target}`)
    .replaceAll("10.0.0.5", "127.0.0.1")
    .replaceAll(/^( *bind) :\d+/gm, `$1 127.0.0.1:${port}`)
    .replaceAll(/^( *listen) \d+/gm, `$1 127.0.0.1:${port}`)
  for (const [path, file] of Object.entries(files)) text = text.replaceAll(path, file)
  return text
}

const haproxy = (name: string, places: Places): Program => ({
  name: "haproxy",
  args: (_, file) => ["-db", "-f", file],
  config: (port) => [placed(name, port, places)]
})

const modules = "/usr/lib/nginx/modules"
const streamModule = `${modules}/ngx_stream_module.so`

const nginx = (name: string, places: Places): Program => ({
  name: "nginx",
  args: (_, file) => ["-c", file, "-p", dirname(file)],
  config: (port, file) => {
    const folder = dirname(file)
    const text = placed(name, port, places)
    const isStream = text.startsWith("stream")
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (kind) => `${kind}_temp_path ${folder}/${kind};`
    )
    return [
      ...(isStream ? [`load_module ${streamModule};`] : []),
      "daemon off;",
      "error_log stderr;",
      `pid ${folder}/pid;`,
      "events {}",
      ...(isStream ? [text] : ["http {", "access_log off;", ...temporary, text, "}"])
    ]
  }
})

/** Starts one with a configuration of the page, `haproxy: NAME` or `nginx: NAME`, and gives its port. */
export const start = (name: string, places: Places = {}): Effect.Effect<number, never, Scope.Scope> => {
  const program = name.startsWith("haproxy") ? haproxy(name, places) : nginx(name, places)
  return Effect.map(
    Effect.acquireRelease(
      Effect.promise(() => startProgram(program)),
      (started) => Effect.promise(() => started[Symbol.asyncDispose]())
    ),
    ({ port }) => port
  )
}

/** Why one cannot run here, if so. */
export const missing = (name: string): string | undefined =>
  Installed.missing(name.split(":")[0]!) ??
  (name === "nginx: stream" && !existsSync(streamModule)
    ? Installed.lacking("the stream module of nginx (libnginx-mod-stream) is not installed")
    : undefined)

/**
 * Starts a command of the page before a target, with `127.0.0.1` for the balancer's address. The target is told in the PROXY protocol
 * for whom it is dialled, which is how a test sees what was believed.
 */
export const proxy = (name: string, target: { readonly port: number }, version?: "v1" | "v2") => {
  const words = block(`command: ${name}`).trim().replaceAll("10.0.0.2", "127.0.0.1")
  const flags = words.replace(/^effect-websocket proxy \S+ \S+/, "").replace(/ --send-proxy (\S+)/, "")
  const send = version ?? /--send-proxy (\S+)/.exec(words)?.[1] ?? "v2"
  return listening("proxy", "0", `127.0.0.1:${target.port}`, ...flags.split(" ").slice(1), "--send-proxy", send)
}
