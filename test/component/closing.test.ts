/**
 * Disconnected: how a connection ended, by its StatusCode and Description, and what Error tells before.
 */
import { assert, describe, it, vi } from "vitest"
import * as Frames from "../proxy/frames.ts"
import { connect, idOf, type Raw, rawClient, run, serving } from "./server.ts"

const lost = "The connection ended without a Close frame."

interface Ending {
  readonly what: string
  readonly end: (client: Raw) => Promise<unknown>
  readonly code: number
  readonly description: string | RegExp
  /** What Error tells. */
  readonly error?: number
  /** The Close frame that the client is sent. */
  readonly answer?: number
}

const endings: ReadonlyArray<Ending> = [
  {
    what: "a Close frame with 1000 and a reason",
    end: (client) => run(client.sendClose(1000, "done für heute")),
    code: 1000,
    description: "done für heute",
    answer: 1000
  },
  {
    what: "a Close frame with an application's code",
    end: (client) => run(client.sendClose(4321, "ours")),
    code: 4321,
    description: "ours",
    answer: 4321
  },
  {
    what: "a Close frame with 1001",
    end: (client) => run(client.sendClose(1001)),
    code: 1001,
    description: "",
    answer: 1001
  },
  {
    what: "a Close frame without a status",
    end: (client) => run(client.sendClose()),
    code: 1005,
    description: "",
    answer: 1005
  },
  { what: "the end of TCP without a Close frame", end: (client) => run(client.end()), code: 1006, description: lost },
  {
    what: "a reset of TCP",
    end: (client) => run(client.reset()),
    code: 1006,
    description: lost,
    error: 10054
  },
  {
    what: "the end of TCP in the midst of a frame",
    end: async (client) => {
      await run(client.write(Frames.frame(Frames.text, "never whole").subarray(0, 9)))
      await run(client.end())
    },
    code: 1006,
    description: lost
  },
  {
    what: "a frame that is not masked",
    end: (client) => run(client.send(Frames.text, "x", { mask: null })),
    code: 1002,
    description: /mask/,
    error: 10053,
    answer: 1002
  },
  {
    what: "an opcode that there is not",
    end: (client) => run(client.send(3, "x")),
    code: 1002,
    description: /opcode/,
    error: 10053,
    answer: 1002
  },
  {
    what: "a Close frame with a code that may not be sent",
    end: (client) => run(client.sendClose(1006)),
    code: 1002,
    description: /1006/,
    error: 10053,
    answer: 1002
  },
  {
    what: "text that is not UTF-8",
    end: (client) => run(client.send(Frames.text, Uint8Array.of(65, 0xc3, 0x28))),
    code: 1007,
    description: /UTF-8/,
    error: 10053,
    answer: 1007
  },
  {
    what: "text that ends in the midst of a code point",
    end: async (client) => {
      await run(client.send(Frames.text, Uint8Array.of(65, 0xe2, 0x82), { fin: false }))
      await run(client.send(Frames.continuation, ""))
    },
    code: 1007,
    description: /UTF-8/,
    error: 10053,
    answer: 1007
  }
]

/** Opens a connection, has it end, and looks at what is told. */
const check = async ({ answer, code, description, end, error }: Ending): Promise<void> => {
  const told: Array<unknown> = []
  const errors: Array<string> = []
  await using it = await serving({
    on: (server) =>
      server
        .on("Disconnected", (e) => told.push(e.connectionId, e.statusCode, e.description))
        .on("Error", (e) => errors.push(e.description))
  })
  await using client = await rawClient(it.port)
  await it.until("ReadyToSend")
  const id = idOf(it)
  await end(client)
  await it.until("Disconnected")
  assert.deepStrictEqual(told.slice(0, 2), [id, code])
  if (typeof description === "string") assert.strictEqual(told[2], description)
  else assert.match(String(told[2]), description)
  assert.deepStrictEqual(it.of("Error"), error === undefined ? [] : [`Error ${error}`])
  if (error !== undefined)
    assert.match(errors[0]!, error === 10054 ? /^\[10054\] Connection reset by peer\./ : /^\[10053\]/)
  if (answer !== undefined) {
    await run(client.watch.until("a Close frame", () => client.closeCode !== undefined))
    assert.strictEqual(client.closeCode, answer)
  }
  await it.left(0)
}

describe("Disconnected", () => {
  for (const ending of endings.filter(({ error }) => error === undefined)) {
    it(`Disconnected.ConnectionId, Disconnected.StatusCode, Disconnected.Description: after ${ending.what} it is ${ending.code}, and no error`, () =>
      check(ending))
  }
  for (const ending of endings.filter(({ error }) => error === 10053)) {
    it(`10053, Error.ErrorCode, Error.Description, Disconnected.StatusCode, Disconnected.Description: after ${ending.what} it is ${ending.code}`, () =>
      check(ending))
  }
  for (const ending of endings.filter(({ error }) => error === 10054)) {
    it(`10054, Error.ErrorCode, Error.Description, Disconnected.StatusCode: after ${ending.what} it is ${ending.code}`, () =>
      check(ending))
  }

  it("DataIn, Error, Disconnected: what came before a violation is given out before it", async () => {
    await using it = await serving()
    await using client = await rawClient(it.port)
    await run(
      client.write(
        Buffer.concat([
          Frames.frame(Frames.text, "good"),
          Frames.frame(Frames.ping, "ping"),
          Frames.frame(Frames.text, "bad", { rsv: 7 }),
          Frames.frame(Frames.text, "void")
        ])
      )
    )
    await it.until("Disconnected")
    assert.deepStrictEqual(
      it.of("DataIn", "Ping", "Error", "Disconnected").map((event) => event.split(" ").slice(0, 2).join(" ")),
      ["DataIn 1", 'Ping "ping"', "Error 10053", "Disconnected 1002"]
    )
  })

  it("Disconnected.StatusCode: a listener that is slow when the client is reset is waited for, and the reset is told as what it was", async () => {
    const go = Promise.withResolvers<void>()
    await using it = await serving({
      on: (server) => server.on("DataIn", (e) => (e.text === "one" ? go.promise : undefined))
    })
    await using client = await rawClient(it.port)
    await run(client.write(Buffer.concat(["one", "two", "three"].map((text) => Frames.frame(Frames.text, text)))))
    await it.until("DataIn")
    // it reads one chunk ahead: with that comes the news of the reset
    await run(client.reset())
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.deepStrictEqual(it.events.at(-1), 'DataIn 1 "one" EOM')
    go.resolve()
    await it.until("Disconnected")
    assert.deepStrictEqual(it.of("DataIn", "Error", "Disconnected"), [
      'DataIn 1 "one" EOM',
      'DataIn 1 "two" EOM',
      'DataIn 1 "three" EOM',
      "Error 10054",
      "Disconnected 1006 (43)"
    ])
  })

  it("Disconnected.StatusCode, Error.ErrorCode, 10060: a client that does not answer a ping of PingInterval is given up", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date"] })
    const hrtime = vi.spyOn(process.hrtime, "bigint").mockImplementation(() => BigInt(Date.now()) * 1_000_000n)
    try {
      await using it = await serving({ config: ["PingInterval=5"] })
      await using mute = await rawClient(it.port, { pongs: false })
      await using alive = await connect(it.url)
      const id = [...it.server.connections.keys()][0]
      for (let i = 0; i < 40 && it.of("Disconnected").length === 0; i++) {
        await vi.advanceTimersByTimeAsync(1000)
        // the pings and their answers pass through the system
        for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
      }
      assert.isTrue(mute.has("ping"))
      assert.deepStrictEqual(it.byId.get(id!)!.slice(-2), ["Error 10060", "Disconnected 1006 (43)"])
      assert.strictEqual(it.of("Disconnected").length, 1)
      assert.strictEqual(alive.socket.readyState, alive.socket.OPEN)
    } finally {
      hrtime.mockRestore()
      vi.useRealTimers()
    }
  })
})
