/**
 * Firewalls that do what a test says: a TCP service that is asked step by step, in bytes that are written out here, and the
 * dialler that asks it.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import type * as Http from "node:http"
import * as Net from "node:net"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import type { DialError } from "../../src/proxy/Dialer.ts"
import * as Firewall from "../../src/proxy/Firewall.ts"
import { Target } from "../../src/proxy/Target.ts"
import * as RawTarget from "./rawTarget.ts"
import { pass } from "./watch.ts"

/** What the firewall is asked, and what it answers. */
export interface Step {
  readonly ask: Buffer
  readonly answer: Buffer
}

export interface Kind {
  readonly name: string
  readonly at: (port: number) => Firewall.Firewall
  /** How it is asked for `target`, and grants it. */
  readonly steps: ReadonlyArray<Step>
}

const host = "127.0.0.1"
/** What every kind is asked for; nobody dials it. */
export const target = new Target({ host: "192.0.2.7", port: 5900 })
const address = [192, 0, 2, 7]
const port = [5900 >> 8, 5900 & 255]

const bytes = (...parts: ReadonlyArray<number | string | ReadonlyArray<number>>): Buffer =>
  Buffer.concat(parts.map((part) => Buffer.from(typeof part === "number" ? [part] : (part as string))))

export const user = "ann"
/** No message may have this. */
export const secret = "open-sesame-7f3a"
const password = Redacted.make(secret)

export const connectRequest = (authority: string, headers = ""): string =>
  `CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n${headers}\r\n`
const basic = `proxy-authorization: Basic ${Buffer.from(`${user}:${secret}`).toString("base64")}\r\n`
export const established = "HTTP/1.1 200 OK\r\n\r\n"

const granted5 = bytes(5, 0, 0, 1, [10, 0, 0, 1], [4, 210])

export const tunnel: Kind = {
  name: "a tunnel",
  at: (port) => new Firewall.Tunnel({ host, port }),
  steps: [{ ask: bytes(connectRequest("192.0.2.7:5900")), answer: bytes(established) }]
}
export const tunnelWithUser: Kind = {
  name: "a tunnel with a user",
  at: (port) => new Firewall.Tunnel({ host, port, user, password }),
  steps: [{ ask: bytes(connectRequest("192.0.2.7:5900", basic)), answer: bytes(established) }]
}
export const tunnelWithInterim: Kind = {
  name: "a tunnel with interim answers",
  at: tunnel.at,
  steps: [
    {
      ask: bytes(connectRequest("192.0.2.7:5900")),
      answer: bytes(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${established}`)
    }
  ]
}
export const socks4: Kind = {
  name: "SOCKS4",
  at: (port) => new Firewall.Socks4({ host, port }),
  steps: [{ ask: bytes(4, 1, port, address, 0), answer: bytes(0, 90, 0, 0, 0, 0, 0, 0) }]
}
export const socks4WithUser: Kind = {
  name: "SOCKS4 with a user",
  at: (port) => new Firewall.Socks4({ host, port, user }),
  steps: [{ ask: bytes(4, 1, port, address, user, 0), answer: bytes(0, 90, port, address) }]
}
export const socks4a: Kind = {
  name: "SOCKS4a",
  at: (port) => new Firewall.Socks4a({ host, port, user }),
  steps: [{ ask: bytes(4, 1, port, address, user, 0), answer: bytes(0, 90, 0, 0, 0, 0, 0, 0) }]
}
export const socks5: Kind = {
  name: "SOCKS5",
  at: (port) => new Firewall.Socks5({ host, port }),
  steps: [
    { ask: bytes(5, 1, 0), answer: bytes(5, 0) },
    { ask: bytes(5, 1, 0, 1, address, port), answer: granted5 }
  ]
}
export const socks5WithUser: Kind = {
  name: "SOCKS5 with a user",
  at: (port) => new Firewall.Socks5({ host, port, user, password }),
  steps: [
    { ask: bytes(5, 2, 0, 2), answer: bytes(5, 2) },
    { ask: bytes(1, 3, user, secret.length, secret), answer: bytes(1, 0) },
    // the answer with a name in place of an address
    { ask: bytes(5, 1, 0, 1, address, port), answer: bytes(5, 0, 0, 3, 2, "fw", [4, 210]) }
  ]
}

export const kinds: ReadonlyArray<Kind> = [
  tunnel,
  tunnelWithUser,
  tunnelWithInterim,
  socks4,
  socks4WithUser,
  socks4a,
  socks5,
  socks5WithUser
]

/** A firewall that is in order and stands before another, which is at the same address and plays its part over the connection. */
export interface Before {
  readonly name: string
  readonly at: (port: number) => Firewall.Firewall
  readonly steps: (next: number) => ReadonlyArray<Step>
}

export const tunnelBefore: Before = {
  name: "a tunnel",
  at: tunnelWithUser.at,
  steps: (next) => [{ ask: bytes(connectRequest(`${host}:${next}`, basic)), answer: bytes(established) }]
}
export const socks5Before: Before = {
  name: "SOCKS5",
  at: socks5.at,
  steps: (next) => [
    { ask: bytes(5, 1, 0), answer: bytes(5, 0) },
    { ask: bytes(5, 1, 0, 1, [127, 0, 0, 1], [next >> 8, next & 255]), answer: granted5 }
  ]
}
export const socks4Before: Before = {
  name: "SOCKS4",
  at: socks4.at,
  steps: (next) => [
    { ask: bytes(4, 1, [next >> 8, next & 255], [127, 0, 0, 1], 0), answer: bytes(0, 90, 0, 0, 0, 0, 0, 0) }
  ]
}

interface Dialling extends Omit<NodeDialer.Options, "firewall"> {
  readonly target?: Target
  /** What stands before it, the first the nearest. */
  readonly before?: ReadonlyArray<Before> | undefined
}

/** Dials through a firewall of this kind, which accepts and has said nothing yet. */
export const dialling = Effect.fnUntraced(function* (
  kind: Pick<Kind, "at">,
  { before = [], ...options }: Dialling = {}
): Effect.fn.Return<
  {
    readonly dialled: Fiber.Fiber<Socket.Socket, DialError>
    readonly firewall: RawTarget.TargetConnection
    readonly listener: RawTarget.RawTarget
  },
  never,
  Scope.Scope
> {
  const listener = yield* RawTarget.listen()
  const { port } = listener
  const { dial } = NodeDialer.make({ ...options, firewall: [...before, kind].map(({ at }) => at(port)) })
  const dialled = yield* Effect.forkChild(dial(options.target ?? target), { startImmediately: true })
  const firewall = yield* listener.accept
  for (const { steps } of before) {
    yield* play(firewall, steps(port))
    firewall.forget()
  }
  // the last one is asked only then
  if (before.length > 0) yield* firewall.untilReceived(1)
  return { dialled, firewall, listener }
})

export interface Manner {
  /** Each byte in a packet of its own. */
  readonly slowly?: boolean
  /** What comes in one packet with the last answer. */
  readonly behind?: string
}

/** Plays the firewall's part, and holds what it is asked against the script. */
export const play = Effect.fnUntraced(function* (
  firewall: RawTarget.TargetConnection,
  steps: ReadonlyArray<Step>,
  { behind = "", slowly = false }: Manner = {}
) {
  let asked = 0
  for (const [index, { answer, ask }] of steps.entries()) {
    asked += ask.length
    yield* firewall.untilReceived(asked)
    assert.deepStrictEqual(firewall.bytes.subarray(asked - ask.length), ask)
    const all = index === steps.length - 1 ? Buffer.concat([answer, Buffer.from(behind)]) : answer
    if (!slowly) yield* firewall.write(all)
    else
      for (const byte of all) {
        yield* firewall.write(Uint8Array.of(byte))
        yield* pass(2)
      }
  }
  return asked
})

/** The sockets of this process. */
export const sockets = (): number =>
  process.getActiveResourcesInfo().filter((type) => type.startsWith("TCPSocket")).length

/** Reads until there is this much, or the end. */
export const read = Effect.fnUntraced(function* (reader: Socket.Reader, length: number) {
  let text = ""
  while (text.length < length) {
    const chunks = yield* Effect.orElseSucceed(reader.pull, () => undefined)
    if (chunks === undefined) return `${text}<end>`
    for (const chunk of chunks) text += Buffer.from(chunk as Uint8Array).toString()
  }
  return text
})

/** A firewall that connects to whatever it is asked for: HTTP, or HTTPS. */
export const connectProxy = (server: Http.Server) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly port: number; readonly asked: Array<string>; readonly close: () => void }>((resume) => {
      const asked: Array<string> = []
      const held = new Set<{ destroy(): unknown }>()
      server.on("connect", (request, socket, head) => {
        asked.push(request.url ?? "")
        const [host = "", port = "0"] = (request.url ?? "").split(":")
        const upstream = Net.connect({ host, port: Number(port), allowHalfOpen: true }, () => {
          socket.write("HTTP/1.1 200 OK\r\n\r\n")
          upstream.write(head)
          upstream.pipe(socket)
          socket.pipe(upstream)
        })
        for (const one of [upstream, socket]) {
          held.add(one)
          one.on("error", () => {})
        }
      })
      server.listen({ host: "127.0.0.1", port: 0 }, () => {
        // a TCP server's address is one of IP
        const { port } = server.address() as Net.AddressInfo
        const close = () => {
          server.close()
          for (const one of held) one.destroy()
        }
        resume(Effect.succeed({ port, asked, close }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )
