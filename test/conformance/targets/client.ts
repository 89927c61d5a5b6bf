/**
 * An echo client written with the Effect API, in the process of the tests, in the place of a server: a relay between the suite and it is
 * a server to both, and passes on what they send with nothing but the masking changed. So the suite's frames reach the client as a
 * server's, and an illegal one stays illegal: an unmasked frame to a server is a masked one to a client (RFC 6455 section 5.1).
 *
 * For each connection of the suite there is one of a client, which compresses as the suite asks it of a server. A FIN and a reset are
 * passed on, too; of itself the relay only ends the connection to the client once a Close frame has passed in each direction, as a
 * server does (RFC 6455 section 7.1.1).
 */
import * as assert from "node:assert/strict"
import { once } from "node:events"
import * as net from "node:net"
import { Effect, ManagedRuntime, Option } from "effect"
import { Extension, PerMessageDeflate, WebSocket, WebSocketClient } from "../../../src/index.ts"
import { NodeWebSocketClient } from "../../../src/node/index.ts"
import type { Omission, Target } from "../suite.ts"
import { agree } from "../wire/deflate.ts"
import { accepting, type Opening, openingOf } from "../wire/opening.ts"
import { Remask } from "../wire/remask.ts"

const MiB = 1024 * 1024

/** How a connection ends is the suite's to judge: all that it fails with is that there never was one. */
const echo = (url: string, compression: PerMessageDeflate.Policy | false) =>
  WebSocketClient.connect(url, { compression }).pipe(
    Effect.flatMap((socket) => WebSocket.runForEachArray(socket, (messages) => socket.sendAll(messages))),
    Effect.scoped,
    Effect.catchTag("WebSocketError", () => Effect.void)
  )

interface Compression {
  /** What the client under test asks for. */
  readonly policy: PerMessageDeflate.Policy | false
  /** The value of Sec-WebSocket-Extensions in the answer to the suite, and in the answer to the client. */
  readonly answers?: { readonly suite: string; readonly client: string }
}

const POLICY: PerMessageDeflate.Policy = { contextTakeover: true, threshold: 16 }

/**
 * The suite is a client to the relay, and a server to the client under test: what is the client's in one handshake is the server's in the
 * other. The client asks what it can ask of a server; how it is to compress itself it learns from the answer.
 */
const compressionFor = (offer: string | undefined): Compression => {
  if (offer === undefined) return { policy: false }
  const offers = Option.getOrElse(Extension.parse(offer), () => [])
  const accepted = Option.getOrUndefined(PerMessageDeflate.accept(offers, POLICY))
  if (accepted === undefined) return { policy: POLICY }
  const { agreement, response } = accepted
  const policy = {
    ...POLICY,
    contextTakeover: !agreement.clientNoContextTakeover || !agreement.serverNoContextTakeover,
    // a policy has no window of 8 bits, but an answer may
    serverMaxWindowBits: Math.max(agreement.clientMaxWindowBits, 9)
  }
  const client = [
    PerMessageDeflate.name,
    ...(agreement.clientNoContextTakeover ? ["server_no_context_takeover"] : []),
    ...(agreement.serverNoContextTakeover ? ["client_no_context_takeover"] : []),
    ...(agreement.clientMaxWindowBits < 15 ? [`server_max_window_bits=${agreement.clientMaxWindowBits}`] : []),
    ...(agreement.serverMaxWindowBits < 15 ? [`client_max_window_bits=${agreement.serverMaxWindowBits}`] : [])
  ]
  return { policy, answers: { suite: response, client: client.join("; ") } }
}

/** Passes on the frames that come from one side, and how it ends. */
const pass = (from: net.Socket, to: net.Socket, remask: Remask, passed: () => void): void => {
  from.on("data", (chunk: Buffer) => {
    if (!to.writable) return
    if (!to.write(remask.push(chunk))) {
      from.pause()
      to.once("drain", () => from.resume())
    }
    passed()
  })
  from.on("end", () => to.end())
  from.on("error", () => to.resetAndDestroy())
  // it may have waited for room
  to.on("close", () => from.resume())
}

/** Answers both, and passes on what they send. */
const join = (
  suite: net.Socket,
  asked: Opening,
  client: net.Socket,
  opening: Opening,
  answers?: Compression["answers"]
) => {
  // it throws unless the client has offered what it is answered
  if (answers !== undefined) agree(opening.offer ?? "", answers.client)
  assert.equal(opening.rest.length, 0, "the client sends before the handshake is done")
  const toClient = new Remask()
  const toSuite = new Remask()
  suite.write(accepting(asked, answers?.suite))
  // what came in one packet with the head goes on in one
  client.write(Buffer.concat([accepting(opening, answers?.client), toClient.push(asked.rest)]))
  const passed = (): void => {
    if (toClient.hasClosed && toSuite.hasClosed) client.end()
  }
  pass(suite, client, toClient, passed)
  pass(client, suite, toSuite, passed)
  suite.resume()
  client.resume()
}

interface Listener {
  readonly port: number
  readonly stop: () => Promise<void>
}

const listen = async (onConnection: (socket: net.Socket) => Promise<void>): Promise<Listener> => {
  const sockets = new Set<net.Socket>()
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    socket.on("close", () => sockets.delete(socket))
    onConnection(socket).catch((error: unknown) => {
      // for whoever reads why the case has failed
      if (socket.writable) socket.end(`HTTP/1.1 500 ${String(error)}\r\nContent-Length: 0\r\n\r\n`)
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("unreachable: it listens on a port")
  return {
    port: address.port,
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, "close")
    }
  }
}

export const startClient = async (): Promise<Target> => {
  const runtime = ManagedRuntime.make(NodeWebSocketClient.layer({ maxMessageSize: 64 * MiB, maxFragments: 1_000_000 }))
  const stopping = new AbortController()
  const running = new Set<Promise<void>>()
  const broken: Array<unknown> = []
  /** Who waits for a client, by the request target that it is given. */
  const waiting = new Map<string, (client: net.Socket, opening: Opening) => void>()
  let count = 0

  const clients = await listen(async (client) => {
    const opening = await openingOf(client)
    const meet = waiting.get(opening.target)
    assert.ok(meet !== undefined, `nobody waits for a client at ${opening.target}`)
    meet(client, opening)
  })

  /** Has a new client connect. */
  const clientFor = (policy: Compression["policy"]): Promise<[client: net.Socket, opening: Opening]> =>
    new Promise((resolve, reject) => {
      const target = `/${++count}`
      waiting.set(target, (client, opening) => resolve([client, opening]))
      const url = `ws://127.0.0.1:${clients.port}${target}`
      const ran = runtime.runPromise(echo(url, policy), { signal: stopping.signal }).catch((error: unknown) => {
        if (!stopping.signal.aborted) broken.push(error)
        reject(error)
      })
      running.add(ran)
      void ran.finally(() => {
        running.delete(ran)
        waiting.delete(target)
      })
    })

  const suites = await listen(async (suite) => {
    const asked = await openingOf(suite)
    const { answers, policy } = compressionFor(asked.offer)
    const [client, opening] = await clientFor(policy)
    join(suite, asked, client, opening, answers)
  })

  return {
    host: "127.0.0.1",
    port: suites.port,
    stop: async () => {
      stopping.abort()
      await suites.stop()
      await clients.stop()
      await Promise.all(running)
      await runtime.dispose()
      assert.deepEqual(broken, [], "a client broke")
    }
  }
}

export const clientOmissions: ReadonlyArray<Omission> = [
  {
    ids: ["0.1.*", "0.2.*", "0.3.*", "0.4.*", "0.5.*", "0.6.1", "0.6.2", "0.6.3"],
    reason: "a request is read and answered by a server"
  },
  { ids: ["13.21.*", "13.24.*", "13.25.*"], reason: "an offer is declined or refused by a server" },
  {
    ids: ["8.2.1", "8.2.2", "8.2.3", "8.2.4", "8.2.5", "8.2.6", "8.2.7"],
    reason: "the suite's masking keys end at the relay"
  }
]
