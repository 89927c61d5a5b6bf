/**
 * `--web`: the files of a folder on the same port, such as the page that opens the WebSockets.
 */
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as NodeHttpAccess from "../node/NodeHttpAccess.ts"
import * as NodeStaticFiles from "../node/NodeStaticFiles.ts"
import { optional, usage } from "./typed.ts"

/** The flags of a command that serves files, too. */
export const server = {
  web: optional("web", "DIR", "Serve the files of this folder on the same port; its listing and dotfiles are not shown")
}

/** What was typed for them. */
export interface WebFlags {
  readonly web: Option.Option<string>
}

/** The files, if they were asked for, and who may have them, if not everyone. */
export const layer = ({ web }: WebFlags, guard: NodeHttpAccess.Options | undefined) =>
  Option.match(web, {
    onNone: () => Layer.empty,
    onSome: (root) =>
      NodeStaticFiles.layer({ root }).pipe(
        guard === undefined ? identity : Layer.provide(NodeHttpAccess.layer(guard)),
        Layer.catch(() =>
          Layer.effectDiscard(usage(`--web expects a folder that can be read; got ${JSON.stringify(root)}`))
        )
      )
  })
