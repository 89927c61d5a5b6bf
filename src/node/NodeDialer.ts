/**
 * The {@link Dialer} over `node:net`: TCP to all addresses of a name in turn, IPv6 and IPv4 (RFC 8305 in what Node does of
 * it), with a deadline for the whole. Through a firewall it is the firewall that is connected to, and asked for the target.
 * With TLS the handshake is part of dialling, and a target that cannot prove to be the right one is not connected to.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import * as Net from "node:net"
import { DialError, Dialer } from "../proxy/Dialer.ts"
import { type Firewall, none } from "../proxy/Firewall.ts"
import { type AnyTarget, type Target, UnixTarget } from "../proxy/Target.ts"
import * as TlsClient from "../tls/TlsClient.ts"
import * as Through from "./internal/firewall.ts"
import * as Tls from "./internal/tls.ts"
import * as NodeSocket from "./NodeSocket.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How long connecting may take, the look-up of the name and a firewall's answer included. Default: 10 seconds. */
  readonly dialTimeout?: Duration.Input | undefined
  /** What targets are dialled through. A function is asked at each dial. Default: none. */
  readonly firewall?: Firewall | ((target: Target) => Firewall) | undefined
  /**
   * TLS to the targets. A function is asked at each dial, and may answer `undefined` for none; the same object is prepared but
   * once, so it should give the same for the same. Default: none.
   */
  readonly tls?: TlsClient.Options | ((target: Target) => TlsClient.Options | undefined) | undefined
}

const kinds: Record<string, DialError["kind"]> = {
  ECONNREFUSED: "Refused",
  ECONNRESET: "Refused",
  EHOSTUNREACH: "Unreachable",
  ENETUNREACH: "Unreachable",
  EADDRNOTAVAIL: "Unreachable",
  ENOTFOUND: "NameNotFound",
  EAI_AGAIN: "NameNotFound",
  EAI_FAIL: "NameNotFound",
  ENODATA: "NameNotFound",
  ETIMEDOUT: "TimedOut",
  EMFILE: "Exhausted",
  ENFILE: "Exhausted",
  ENOBUFS: "Exhausted",
  // a unix socket that is not there
  ENOENT: "Refused",
  EACCES: "NotAllowed",
  EPERM: "NotAllowed"
}

const endpoint = (target: AnyTarget): Net.NetConnectOpts =>
  target instanceof UnixTarget ? { path: target.path } : { host: target.host, port: target.port, noDelay: true }

/** Connects, and gives the raw socket; an interruption destroys it. */
const connect = (target: AnyTarget): Effect.Effect<Net.Socket, DialError> =>
  Effect.callback<Net.Socket, DialError>((resume) => {
    // the target's FIN must not end our side: what the client has sent is still to be delivered
    const socket = Net.connect({ ...endpoint(target), allowHalfOpen: true })
    const onError = (cause: NodeJS.ErrnoException) => {
      socket.destroy()
      resume(Effect.fail(new DialError({ target, kind: kinds[cause.code ?? ""] ?? "Failed", cause })))
    }
    socket.once("error", onError)
    socket.once("connect", () => {
      socket.off("error", onError)
      resume(Effect.succeed(socket))
    })
    return Effect.sync(() => void socket.destroy())
  })

/** Gives the client of options, which is made once for each of these objects. */
const makeClients = () => {
  const clients = new WeakMap<TlsClient.Options, ReturnType<typeof TlsClient.make>>()
  return (target: Target, options: TlsClient.Options): Effect.Effect<TlsClient.TlsClient, DialError> =>
    Effect.suspend(() => {
      let client = clients.get(options)
      if (client === undefined) clients.set(options, (client = TlsClient.make(options)))
      if (Result.isSuccess(client)) return Effect.succeed(client.success)
      const cause = client.failure
      const detail = `The options of TLS cannot be used: ${cause.message}.`
      return Effect.fail(new DialError({ target, kind: "TlsFailed", detail, cause }))
    })
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Dialer["Service"] => {
  const duration = Duration.fromInputUnsafe(options.dialTimeout ?? "10 seconds")
  const { firewall = none, tls } = options
  const firewallOf = typeof firewall === "function" ? firewall : () => firewall
  const tlsOf = typeof tls === "function" ? tls : () => tls
  const clientOf = makeClients()
  const reach = (target: Target): Effect.Effect<Net.Socket, DialError> => {
    const chosen = firewallOf(target)
    return chosen._tag === "None" ? connect(target) : Through.connect(target, chosen, Duration.toMillis(duration))
  }
  const open = (target: AnyTarget, progress: Tls.Progress): Effect.Effect<Net.Socket, DialError> => {
    // it is on this machine: nothing is in between, and nothing to prove
    if (target instanceof UnixTarget) return connect(target)
    const asked = tlsOf(target)
    if (asked === undefined) return reach(target)
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        // what cannot be used is said before anybody is connected to
        const client = yield* clientOf(target, asked)
        const connection = yield* restore(reach(target))
        return yield* Effect.onError(restore(Tls.secure(target, connection, client, progress)), () =>
          Effect.sync(() => void connection.destroy())
        )
      })
    )
  }
  return {
    dial: (target): Effect.Effect<Socket.Socket, DialError, Scope.Scope> =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const scope = yield* Effect.scope
          const progress: Tls.Progress = { late: undefined }
          const socket = yield* restore(
            Effect.timeoutOrElse(open(target, progress), {
              duration,
              orElse: () => Effect.fail(new DialError({ target, kind: "TimedOut", detail: progress.late }))
            })
          )
          // until a reader is acquired nobody else would destroy it
          yield* Scope.addFinalizer(
            scope,
            Effect.sync(() => {
              if (!socket.writableEnded) socket.destroy()
            })
          )
          return NodeSocket.fromDuplex(socket)
        })
      )
  }
}

/**
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Dialer> => Layer.succeed(Dialer)(make(options))
