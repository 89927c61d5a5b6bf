/**
 * How a peer is told its endpoints and how it tells that it is up: `HOST:PORT` arguments (port 0 is the system's choice),
 * `--cert=FILE` behind them for a certificate with its key, which means TLS; and one line `ready SCHEME://HOST:PORT` with the real port. The scheme tells the load generator what to speak.
 */
import { readFileSync } from "node:fs"
import type { AddressInfo } from "node:net"

const option = (name: string): string | undefined =>
  process.argv.find((argument) => argument.startsWith(`--${name}=`))?.slice(name.length + 3)

/** Whether messages are compressed in the context of those before them, which `--compression=takeover` asks for. */
export const hasContextTakeover = (): boolean => option("compression") === "takeover"

/** The certificate and key to speak TLS with, if TLS is to be spoken. */
export const identity = (): { readonly cert: Buffer; readonly key: Buffer } | undefined => {
  const file = option("cert")
  if (file === undefined) return undefined
  const pem = readFileSync(file)
  return { cert: pem, key: pem }
}

export const endpoint = (argument = "127.0.0.1:0"): { readonly host: string; readonly port: number } => {
  const at = argument.lastIndexOf(":")
  return { host: argument.slice(0, at), port: Number(argument.slice(at + 1)) }
}

export const announce = (scheme: "ws" | "wss" | "tcp" | "tls", address: AddressInfo | string | null): void => {
  if (address === null || typeof address === "string") throw new Error("expected to listen on a TCP port")
  console.log(`ready ${scheme}://${address.address}:${address.port}`)
}
