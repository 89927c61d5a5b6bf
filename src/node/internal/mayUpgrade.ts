/**
 * Which requests that ask for an upgrade get it: `node:http` answers the others as the requests that they also are. Before Node 22.21
 * and 24.9 it does not ask, and has all of them upgrade. But it looks what the request itself says, which is the decision there.
 */
import * as NodeHttp from "node:http"

type Decision = (request: NodeHttp.IncomingMessage) => boolean

const isAsked = "shouldUpgradeCallback" in new NodeHttp.Server()

abstract class Deciding extends NodeHttp.IncomingMessage {
  private decided: boolean | undefined

  /** It is read first when the head has come, and again with every piece of a body: by then the decision might be another. */
  get upgrade(): boolean {
    this.decided ??= this.method === "CONNECT" || this.decide()
    return this.decided
  }

  /** What the parser has found: llhttp 9.3, of Node 22.19, misses some that have white space behind a header. */
  set upgrade(_found: boolean | null) {}

  protected abstract decide(): boolean
}

const deciding = (decision: Decision): typeof NodeHttp.IncomingMessage =>
  class extends Deciding {
    protected decide(): boolean {
      return decision(this)
    }
  }

/** The option of a server. */
export const mayUpgrade = (decision: Decision): NodeHttp.ServerOptions =>
  isAsked ? { shouldUpgradeCallback: decision } : { IncomingMessage: deciding(decision) }
