/**
 * Firewalls one behind the other: each is asked for the next in its own words, and the last for the target, over one connection.
 * Whatever the last may do wrong it may do behind others.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Socket from "effect/socket/Socket"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import * as Firewall from "../../src/proxy/Firewall.ts"
import { Target } from "../../src/proxy/Target.ts"
import { soon } from "./connected.ts"
import {
  type Before,
  dialling,
  kinds,
  play,
  socks4Before,
  socks5,
  socks5Before,
  sockets,
  target,
  tunnel,
  tunnelBefore
} from "./firewall.ts"
import { answering, refusals } from "./firewallRefusals.ts"
import * as RawTarget from "./rawTarget.ts"
import { names } from "./resolving.ts"
import { eventually } from "./watch.ts"

const read = Effect.fnUntraced(function* (socket: Socket.Socket, length: number) {
  const reader = yield* socket.reader
  let text = ""
  while (text.length < length) {
    for (const chunk of yield* reader.pull) text += Buffer.from(chunk as Uint8Array).toString()
  }
  return text
})

const chains: ReadonlyArray<readonly [string, ReadonlyArray<Before>]> = [
  ["a tunnel", [tunnelBefore]],
  ["SOCKS5", [socks5Before]],
  ["SOCKS4", [socks4Before]],
  ["SOCKS5 and a tunnel", [socks5Before, tunnelBefore]],
  ["a tunnel, SOCKS4 and SOCKS5", [tunnelBefore, socks4Before, socks5Before]],
  ["two tunnels", [tunnelBefore, tunnelBefore]]
]

describe.each(chains)("behind %s", { timeout: 30_000 }, (_, before) => {
  it.live.each(kinds.map((kind) => [kind.name, kind] as const))("%s is asked, and loses no byte", ([, kind]) =>
    Effect.gen(function* () {
      const { dialled, firewall } = yield* dialling(kind, { before })
      const asked = yield* play(firewall, kind.steps, { slowly: true, behind: "hello" })
      const socket = yield* Fiber.join(dialled)
      assert.strictEqual(yield* read(socket, 5), "hello")
      yield* Effect.scoped(Effect.flatMap(socket.writer, (writer) => writer.write("question")))
      yield* firewall.until("end", soon)
      assert.strictEqual(firewall.bytes.subarray(asked).toString(), "question")
    }).pipe(Effect.scoped)
  )
})

describe("behind a tunnel that is in order", () => refusals([tunnelBefore]))
describe("behind SOCKS5 that is in order", () => refusals([socks5Before]))

describe("a chain", { timeout: 30_000 }, () => {
  it.live("says which of them refused, and on the way to which", () =>
    Effect.gen(function* () {
      const before = sockets()
      yield* Effect.gen(function* () {
        const listener = yield* RawTarget.listen()
        const { port } = listener
        const firewall = [tunnel.at(port), new Firewall.Socks5({ host: "192.0.2.9" }), socks5.at(port)]
        const dialled = yield* Effect.forkChild(NodeDialer.make({ firewall }).dial(target), { startImmediately: true })
        const first = yield* listener.accept
        yield* answering("HTTP/1.1 502 No Route\r\n\r\n")(first)
        const error = yield* Effect.flip(Fiber.join(dialled))
        assert.strictEqual(error.kind, "FirewallFailed")
        assert.strictEqual(
          error.message,
          `cannot connect to ${target}: On the way to the SOCKS5 firewall 127.0.0.1:${port}: On the way to the SOCKS5 firewall 192.0.2.9:1080: The tunnel firewall 127.0.0.1:${port} refused the connection: 502 No Route.`
        )
        yield* first.watch.until("the end", () => first.over, soon)
      }).pipe(Effect.scoped)
      yield* eventually("the sockets to be gone", () => sockets() <= before)
    })
  )

  it.live("of which one refuses another is not asked again for the target's other addresses", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const { dns } = names({ "db.example": ["192.0.2.7", "192.0.2.8"] })
      const firewall = [socks5.at(listener.port), new Firewall.Socks5({ host: "192.0.2.9" })]
      const { dial } = NodeDialer.make({ dns, firewall })
      const dialled = yield* Effect.forkChild(dial(new Target({ host: "db.example", port: 5900 })), {
        startImmediately: true
      })
      yield* answering([5, 0], [5, 5, 0, 1, 0, 0, 0, 0, 0, 0])(yield* listener.accept)
      const error = yield* Effect.flip(Fiber.join(dialled))
      assert.include(error.message, "On the way to the SOCKS5 firewall 192.0.2.9:1080: The SOCKS5 firewall 127.0.0.1:")
      assert.lengthOf(listener.connections, 1)
    }).pipe(Effect.scoped)
  )

  it.live("looks up the name of the next as the one before wants it", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const { port } = listener
      const { asked, dns } = names({ "here.example": ["127.0.0.1"], "next.example": ["127.0.0.1"] })
      const firewall = [
        new Firewall.Socks5({ host: "here.example", port }),
        new Firewall.Tunnel({ host: "next.example", port })
      ]
      const dialled = yield* Effect.forkChild(NodeDialer.make({ dns, firewall }).dial(target), {
        startImmediately: true
      })
      const connection = yield* listener.accept
      yield* play(connection, socks5Before.steps(port))
      connection.forget()
      yield* play(connection, tunnel.steps)
      yield* Fiber.join(dialled)
      // what is to be asked for is known before anybody is
      assert.deepStrictEqual(asked, ["next.example", "here.example"])
    }).pipe(Effect.scoped)
  )

  it.live("says that the name of the next was not found", () =>
    Effect.gen(function* () {
      const { dns } = names({})
      const firewall = [socks5.at(9), new Firewall.Tunnel({ host: "next.example" })]
      const error = yield* Effect.flip(Effect.scoped(NodeDialer.make({ dns, firewall }).dial(target)))
      assert.strictEqual(error.kind, "FirewallFailed")
      assert.include(error.message, "The tunnel firewall next.example:80 has a name that was not found.")
    })
  )

  it.live("of none is none, and of nine is too long", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      yield* NodeDialer.make({ firewall: [] }).dial(listener.target)
      yield* NodeDialer.make({ firewall: [Firewall.none, Firewall.none] }).dial(listener.target)
      const firewall = Array.from({ length: 9 }, () => socks5.at(listener.port))
      const error = yield* Effect.flip(Effect.scoped(NodeDialer.make({ firewall }).dial(target)))
      assert.match(error.message, /There are 9 firewalls on the way, and no more than 8 can be\.$/)
    }).pipe(Effect.scoped)
  )

  it.live("of eight is as good as one, and warns of nothing", () =>
    Effect.gen(function* () {
      const warnings: Array<string> = []
      const onWarning = (warning: Error) => void warnings.push(warning.message)
      process.on("warning", onWarning)
      const before = Array.from({ length: 7 }, (_, index) => (index % 2 === 0 ? socks5Before : tunnelBefore))
      const { dialled, firewall } = yield* dialling(tunnel, { before })
      yield* play(firewall, tunnel.steps, { behind: "hello" })
      assert.strictEqual(yield* read(yield* Fiber.join(dialled), 5), "hello")
      process.off("warning", onWarning)
      assert.deepStrictEqual(warnings, [])
    }).pipe(Effect.scoped)
  )

  it.live("is let go when nobody waits any more, whoever is being asked", () =>
    Effect.gen(function* () {
      const open = sockets()
      for (const length of [0, 1, 2]) {
        yield* Effect.gen(function* () {
          const { dialled, firewall } = yield* dialling(socks5, {
            before: [tunnelBefore, socks5Before].slice(0, length)
          })
          yield* firewall.untilReceived(1)
          yield* Fiber.interrupt(dialled)
          yield* firewall.watch.until("the end", () => firewall.over, soon)
        }).pipe(Effect.scoped)
      }
      yield* eventually("the sockets to be gone", () => sockets() <= open)
    })
  )
})
