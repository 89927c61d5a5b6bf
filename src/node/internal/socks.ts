/**
 * Asking a SOCKS firewall for a connection, by the `socks` package. It is fed its answer byte by byte, so that it never holds
 * what comes behind it; and what the firewall answered is read here again, for the package does not look at all of it and
 * has names and not sentences for refusals.
 */
import * as Redacted from "effect/Redacted"
import { SocksClient, type SocksClientOptions } from "socks"
import type * as Firewall from "../../proxy/Firewall.ts"
import type { Negotiation, Refused } from "./negotiation.ts"

type Socks = Firewall.Socks4 | Firewall.Socks4a | Firewall.Socks5

/** The package's timer holds the socket until it fires, and cannot be cleared. */
const maxPatience = 60 * 60 * 1000

const replies4: Record<number, string> = {
  91: "rejected the request, or failed to connect",
  92: "rejected the request: it found no identd on this machine",
  93: "rejected the request: identd on this machine names another user"
}

/** RFC 1928 section 6. */
const replies5: Record<number, string> = {
  1: "reports a general failure",
  2: "does not allow this connection",
  3: "reports that the network is unreachable",
  4: "reports that the host is unreachable",
  5: "reports that the target refused the connection",
  6: "reports that the TTL has expired",
  7: "does not support connecting",
  8: "does not support addresses of this type"
}

const reply = (sentences: Record<number, string>, code: number): Refused => ({
  said: `${sentences[code] ?? "refused the connection for a reason that has no name"} (reply ${code})`,
  another: true
})

/** What is wrong with an answer of SOCKS 4, as far as it has come. */
const fault4 = (answer: ReadonlyArray<number>): Refused | undefined => {
  const [version = 0, code = 90] = answer
  if (version !== 0) return { said: `does not speak SOCKS4: its answer begins with byte ${version}` }
  return code === 90 ? undefined : reply(replies4, code)
}

/** The same of SOCKS 5: the method, RFC 1928 section 3, its own answer, RFC 1929, and the reply, RFC 1928 section 6. */
const fault5 = (answer: ReadonlyArray<number>, credentials: boolean): Refused | undefined => {
  const [version = 5, method = 0] = answer
  if (version !== 5) return { said: `does not speak SOCKS5: its answer begins with byte ${version}` }
  if (method === 2 && !credentials) return { said: "asks for a user and a password" }
  if (method === 255)
    return {
      said: credentials
        ? "accepts neither a user and a password nor none"
        : "does not accept connections without authentication"
    }
  if (method !== 0 && method !== 2) return { said: `wants to authenticate in a way that was not offered (${method})` }
  if (method === 2 && (answer[3] ?? 0) !== 0) return { said: "refused the user or the password" }
  const [again = 5, code = 0, , type = 1] = answer.slice(method === 2 ? 4 : 2)
  if (again !== 5) return { said: `does not speak SOCKS5: its reply begins with byte ${again}` }
  if (code !== 0) return reply(replies5, code)
  return type === 1 || type === 3 || type === 4
    ? undefined
    : { said: `replied with an address of no known type (${type})` }
}

const optionsOf = ({ destination, firewall, patience }: Negotiation<Socks>): SocksClientOptions => {
  const password = firewall._tag === "Socks5" && firewall.password !== undefined ? firewall.password : undefined
  return {
    command: "connect",
    destination: { host: destination.host, port: destination.port },
    proxy: {
      host: firewall.host,
      port: firewall.port,
      type: firewall._tag === "Socks5" ? 5 : 4,
      ...(firewall.user === undefined ? {} : { userId: firewall.user }),
      ...(password === undefined ? {} : { password: Redacted.value(password) })
    },
    // a timer that knows of no stalls: who dials has another
    timeout: Math.min(2 * patience, maxPatience)
  }
}

export const negotiate = (negotiation: Negotiation<Socks>): void => {
  const { firewall, socket } = negotiation
  const answer: Array<number> = []
  let over = false
  const fault = () =>
    firewall._tag === "Socks5"
      ? fault5(answer, Boolean(firewall.user) || firewall.password !== undefined)
      : fault4(answer)
  const listen = () => {
    // a listener of `readable` keeps the package's own of `data` from setting the stream flowing
    while (!over && socket.read(1) !== null);
  }
  const heard = (byte: Buffer) => void answer.push(byte[0]!)
  const finish = (refused: Refused | undefined) => {
    if (over) return
    over = true
    socket.off("readable", listen).off("data", heard)
    if (refused === undefined) negotiation.granted()
    else negotiation.refused(refused)
  }
  // options that a Firewall and a Destination allow do not throw, here or later
  const client = new SocksClient(optionsOf(negotiation))
  socket.on("readable", listen).on("data", heard)
  client.connect(socket)
  // the package's own would set the stream flowing, whoever has it by then
  client.removeAllListeners("established")
  client.once("established", () => finish(fault()))
  // its error carries the password
  client.once("error", ({ message }) =>
    finish(
      fault() ?? { said: "gave no answer of SOCKS", cause: new Error(message), timedOut: message.includes("timed out") }
    )
  )
}
