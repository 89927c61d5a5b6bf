/**
 * `--web`: the files of a folder on the same port, such as the page that opens the WebSockets. `files.ts` serves them, and is loaded
 * if it is given.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as NodeHttpAccess from "../node/NodeHttpAccess.ts"
import * as NodeWebSocketServer from "../node/NodeWebSocketServer.ts"
import type { ListenError } from "../server/UpgradeListener.ts"
import type { WebSocketServer } from "../server/WebSocketServer.ts"
import type { UsageError } from "./Address.ts"
import { optional } from "./typed.ts"

/** The flags of a command that serves files, too. */
export const server = {
  web: optional("web", "DIR", "Serve the files of this folder on the same port; its listing and dotfiles are not shown")
}

/** What was typed for them. */
export interface WebFlags {
  readonly web: Option.Option<string>
}

/** The server, with the files if they were asked for, and who may have them, if not everyone. */
export const layer = (
  { web }: WebFlags,
  options: NodeWebSocketServer.Options,
  guard: NodeHttpAccess.Options | undefined
): Layer.Layer<WebSocketServer, ListenError | UsageError> =>
  Option.match(web, {
    onNone: () => NodeWebSocketServer.layer(options),
    onSome: (root) =>
      Layer.unwrap(
        Effect.map(
          Effect.promise(() => import("./files.ts")),
          (files) => files.layer(options, root, guard)
        )
      )
  })
