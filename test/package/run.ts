/**
 * What a user gets: the packed package, installed in an empty project, has types that compile, and runs under every Node that it is
 * made for. Each Node is an npm package of its own; where there is none for this platform, only the Node at hand is tried.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { existsSync, globSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { install, npm, versions } from "./nodes.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** The program of a user: it imports every entry, and echoes through a server with the WebSocket that the platform has. */
const program = `
import { Effect, Layer, Stream } from "effect"
import * as core from "effect-websocket"
import * as Frame from "effect-websocket/protocol/Frame"
import { NodeWebSocketServer } from "effect-websocket/node"
import { TlsSettings } from "effect-websocket/tls"
import { WSServer } from "effect-websocket/component"

const echo = (url) => new Promise((resolve, reject) => {
  const socket = new WebSocket(url)
  socket.onopen = () => socket.send("hello")
  socket.onmessage = (event) => { resolve(event.data); socket.close() }
  socket.onerror = () => reject(new Error("the WebSocket failed"))
})

if (TlsSettings.make({ minVersion: "TLSv1.3" })._tag !== "Success") throw new Error("TLS cannot be set up")

const component = new WSServer()
component.localHost = "127.0.0.1"
component.config("KeepAliveTime=60000")
component.on("DataIn", (e) => component.sendText(e.connectionId, e.text))
await component.startListening()
if (!component.config("BuildInfo").startsWith("effect-websocket ")) throw new Error(component.config("BuildInfo"))
if ((await echo("ws://127.0.0.1:" + component.localPort)) !== "hello") throw new Error("the component does not echo")
await component.dispose()

const Server = core.WebSocketServer.layerHandler((socket) =>
  Stream.runForEach(socket.messages, (message) => socket.send(message))
).pipe(Layer.provideMerge(NodeWebSocketServer.layer({ port: 0 })))

const program = Effect.gen(function* () {
  const { address } = yield* core.WebSocketServer.WebSocketServer
  const echoed = yield* Effect.promise(() => echo("ws://127.0.0.1:" + address.port))
  if (echoed !== "hello") throw new Error("expected hello, got " + echoed)
  if (Frame.toBytes(Frame.make({ opcode: 9 })).length !== 2) throw new Error("a ping is two bytes")
})
await Effect.runPromise(Effect.provide(program, Server))
`

/** A user and his password, as `htpasswd -B` writes them. */
const users = "ada:$2b$05$xgoHG7ZiIXrrl4UJJszB7ODHtWT1cN/JGvEH5Dr/jtVoSMII8RTLu\n"

/** The command: it says where it listens, answers by what its flags load, and ends in order. */
const command = async (node: string, cwd: string): Promise<void> => {
  const bin = join(cwd, "node_modules", "effect-websocket", "dist", "cli", "main.js")
  const version = execFileSync(node, [bin, "--version"], { encoding: "utf8" })
  if (!/\d+\.\d+\.\d+/.test(version)) throw new Error(`expected a version, got ${version}`)
  const { stderr } = spawnSync(node, [bin, "6080", "--daemon", "localhost:5900"], { encoding: "utf8" })
  const page = /\(see (.+)\)\n$/.exec(stderr)?.[1]
  if (page === undefined || !existsSync(page)) throw new Error(`expected a page that is there, got ${stderr}`)
  const web = join(cwd, "web")
  mkdirSync(web, { recursive: true })
  writeFileSync(join(web, "index.html"), "a page")
  writeFileSync(join(cwd, "users"), users)
  const flags = ["--web", web, "--web-auth", "--htpasswd", join(cwd, "users")]
  const child = spawn(node, [bin, "proxy", "127.0.0.1:0", "127.0.0.1:9", ...flags], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  const exit = new Promise<number | null>((resolve) => child.once("exit", resolve))
  for await (const line of createInterface({ input: child.stdout })) {
    const address = /^ready ws:\/\/(127\.0\.0\.1:\d+)$/.exec(line)?.[1]
    if (address === undefined) throw new Error(`expected a ready line, got ${line}`)
    const answers = ["ada:wrong", "ada:secret"].map(async (login) => {
      const authorization = `Basic ${Buffer.from(login).toString("base64")}`
      return (await fetch(`http://${address}/`, { headers: { authorization } })).status
    })
    const statuses = (await Promise.all(answers)).join()
    if (statuses !== "401,200")
      throw new Error(`expected 401 and 200 for a wrong and a right password, got ${statuses}`)
    break
  }
  child.kill("SIGTERM")
  const code = await exit
  if (code !== 0) throw new Error(`expected exit code 0 after SIGTERM, got ${code}`)

  const demo = spawn(node, [bin], { stdio: ["ignore", "pipe", "inherit"] })
  const lines = createInterface({ input: demo.stdout })[Symbol.asyncIterator]()
  await lines.next()
  const { value: next } = await lines.next()
  demo.kill("SIGTERM")
  // there is no clone to type `npm start` in
  if (!String(next).startsWith("next: npx effect-websocket proxy ")) throw new Error(`expected npx, got ${next}`)
}

/** A user's TypeScript that imports every entry. */
const typed = `
import type { Effect } from "effect"
import { WebSocketServer } from "effect-websocket"
import type * as Frame from "effect-websocket/protocol/Frame"
import type * as node from "effect-websocket/node"
import type * as tls from "effect-websocket/tls"
import { type WSConnection, WSServer } from "effect-websocket/component"

export const server: Effect.Effect<unknown, never, unknown> = WebSocketServer.make()
export const hostOf = (connection: WSConnection): string => connection.remoteHost
export const component = new WSServer()
export type { Frame, node, tls }
`

/** Every declaration is looked at, too, as those do who do not set \`skipLibCheck\`: one may name what \`stripInternal\` took away. */
const checkTypes = (cwd: string): void => {
  writeFileSync(join(cwd, "typed.ts"), typed)
  const declarations = globSync("node_modules/effect-websocket/dist/**/*.d.ts", { cwd })
  if (declarations.length === 0) throw new Error("the package has no declarations")
  for (const [module, moduleResolution] of [
    ["nodenext", "nodenext"],
    ["esnext", "bundler"]
  ]) {
    const compilerOptions = {
      target: "es2024",
      lib: ["es2024", "esnext.disposable", "dom"],
      module,
      moduleResolution,
      types: ["node"],
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      noEmit: true
    }
    const project = join(cwd, `tsconfig.${moduleResolution}.json`)
    writeFileSync(project, JSON.stringify({ compilerOptions, files: ["typed.ts", ...declarations] }))
    execFileSync(join(root, "node_modules", ".bin", "tsc"), ["--project", project], { cwd, stdio: "inherit" })
    console.log(`the types compile with moduleResolution ${moduleResolution}`)
  }
}

const scratch = mkdtempSync(join(tmpdir(), "effect-websocket-package-"))
try {
  npm(root, "pack", "--pack-destination", scratch)
  const tarball = readdirSync(scratch).find((name) => name.endsWith(".tgz"))
  if (tarball === undefined) throw new Error("npm pack left no tarball")
  writeFileSync(join(scratch, "package.json"), `{ "name": "empty", "private": true, "type": "module" }\n`)
  npm(scratch, "install", `./${tarball}`, "effect@4", "@effect/platform-node@4", "@types/node@26")
  checkTypes(scratch)
  writeFileSync(join(scratch, "program.mjs"), program)

  const nodes = versions.map((version) => [version, install(scratch, version)] as const)
  if (nodes.length === 0) nodes.push([process.version, process.execPath])
  // as the README has it
  execFileSync("npx", ["--no", "--", "effect-websocket", "--version"], { cwd: scratch, stdio: "inherit" })
  for (const [version, node] of nodes) {
    execFileSync(node, ["program.mjs"], { cwd: scratch, stdio: "inherit", timeout: 60_000 })
    await command(node, scratch)
    console.log(
      `the package runs under Node ${version} (${execFileSync(node, ["--version"], { encoding: "utf8" }).trim()})`
    )
  }
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
