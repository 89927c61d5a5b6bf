/**
 * The header of the PROXY protocol, read off a socket before anything else is. What came behind it is put back.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Net from "node:net"
import * as Telemetry from "../../connection/Telemetry.ts"
import * as ProxyProtocol from "../../protocol/ProxyProtocol.ts"
import * as AccessList from "../../server/AccessList.ts"
import type { Accepting } from "../NodeProxyProtocol.ts"
import { inTime } from "./inTime.ts"
import type { TcpPeer } from "./peer.ts"

/** There is no header, and there should be one. */
class NoHeader extends Data.TaggedError("NoHeader")<{ readonly kind: string; readonly message: string }> {}

/** A connection that ended before a byte came, such as a health check's. */
const untouched = new NoHeader({ kind: "Unused", message: "it ended before its first byte" })
const gone = new NoHeader({ kind: "Gone", message: "it ended within its PROXY protocol header" })

const read = (
  socket: Net.Socket,
  { maxHeaderSize: maxSize, mode = "required" }: Accepting
): Effect.Effect<ProxyProtocol.Header | undefined, NoHeader> =>
  Effect.callback((resume) => {
    const decoder = new ProxyProtocol.Decoder({ maxSize })
    // a connection that is destroyed takes the fiber with it
    const leave = () => void socket.off("data", onData).off("end", onEnd)
    const onEnd = () => {
      leave()
      resume(Effect.fail(decoder.received.length === 0 ? untouched : gone))
    }
    const onData = (chunk: Buffer) => {
      const outcome = decoder.push(chunk)
      if (outcome._tag === "NeedMore") return
      leave()
      socket.pause()
      const isNone = outcome._tag === "Malformed" && outcome.error.kind === "NotProxyProtocol"
      if (outcome._tag === "Malformed" && !(isNone && mode === "optional")) {
        return resume(Effect.fail(new NoHeader({ kind: outcome.error.kind, message: outcome.error.message })))
      }
      const rest = outcome._tag === "Header" ? decoder.received.subarray(outcome.size) : decoder.received
      if (rest.length > 0) socket.unshift(rest)
      resume(Effect.succeed(outcome._tag === "Header" ? outcome.header : undefined))
    }
    socket.on("data", onData).on("end", onEnd)
    return Effect.sync(leave)
  })

/**
 * Reads the header, if the address is trusted, and gives the peer the client's addresses; the socket is paused then. Says whether
 * the connection goes on.
 */
export const believe = (
  socket: Net.Socket,
  peer: TcpPeer,
  accepting: Accepting,
  timeout: number
): Effect.Effect<boolean> => {
  if (!AccessList.matches(accepting.trusted, peer.remoteAddress)) return Effect.succeed(true)
  const tooSlow = () =>
    new NoHeader({
      kind: "Timeout",
      message: `its PROXY protocol header was not there within ${timeout / 1000} seconds`
    })
  return inTime(read(socket, accepting), timeout, tooSlow).pipe(
    Effect.matchEffect({
      onSuccess: (header) => {
        if (header !== undefined) peer.become(header)
        return Effect.as(Metric.update(Telemetry.proxyHeaders, header?._tag ?? "None"), true)
      },
      onFailure: (error) => {
        const said = `A connection from ${peer.remoteAddress} was closed: ${error.message}`
        const told = error === untouched ? Effect.logDebug(said) : Effect.logWarning(said)
        return Effect.as(Effect.andThen(told, Metric.update(Telemetry.proxyHeaders, error.kind)), false)
      }
    })
  )
}
