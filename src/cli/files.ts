/**
 * The files of `--web`, on the port of the WebSockets.
 */
import { identity } from "effect/Function"
import type { HttpServer } from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as NodeHttpAccess from "../node/NodeHttpAccess.ts"
import * as NodeStaticFiles from "../node/NodeStaticFiles.ts"
import * as NodeWebSocketServer from "../node/NodeWebSocketServer.ts"
import type { ListenError } from "../server/UpgradeListener.ts"
import type { WebSocketServer } from "../server/WebSocketServer.ts"
import type { UsageError } from "./Address.ts"
import { usage } from "./typed.ts"

/** A server that has the files of a folder, too, and who may have them, if not everyone. */
export const layer = (
  options: NodeWebSocketServer.Options,
  root: string,
  guard: NodeHttpAccess.Options | undefined
): Layer.Layer<WebSocketServer | HttpServer, ListenError | UsageError> =>
  NodeStaticFiles.layer({ root }).pipe(
    guard === undefined ? identity : Layer.provide(NodeHttpAccess.layer(guard)),
    Layer.catch(() =>
      Layer.effectDiscard(usage(`--web expects a folder that can be read; got ${JSON.stringify(root)}`))
    ),
    Layer.provideMerge(NodeWebSocketServer.layerHttp(options))
  )
