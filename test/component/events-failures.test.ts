/**
 * Listeners that fail: the Error event tells of them with code 500, and nothing else comes of it but where a decision was asked
 * for.
 */
import { assert, describe, it } from "vitest"
import type { WSServer } from "../../src/component/WSServer.ts"
import { connect, eventually, rawRequest, refused, run, serving } from "./server.ts"

const fails = (how: string) => {
  const error = new Error("the listener's own")
  return how === "throws"
    ? () => {
        throw error
      }
    : () => Promise.reject(error)
}

/** Collects the warnings of the process while something runs. */
const warned = async (run: (warnings: ReadonlyArray<Error>) => Promise<void>): Promise<void> => {
  const warnings: Array<Error> = []
  const collect = (warning: Error) => void warnings.push(warning)
  const printers = process.listeners("warning")
  process.removeAllListeners("warning").on("warning", collect)
  try {
    await run(warnings)
  } finally {
    process.off("warning", collect)
    for (const printer of printers) process.on("warning", printer)
  }
}

describe("a listener that fails", () => {
  for (const how of ["throws", "rejects"]) {
    for (const name of ["Connected", "ReadyToSend", "DataIn", "Ping", "Disconnected"] as const) {
      it(`500, ${name}, Error.ErrorCode, Error.Description, Error.ConnectionId: of ${name} that ${how} is told by Error, right behind it, and the connection lives`, async () => {
        const errors: Array<unknown> = []
        await using it = await serving({
          on: (server) =>
            server.on(name, fails(how)).on("Error", (e) => {
              errors.push([e.connectionId, e.errorCode, e.description])
              it.watch.changed()
            })
        })
        await using client = await connect(it.url)
        const id = [...it.server.connections.keys()][0]!
        client.socket.send("one")
        client.socket.ping("two")
        client.socket.send("three")
        client.socket.close(1000)
        await it.until("Disconnected")
        await run(it.watch.until("an error", () => errors.length > 0))
        const expected = [
          "ConnectionRequest",
          "WebSocketOpenRequest",
          "Connected",
          "ReadyToSend",
          'DataIn 1 "one" EOM',
          'Ping "two"',
          'DataIn 1 "three" EOM',
          'Disconnected 1000 ""'
        ].flatMap((event) => (event.startsWith(name) ? [event, "Error 500"] : [event]))
        assert.deepStrictEqual(it.events, expected)
        assert.deepStrictEqual(errors[0], [id, 500, `An event listener failed. ${name}: Error: the listener's own`])
      })
    }

    it(`500, WebSocketOpenRequest, WebSocketOpenRequest.StatusCode: a listener that ${how} refuses the client with 500`, async () => {
      await using it = await serving({ on: (server) => server.on("WebSocketOpenRequest", fails(how)) })
      assert.strictEqual((await refused(it.url)).status, 500)
      assert.deepStrictEqual(it.events, ["ConnectionRequest", "WebSocketOpenRequest", "Error 500"])
      await it.left(0)
    })

    it(`500, ConnectionRequest, ConnectionRequest.Accept: a listener that ${how} refuses the client, and tells of no connection`, async () => {
      const ids: Array<string> = []
      await using it = await serving({
        on: (server) => server.on("ConnectionRequest", fails(how)).on("Error", (e) => ids.push(e.connectionId))
      })
      await using client = await rawRequest(it.port)
      await run(client.watch.until("the end", () => client.over))
      assert.strictEqual(client.answer, "")
      assert.deepStrictEqual(it.events, ["ConnectionRequest", "Error 500"])
      assert.deepStrictEqual(ids, [""])
    })

    it(`500, DataIn: one that ${how} keeps no other from being called`, async () => {
      const called: Array<string> = []
      await using it = await serving({
        on: (server) =>
          server
            .on("DataIn", fails(how))
            .on("DataIn", () => called.push("second"))
            .on("DataIn", fails(how))
            .on("DataIn", () => called.push("fourth"))
      })
      await using client = await connect(it.url)
      client.socket.send("x")
      await it.until("Error", 2)
      assert.deepStrictEqual(called, ["second", "fourth"])
    })

    it(`500, Error: without a listener of Error, one that ${how} is a warning of the process and throws nowhere`, () =>
      warned(async (warnings) => {
        await using it = await serving({ record: ["Disconnected"], on: (server) => server.on("DataIn", fails(how)) })
        await using client = await connect(it.url)
        client.socket.send("x")
        client.socket.close()
        await it.until("Disconnected")
        await eventually("a warning", () => warnings.length === 1)
        assert.propertyVal(warnings[0], "code", 500)
        assert.include(warnings[0]!.message, "the listener's own")
      }))

    it(`500, Error: a listener of Error that ${how} is not told of itself`, () =>
      warned(async (warnings) => {
        let calls = 0
        const counted = (server: WSServer) => {
          const fail = fails(how)
          server.on("DataIn", fail).on("Error", () => {
            calls++
            return fail()
          })
        }
        await using it = await serving({ record: ["Disconnected"], on: counted })
        await using client = await connect(it.url)
        client.socket.send("x")
        client.socket.close()
        await it.until("Disconnected")
        await eventually("a warning", () => warnings.length === 1)
        assert.strictEqual(calls, 1)
      }))
  }

  it("Error, Disconnect, DataIn: a listener of Error may disconnect, and what came meanwhile is not given out", async () => {
    await using it = await serving({
      on: (server) =>
        server.on("DataIn", fails("throws")).on("Error", async (e) => {
          await new Promise(setImmediate)
          await server.disconnect(e.connectionId)
        })
    })
    await using client = await connect(it.url)
    for (const text of ["one", "two", "three"]) client.socket.send(text)
    await client.closed
    await it.until("Disconnected")
    assert.deepStrictEqual(it.of("DataIn", "Error", "Disconnected"), [
      'DataIn 1 "one" EOM',
      "Error 500",
      'Disconnected 1000 "Normal closure"'
    ])
  })

  it("Error, PauseData, DataIn, Ping: a listener of Error may pause, and nothing is given out until ProcessData", async () => {
    let isPaused = false
    await using it = await serving({
      on: (server) =>
        server
          .once("DataIn", fails("throws"))
          .on("Ping", () => assert.isFalse(isPaused))
          .on("Error", async (e) => {
            await new Promise(setImmediate)
            await server.pauseData(e.connectionId)
            isPaused = true
          })
    })
    await using client = await connect(it.url)
    client.socket.send("one")
    client.socket.ping("two")
    client.socket.send("three")
    await eventually("a pause", () => isPaused)
    for (let i = 0; i < 5; i++) await new Promise(setImmediate)
    assert.deepStrictEqual(it.of("DataIn", "Ping"), ['DataIn 1 "one" EOM'])
    isPaused = false
    await it.server.processData([...it.server.connections.keys()][0]!)
    await it.until("DataIn", 2)
    assert.deepStrictEqual(it.of("DataIn", "Ping"), ['DataIn 1 "one" EOM', 'Ping "two"', 'DataIn 1 "three" EOM'])
  })

  const oddities: ReadonlyArray<readonly [string, unknown]> = [
    ["undefined", undefined],
    ["a symbol", Symbol("odd")],
    ["an object without a prototype", Object.create(null)],
    [
      "an object that cannot be written as text",
      {
        toString() {
          throw new Error("no")
        }
      }
    ]
  ]
  for (const [what, thrown] of oddities) {
    it(`500, Error: what it throws may be ${what}`, async () => {
      await using it = await serving({
        on: (server) =>
          server.on("DataIn", () => {
            throw thrown
          })
      })
      await using client = await connect(it.url)
      client.socket.send("x")
      client.socket.send("y")
      await it.until("Error 500", 2)
      assert.deepStrictEqual(it.of("DataIn", "Error", "Disconnected"), [
        'DataIn 1 "x" EOM',
        "Error 500",
        'DataIn 1 "y" EOM',
        "Error 500"
      ])
    })
  }
})

describe("Error", () => {
  it("Error: without a listener, what a client does wrong throws nowhere and warns of nothing", () =>
    warned(async (warnings) => {
      await using it = await serving({ record: ["Disconnected"] })
      await using violating = await rawRequest(it.port)
      await run(violating.until("open"))
      await run(violating.write(Uint8Array.of(0xff, 0xff)))
      await using resetting = await rawRequest(it.port)
      await run(resetting.until("open"))
      await run(resetting.reset())
      await it.until("Disconnected", 2)
      assert.deepStrictEqual(warnings, [])
    }))
})
