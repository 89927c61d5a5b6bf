/** A connection of the proxy: its forward host, and how the bytes of that become messages. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { Outgoing } from "../../connection/internal/outbound.ts"
import type { Piece } from "../../protocol/MessageEvent.ts"
import { WebSocketError } from "../../connection/WebSocketError.ts"
import type { DialError } from "../../proxy/Dialer.ts"
import { readHost, Target } from "../../proxy/Target.ts"
import type { Observer, PipeOptions } from "../../proxy/WebSocketProxy.ts"
import { ComponentError, fromUnknown, invalid } from "../ComponentError.ts"
import type { Code } from "../ErrorCode.ts"
import type { WebSocketProxyEvents } from "../Events.ts"
import { WebSocketProxyConnection } from "../WebSocketProxyConnection.ts"
import { DataIn } from "./dataIn.ts"
import { Link } from "./link.ts"
import { Gathered } from "./gathered.ts"
import { fragments, Segments } from "./segments.ts"
import { isPlainEnd, reportEnd } from "./visiting.ts"

export class ProxyLink extends Link<WebSocketProxyEvents> {
  readonly view = new WebSocketProxyConnection(this)
  forwardHost = ""
  forwardPort = 0
  private readonly segments = new Segments()
  /** The forward host, as it was asked for. */
  target(): Target {
    const { forwardHost, forwardPort } = this
    if (forwardPort === 0) throw new ComponentError(116)
    if (forwardHost === "" || forwardHost === "0.0.0.0") throw new ComponentError(102)
    // behind a star it is the firewall's to look up
    if (typeof forwardHost !== "string" || Result.isFailure(readHost(forwardHost.replace(/^\*/, "")))) {
      throw invalid("ForwardHost", "a host name or an address", forwardHost)
    }
    if (!Number.isInteger(forwardPort) || forwardPort < 0 || forwardPort > 65535) {
      throw invalid("ForwardPort", "a port from 1 to 65535", forwardPort)
    }
    return new Target({ host: forwardHost, port: forwardPort })
  }

  get pipe(): PipeOptions {
    return {
      observer: this.observer,
      segment: (bytes) => this.segment(bytes),
      onFailure: (error) => (error instanceof WebSocketError ? reportEnd(this, error) : this.targetFailed(error))
    }
  }

  private targetFailed(cause: unknown): void {
    if (isPlainEnd(cause)) return
    const detail = `The connection to ${this.forwardHost}:${this.forwardPort} failed.`
    this.host.report(this, new ComponentError(fromUnknown(cause, 10053).code, { detail, cause }), 10053)
  }

  /** Shows what the client sends to DataIn, if anybody listens. */
  private get observer(): Observer {
    const { emitter, store } = this.host
    return {
      isWatching: () => emitter.has("DataIn"),
      gathering: new Gathered(store),
      onPiece: (piece) => this.show(piece)
    }
  }

  private show({ first, isText, last, payload, text }: Piece): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (this.isClosing) return resume(Effect.void)
      const format = first ? (isText ? 1 : 2) : 0
      const given = this.emit("DataIn", () => new DataIn(this.connectionId, format, payload, text, last, false))
      const done = () => resume(Effect.void)
      // a listener may wait for the end of the connection, and that for what comes
      if (typeof given === "boolean" || this.isClosing) return done()
      this.release = done
      void given.finally(done)
    })
  }

  /** Cuts what the forward host sends, where it must be cut. */
  private segment(bytes: Uint8Array): NonEmptyReadonlyArray<Outgoing> | undefined {
    const size = this.host.store.get("MaxFrameSize")
    const { segments } = this
    // MessageLength is of what does not wait, but a message that has begun must end
    if (segments.remaining === 0 || (this.timeout > 0 && !segments.isWithin)) {
      if (bytes.length <= size) return undefined
      // of at least one piece
      const cut = this.timeout > 0 ? fragments(bytes, false, size) : segments.of(bytes, false, size)
      return cut as unknown as NonEmptyReadonlyArray<Outgoing>
    }
    // what goes beyond the message is the next
    const within = Math.min(bytes.length, segments.remaining)
    const pieces = segments.of(bytes.subarray(0, within), false, size)
    for (const piece of pieces) segments.sent(piece)
    const rest = within < bytes.length ? segments.of(bytes.subarray(within), false, size) : []
    return [...pieces, ...rest] as unknown as NonEmptyReadonlyArray<Outgoing>
  }

  override get landed(): Effect.Effect<void> {
    return Effect.void
  }

  readSetting(name: string): unknown {
    return name === "MessageLength" ? this.segments.remaining : ""
  }

  writeSetting(name: string, value: unknown): void {
    // of the kind that its setting has checked
    if (name === "MessageLength") this.segments.begin(value as number)
  }
}

const codes: Readonly<Record<DialError["kind"], Code>> = {
  Refused: 10061,
  Unreachable: 10065,
  NameNotFound: 11001,
  TimedOut: 10060,
  NotAllowed: 10013,
  Exhausted: 10024,
  FirewallFailed: 118,
  TlsFailed: 276,
  Failed: 10061
}

/** The failure to reach a forward host, by its documented code. */
export const unreachable = (error: DialError): ComponentError =>
  error.kind === "FirewallFailed"
    ? new ComponentError(118, { detail: error.message, cause: error })
    : fromUnknown(error, codes[error.kind])
