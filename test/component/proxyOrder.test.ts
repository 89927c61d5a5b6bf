/**
 * The events of a connection of the proxy come one after the other, each when the listeners of the one before are done, and in
 * their order; those of other connections do not wait for them.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { WebSocketProxyEvents } from "../../src/component/Events.ts"
import * as Frames from "../proxy/frames.ts"
import * as RawClient from "../proxy/rawClient.ts"
import * as Forwarding from "./forwarding.ts"

const names = ["WebSocketOpenRequest", "Connected", "DataIn", "Error", "Log", "Disconnected"] as const

describe("the order of events", { timeout: 60_000 }, () => {
  it.live(
    "WebSocketOpenRequest, Connected, DataIn, Error, Log, Disconnected: one at a time on each connection, in their order",
    () =>
      Effect.gen(function* () {
        const { listener, proxy } = yield* Forwarding.listen({ config: ["CloseTimeout=1", "LogLevel=2"] })
        const active = new Map<string, string>()
        const told = new Map<string, Array<string>>()
        const faults: Array<string> = []
        for (const name of names) {
          proxy.on(name, async (e: WebSocketProxyEvents[typeof name]) => {
            const { connectionId } = e
            if (connectionId === "") return
            if (active.has(connectionId)) faults.push(`${name} within ${active.get(connectionId)}`)
            active.set(connectionId, name)
            const lines = told.get(connectionId) ?? []
            told.set(connectionId, lines)
            lines.push(name)
            // some take longer than others
            for (let turns = lines.length % 3; turns >= 0; turns--) await new Promise(setImmediate)
            if (name === "DataIn" && lines.length % 7 === 0) {
              active.delete(connectionId)
              throw new Error("a fault now and then")
            }
            active.delete(connectionId)
          })
        }
        const one = (index: number) =>
          Effect.scoped(
            Effect.gen(function* () {
              const client = yield* RawClient.open(proxy.localPort)
              const target = yield* listener.meet(client)
              yield* client.write(
                Buffer.concat(Array.from({ length: 20 }, (_, i) => Frames.frame(Frames.binary, `message ${i}`)))
              )
              yield* target.write(Buffer.from("some of the other way"))
              if (index % 4 === 0) yield* client.reset()
              else if (index % 4 === 1) yield* target.reset()
              else if (index % 4 === 2) yield* client.send(3, "")
              else yield* client.sendClose(1000)
              yield* client.watch.until(
                "the end",
                () => client.over || client.closeCode !== undefined || client.socket.closed
              )
              yield* client.release
              yield* target.release
            })
          )
        yield* Effect.forEach(
          Array.from({ length: 60 }, (_, i) => i),
          one,
          { concurrency: 10, discard: true }
        )
        yield* Forwarding.idle(proxy, 20_000)
        assert.deepStrictEqual(faults, [])
        assert.strictEqual(told.size, 60)
        for (const lines of told.values()) {
          const events = lines.filter((name) => name !== "Log")
          assert.match(events.join(), /^WebSocketOpenRequest,Connected,((DataIn|Error),)*Disconnected$/)
        }
      })
  )

  it.live("DataIn, Connected: a listener that waits on one connection holds up no other", () =>
    Effect.gen(function* () {
      const { listener, proxy, told } = yield* Forwarding.listen()
      const release = Promise.withResolvers<void>()
      proxy.on("Connected", (e) => (e.connectionId === "1" ? release.promise : undefined))
      proxy.on("DataIn", (e) => (e.connectionId === "2" ? release.promise : undefined))
      const clients: Array<RawClient.RawClient> = []
      for (const id of ["1", "2", "3"]) {
        const client = yield* RawClient.open(proxy.localPort)
        clients.push(client)
        yield* told.until(`Connected ${id}`)
        yield* client.send(Frames.binary, id)
      }
      const targets = [yield* listener.accept, yield* listener.accept, yield* listener.accept]
      yield* targets[2]!.untilReceived(1)
      assert.deepStrictEqual(
        targets.map(({ received }) => received),
        [0, 0, 1]
      )
      release.resolve()
      for (const target of targets) yield* target.untilReceived(1)
      assert.deepStrictEqual(targets.map(({ text }) => text).toSorted(), ["1", "2", "3"])
    })
  )
})
