/**
 * Load balancers in the hands of a test: TCP sockets from an address of choice (all of 127.0.0.0/8 is this machine's), which say
 * before the client's bytes what the test wants them to say.
 */
import { Effect, Result, type Scope } from "effect"
import { NetAddress } from "effect/net"
import { once } from "node:events"
import * as Net from "node:net"
import * as ProxyProtocol from "../../src/protocol/ProxyProtocol.ts"
import * as AccessList from "../../src/server/AccessList.ts"
import type { OpenRequest } from "../../src/server/OpenRequest.ts"
import type { Ends } from "../../src/server/UpgradeListener.ts"
import { upgradeRequest, Wire } from "./wire.ts"

export const list = (text: string): AccessList.AccessList => Result.getOrThrow(AccessList.parse(text))

/** The address that the tests trust, and one that they do not. */
export const balancer = "127.0.0.1"
export const stranger = "127.0.0.2"
export const trusted = list(balancer)

/** Connects from an address of this machine. */
export const connectFrom = (localAddress: string, port: number): Effect.Effect<Net.Socket, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const socket = Net.connect({ host: "127.0.0.1", port, localAddress, allowHalfOpen: true, noDelay: true })
      await once(socket, "connect")
      socket.on("error", () => {})
      return socket
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** The same, and writes bytes. */
export const wireFrom = Effect.fnUntraced(function* (
  localAddress: string,
  port: number,
  ...chunks: ReadonlyArray<string | Uint8Array>
) {
  const wire = new Wire(yield* connectFrom(localAddress, port))
  for (const chunk of chunks) wire.write(chunk)
  return wire
})

/** The status of the answer to an upgrade behind these bytes. */
export const statusBehind = (
  port: number,
  header: string | Uint8Array,
  headers: Readonly<Record<string, string>> = {},
  from = balancer
) =>
  Effect.flatMap(wireFrom(from, port, header, upgradeRequest(headers)), (wire) =>
    Effect.map(wire.response, ({ status }) => status)
  )

export const inet = NetAddress.inetAddressFromStringUnsafe

export const header = (
  source: string,
  tlvs: ProxyProtocol.Tlvs = ProxyProtocol.noTlvs,
  destination = source.startsWith("[") ? "[2001:db8::ffff]:443" : "203.0.113.1:443"
): Uint8Array =>
  Result.getOrThrow(
    ProxyProtocol.toBytes(
      {
        _tag: "Inet",
        version: 2,
        transport: "stream",
        source: inet(source),
        destination: inet(destination),
        tlvs
      },
      { checksum: true }
    )
  )

/** The line of version 1. */
export const line = (source: string, port: number): string => {
  const [family, destination] = source.includes(":") ? ["TCP6", "2001:db8::ffff"] : ["TCP4", "203.0.113.1"]
  return `PROXY ${family} ${source} ${destination} ${port} 443\r\n`
}

const ends = ({ localAddress, localPort, remoteAddress, remotePort }: Ends): Ends => ({
  remoteAddress,
  remotePort,
  localAddress,
  localPort
})

/** What the application sees of whose request it is. */
export const seen = ({ peer, proxied, remoteAddress }: OpenRequest) => ({
  remoteAddress,
  peer: peer === undefined ? undefined : ends(peer),
  proxied
})
