/**
 * What a command prints when it listens.
 */
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import { WebSocketServer } from "../server/WebSocketServer.ts"
import { Notes } from "./websockify.ts"

/** `HOST:PORT` as the server is reached, or the path of its unix socket. */
export const serverAddress = Effect.map(WebSocketServer, ({ address }) => NetAddress.formatSocketAddress(address))

/** Prints the line that says that it listens; what there is to note goes before it, to stderr. */
export const print = Effect.fnUntraced(function* (notes: ReadonlyArray<string>, line: string): Effect.fn.Return<void> {
  for (const note of notes) yield* Console.error(`effect-websocket: note: ${note}`)
  yield* Console.log(line)
})

/** The line, with the words that an address of either kind begins with. */
export const readyLine = (
  address: NetAddress.SocketAddress,
  schemes: { readonly port: string; readonly path: string }
): string =>
  NetAddress.isUnixPathAddress(address)
    ? `ready ${schemes.path}:${address.path.replace("\0", "@")}`
    : `ready ${schemes.port}://${NetAddress.formatSocketAddress(address)}`

/** Who says so: a worker has it said for it. */
export const Announce = Context.Reference<(notes: ReadonlyArray<string>, line: string) => Effect.Effect<void>>(
  "effect-websocket/cli/ready/Announce",
  { defaultValue: () => print }
)

/** The one line that says that connections are taken, and where. */
export const printReady = Effect.gen(function* () {
  const { address, schemes } = yield* WebSocketServer
  const scheme = schemes[0] ?? "ws"
  const announce = yield* Announce
  yield* announce(yield* Notes, readyLine(address, { port: scheme, path: `${scheme}+unix` }))
})
