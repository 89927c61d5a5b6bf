/**
 * How a peer is told its endpoints and how it tells that it is up: `HOST:PORT` arguments (port 0 is the system's choice)
 * and one line `ready SCHEME://HOST:PORT` with the real port. The scheme tells the load generator what to speak.
 */
import type { AddressInfo } from "node:net"

export const endpoint = (argument = "127.0.0.1:0"): { readonly host: string; readonly port: number } => {
  const at = argument.lastIndexOf(":")
  return { host: argument.slice(0, at), port: Number(argument.slice(at + 1)) }
}

export const announce = (scheme: "ws" | "tcp", address: AddressInfo | string | null): void => {
  if (address === null || typeof address === "string") throw new Error("expected to listen on a TCP port")
  console.log(`ready ${scheme}://${address.address}:${address.port}`)
}
