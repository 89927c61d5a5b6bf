/**
 * BufferMessage: whole messages, how large they may be, and what becomes of those that are larger.
 */
import { assert, describe, it } from "vitest"
import * as Frames from "../proxy/frames.ts"
import { connect, rawClient, run, serving } from "./server.ts"

describe("BufferMessage", () => {
  it("BufferMessage, DataIn.DataFormat, DataIn.EOM: DataIn fires once for a message, of the kind that its first frame says", async () => {
    await using it = await serving({ config: ["BufferMessage=True", "InBufferSize=10"] })
    await using client = await rawClient(it.port)
    const balloon = Buffer.from("🎈")
    await run(client.send(Frames.text, "a", { fin: false }))
    await run(client.send(Frames.continuation, balloon.subarray(0, 1), { fin: false }))
    await run(client.send(Frames.ping, "between"))
    await run(client.send(Frames.continuation, "", { fin: false }))
    await run(client.send(Frames.continuation, balloon.subarray(1)))
    await run(client.send(Frames.binary, "one, ", { fin: false }))
    await run(client.send(Frames.continuation, "two, ", { fin: false }))
    await run(client.send(Frames.continuation, "three"))
    await run(client.send(Frames.text, "", { fin: false }))
    await run(client.send(Frames.continuation, ""))
    await run(client.send(Frames.binary, "in one frame, larger than InBufferSize"))
    await it.until("DataIn", 4)
    assert.deepStrictEqual(it.of("DataIn", "Ping"), [
      'Ping "between"',
      'DataIn 1 "a🎈" EOM',
      'DataIn 2 "one, two, three" EOM',
      'DataIn 1 "" EOM',
      'DataIn 2 "in one frame, larger than InBufferSize" EOM'
    ])
    assert.deepStrictEqual(Buffer.from(it.data[0]!.textB), Buffer.from("a🎈"))
  })

  it("BufferMessage: may be changed while clients are connected, from the next message on", async () => {
    await using it = await serving()
    await using client = await rawClient(it.port)
    await run(client.send(Frames.text, "a", { fin: false }))
    await it.until("DataIn", 1)
    it.server.config("BufferMessage=True")
    await run(client.send(Frames.continuation, "b", { fin: false }))
    await it.until("DataIn", 2)
    await run(client.send(Frames.continuation, "c"))
    await run(client.send(Frames.text, "d", { fin: false }))
    await run(client.send(Frames.ping, "until here"))
    await it.until("Ping")
    it.server.config("BufferMessage=False")
    await run(client.send(Frames.continuation, "e"))
    await run(client.send(Frames.text, "f", { fin: false }))
    await run(client.send(Frames.continuation, "g"))
    await it.until("DataIn", 6)
    assert.deepStrictEqual(it.of("DataIn"), [
      'DataIn 1 "a"',
      'DataIn 0 "b"',
      'DataIn 0 "c" EOM',
      'DataIn 1 "de" EOM',
      'DataIn 1 "f"',
      'DataIn 0 "g" EOM'
    ])
  })

  const limit = 5000
  const larger: Readonly<Record<string, Buffer>> = {
    "in one frame": Frames.frame(Frames.binary, Buffer.alloc(limit + 1)),
    "in fragments": Buffer.concat([
      Frames.frame(Frames.text, "a".repeat(limit), { fin: false }),
      Frames.frame(Frames.continuation, "b")
    ]),
    "announced, and not sent": Frames.header(Frames.binary, 2 ** 40)
  }
  for (const [how, bytes] of Object.entries(larger)) {
    it(`BufferMessage, 10040, Disconnected.StatusCode: a message ${how} that is larger than MaxMessageSize is answered with Close 1009, and Error tells why`, async () => {
      const descriptions: Array<string> = []
      await using it = await serving({
        config: ["BufferMessage=True", `MaxMessageSize=${limit}`],
        on: (server) => server.on("Error", (e) => descriptions.push(e.description))
      })
      await using client = await rawClient(it.port)
      await run(client.send(Frames.binary, Buffer.alloc(limit, 1)))
      await run(client.write(bytes))
      await run(client.until("close 1009"))
      await it.until("Disconnected")
      assert.deepStrictEqual(
        it.of("DataIn", "Error", "Disconnected").map((event) => event.split(" ").slice(0, 2).join(" ")),
        ["DataIn 2", "Error 10040", "Disconnected 1009"]
      )
      assert.strictEqual(it.data[0]!.textB.length, limit)
      assert.match(descriptions[0]!, /^\[10040\] Message is too long\..*5000/)
    })
  }

  it("BufferMessage: without it a message may be larger than MaxMessageSize, since nothing is held of it", async () => {
    await using it = await serving({ config: ["MaxMessageSize=1000", "InBufferSize=1000"] })
    await using client = await connect(it.url)
    const bytes = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => i % 251))
    client.socket.send(bytes)
    await it.watch.until("the end of the message", () => it.data.at(-1)?.eom === true).pipe(run)
    assert.isTrue(it.bytes.equals(bytes))
    assert.deepStrictEqual(it.of("Error", "Disconnected"), [])
  })

  it("BufferMessage, EnablePermessageDeflate: a compressed message that inflates beyond MaxMessageSize is answered with Close 1009", async () => {
    for (const setting of ["True", "False"]) {
      await using it = await serving({ config: [`BufferMessage=${setting}`, "MaxMessageSize=10000"] })
      await using client = await connect(it.url, { perMessageDeflate: { threshold: 0 } })
      client.socket.send("fits".repeat(2500))
      client.socket.send("too long".repeat(10_000))
      assert.strictEqual((await client.closed)[0], 1009)
      await it.until("Disconnected 1009")
      assert.deepStrictEqual(it.of("DataIn", "Error"), ["DataIn 1 (10000) EOM", "Error 10040"])
    }
  })
})
