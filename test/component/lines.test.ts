/**
 * Line mode: the splitter held against a model that looks at one byte at a time, and what it makes of a connection.
 */
import { assert, describe, it } from "vitest"
import { type Line, Lines } from "../../src/component/internal/lines.ts"
import * as Frames from "../proxy/frames.ts"
import { connect, idOf, rawClient, run, serving } from "./server.ts"
import type { WSServer } from "../../src/component/WSServer.ts"

interface Message {
  readonly isText: boolean
  readonly pieces: ReadonlyArray<Uint8Array>
}

/** How many of the last bytes begin a code point that is not whole. */
const cutOff = (bytes: ReadonlyArray<number>): number => {
  for (let back = 1; back <= 3; back++) {
    const tail = Uint8Array.from(bytes.slice(-back))
    // a decoder that is told to expect more gives nothing of it
    if (tail[0]! >= 0xc0 && new TextDecoder().decode(tail, { stream: true }) === "") return back
  }
  return 0
}

/** The lines of messages, by the byte. */
const model = (messages: ReadonlyArray<Message>, limit: number): ReadonlyArray<Line> => {
  const lines: Array<Line> = []
  let line: Array<number> = []
  const end = (bytes: ReadonlyArray<number>, eol: boolean, eom: boolean) =>
    lines.push({ bytes: Uint8Array.from(bytes), eol, eom })
  const add = (byte: number, isText: boolean, eom: boolean) => {
    line.push(byte)
    if (line.length < limit) return
    const kept = isText && !eom ? cutOff(line) % line.length : 0
    end(line.slice(0, line.length - kept), false, eom)
    line = line.slice(line.length - kept)
  }
  // whether it is data is known by what comes behind it
  let hasCr = false
  for (const { isText, pieces } of messages) {
    pieces.forEach((piece, i) => {
      piece.forEach((byte, at) => {
        const eom = i === pieces.length - 1 && at === piece.length - 1
        if (byte === 10) {
          end(line, true, eom)
          line = []
        } else {
          if (hasCr) add(13, isText, false)
          if (byte !== 13) add(byte, isText, eom)
        }
        hasCr = byte === 13
      })
    })
  }
  if (hasCr) line.push(13)
  if (line.length > 0) end(line, false, false)
  return lines
}

/** The same numbers in every run. */
const random = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const alphabet = ["a", "b", "\n", "\r", "\r\n", "é", "€", "🎈"]

const cut = (bytes: Uint8Array, below: (n: number) => number): ReadonlyArray<Uint8Array> => {
  const pieces: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length;) {
    const size = 1 + below(6)
    pieces.push(bytes.subarray(at, at + size))
    at += size
  }
  return pieces
}

const someMessage = (below: (n: number) => number): Message => {
  const isText = below(3) > 0
  const text = Array.from({ length: below(25) }, () => alphabet[below(alphabet.length)]!).join("")
  const bytes = isText
    ? new TextEncoder().encode(text)
    : Uint8Array.from({ length: below(25) }, () => [10, 13, 97, 195, 255][below(5)]!)
  return { isText, pieces: cut(bytes, below) }
}

const shown = (lines: ReadonlyArray<Line>) =>
  lines.map(({ bytes, eol, eom }) => `${Buffer.from(bytes).toString("hex")}${eol ? " EOL" : ""}${eom ? " EOM" : ""}`)

describe("lines", () => {
  it("LineMode, MaxLineLength, DataIn.EOL, DataIn.EOM: any messages, cut anywhere, give the lines of the model", () => {
    for (let seed = 1; seed <= 3000; seed++) {
      const below = random(seed)
      const limit = 1 + below(12)
      // what the messages before leave must not be half a code point of text
      const messages = Array.from({ length: 1 + below(4) }, () => someMessage(below))
      const lines = new Lines()
      const found = messages.flatMap(({ isText, pieces }) =>
        pieces.flatMap((piece, i) => lines.push(piece, limit, isText, i === pieces.length - 1))
      )
      const rest = lines.flush()
      const all = rest === undefined ? found : [...found, rest]
      assert.deepStrictEqual(shown(all), shown(model(messages, limit)), `seed ${seed}, limit ${limit}`)
      assert.isUndefined(lines.flush())
    }
  })

  it("MaxLineLength, DataIn.EOL: the CR of CR LF is no data, wherever the limit falls", () => {
    for (const limit of [1, 4, 5, 6, 7]) {
      for (const size of [1, 3, 6, 7, 14]) {
        const lines = new Lines()
        const bytes = new TextEncoder().encode("12345\r\nabcd\r\n")
        let text = ""
        for (let at = 0; at < bytes.length; at += size) {
          for (const line of lines.push(bytes.subarray(at, at + size), limit, true, false)) {
            text += `${new TextDecoder().decode(line.bytes)}${line.eol ? "|" : ""}`
          }
        }
        assert.strictEqual(text, "12345|abcd|", `${limit} ${size}`)
      }
    }
  })

  it("MaxLineLength: a limit that became smaller than what is held ends that line", () => {
    const lines = new Lines()
    assert.deepStrictEqual(lines.push(Buffer.from("abcdef"), 100, true, false), [])
    assert.deepStrictEqual(shown(lines.push(Buffer.from("g\n"), 3, true, true)), ["616263646566", "67 EOL EOM"])
  })
})

/** Reads every connection by lines. */
const byLines = (server: WSServer) => server.on("Connected", (e) => server.changeLineMode(e.connectionId, true))

describe("ChangeLineMode", () => {
  it("ChangeLineMode, LineMode, DataIn.EOL, DataIn.DataFormat: DataIn fires for each line, ended by LF or CR LF, with format 0", async () => {
    await using it = await serving({ on: byLines })
    await using client = await connect(it.url)
    client.socket.send("one\ntwo\r\n\nfour\n")
    client.socket.send(Buffer.from("five\r\nsix\n"))
    await it.until("DataIn", 6)
    assert.deepStrictEqual(it.texts, ["one", "two", "", "four", "five", "six"])
    for (const { dataFormat, eol } of it.data) assert.deepStrictEqual([dataFormat, eol], [0, true])
    assert.deepStrictEqual(Buffer.from(it.data[4]!.textB), Buffer.from("five"))
    assert.isTrue(it.server.connections.item(idOf(it)).lineMode)
  })

  it("LineMode, DataIn.Text, DataIn.EOM: a line runs on over messages and frames, cut anywhere; EOM tells that a message ends with it", async () => {
    await using it = await serving({ on: byLines })
    await using client = await rawClient(it.port)
    const [ue, balloon] = [Buffer.from("ü"), Buffer.from("🎈")]
    const frames = [
      Frames.frame(Frames.text, "be"),
      Frames.frame(Frames.text, Buffer.concat([Buffer.from("gin "), ue.subarray(0, 1)]), { fin: false }),
      Frames.frame(Frames.continuation, Buffer.concat([ue.subarray(1), Buffer.from("\r")]), { fin: false }),
      Frames.frame(Frames.continuation, "\n", { fin: true }),
      Frames.frame(Frames.text, Buffer.concat([Buffer.from("next"), balloon.subarray(0, 3)]), { fin: false }),
      Frames.frame(Frames.continuation, Buffer.concat([balloon.subarray(3), Buffer.from("\nrest")]))
    ]
    // byte by byte, each in a segment of its own if the system likes
    for (const byte of Buffer.concat(frames)) await run(client.write(Uint8Array.of(byte)))
    await it.until("DataIn", 2)
    assert.deepStrictEqual(it.of("DataIn"), ['DataIn 0 "begin ü" EOM EOL', 'DataIn 0 "next🎈" EOL'])
    await run(client.send(Frames.text, "\n"))
    await it.until("DataIn", 3)
    assert.strictEqual(it.events.at(-1), 'DataIn 0 "rest" EOM EOL')
  })

  it("LineMode: what is held of a line is given out at the end of the connection, without EOL, before Disconnected", async () => {
    await using it = await serving({ on: byLines })
    await using client = await connect(it.url)
    client.socket.send("line\nno end")
    client.socket.close(1000)
    await it.until("Disconnected")
    assert.deepStrictEqual(it.events.slice(-3), ['DataIn 0 "line" EOL', 'DataIn 0 "no end"', 'Disconnected 1000 ""'])
  })

  it("ChangeLineMode, 10022: what is neither true nor false is refused, and changes nothing", async () => {
    await using it = await serving()
    await using _ = await connect(it.url)
    await it.until("ReadyToSend")
    for (const wrong of ["false", 0, undefined]) {
      // as a caller without types gives it
      const error = await it.server
        .changeLineMode(idOf(it), wrong as unknown as boolean)
        .catch((error: unknown) => error)
      assert.propertyVal(error, "code", 10022)
    }
    assert.isFalse(it.server.connections.item(idOf(it)).lineMode)
  })

  it("ChangeLineMode: back to messages gives what is held, and then messages with their formats", async () => {
    await using it = await serving({ on: byLines })
    await using client = await connect(it.url)
    client.socket.send("line\nheld")
    await it.until("DataIn")
    const id = idOf(it)
    await it.server.changeLineMode(id, false)
    assert.isFalse(it.server.connections.item(id).lineMode)
    client.socket.send("a\nb")
    client.socket.send(Buffer.from("c\n"))
    await it.until("DataIn", 4)
    assert.deepStrictEqual(it.of("DataIn"), [
      'DataIn 0 "line" EOL',
      'DataIn 0 "held"',
      'DataIn 1 "a\\nb" EOM',
      'DataIn 2 "c\\n" EOM'
    ])
  })

  for (const kind of ["a listener", "a listener that waits"]) {
    it(`ChangeLineMode: called by ${kind}, it lets the lines of that piece come first, and what was held behind them`, async () => {
      const slow = kind.endsWith("waits")
      await using it = await serving({
        on: (server) =>
          byLines(server).on("DataIn", async (e) => {
            if (slow) await new Promise(setImmediate)
            if (e.text === "a") await server.changeLineMode(e.connectionId, false)
          })
      })
      await using client = await connect(it.url)
      client.socket.send("a\nb\nheld")
      client.socket.send("next\n")
      await it.until("DataIn 1")
      assert.deepStrictEqual(it.of("DataIn"), [
        'DataIn 0 "a" EOL',
        'DataIn 0 "b" EOL',
        'DataIn 0 "held"',
        'DataIn 1 "next\\n" EOM'
      ])
    })
  }

  it("ChangeLineMode: off and on again in one listener loses nothing and gives nothing too early", async () => {
    await using it = await serving({
      on: (server) =>
        byLines(server).on("DataIn", (e) => {
          if (e.text !== "a") return
          void server.changeLineMode(e.connectionId, false)
          server.config(`MaxLineLength[${e.connectionId}]=100`)
          void server.changeLineMode(e.connectionId, true)
        })
    })
    await using client = await connect(it.url)
    client.socket.send("a\nb\nhe")
    client.socket.send("ld\n")
    await it.until("DataIn", 3)
    assert.deepStrictEqual(it.texts, ["a", "b", "held"])
    assert.deepStrictEqual(
      it.data.map(({ eol }) => eol),
      [true, true, true]
    )
  })

  it("ChangeLineMode, PauseData, ProcessData: while it is paused nothing is given out, also by leaving line mode", async () => {
    await using it = await serving({ on: byLines })
    await using client = await connect(it.url)
    client.socket.send("line\nheld")
    await it.until("DataIn")
    const id = idOf(it)
    await it.server.pauseData(id)
    await it.server.changeLineMode(id, false)
    client.socket.send("more")
    await client.read()
    assert.deepStrictEqual(it.texts, ["line"])
    await it.server.processData(id)
    await it.until("DataIn", 3)
    assert.deepStrictEqual(it.texts, ["line", "held", "more"])
  })
})

describe("MaxLineLength", () => {
  it("MaxLineLength, DataIn.EOL: a longer line is given in parts of that many bytes, with EOL false, and text is cut between code points", async () => {
    await using it = await serving({
      on: (server) =>
        server.on("Connected", async (e) => {
          assert.strictEqual(server.config(`MaxLineLength[${e.connectionId}]`), "2048")
          assert.strictEqual(server.config(`maxlinelength[${e.connectionId}]=5`), "5")
          await server.changeLineMode(e.connectionId, true)
        })
    })
    await using client = await connect(it.url)
    client.socket.send("abcdefghijkl\nabc€€\n12345\n")
    await it.until("DataIn", 8)
    assert.deepStrictEqual(
      it.data.map(({ dataFormat, eol, text }) => [dataFormat, text, eol]),
      [
        [0, "abcde", false],
        [0, "fghij", false],
        [0, "kl", true],
        [0, "abc", false],
        [0, "€", false],
        [0, "€", true],
        [0, "12345", false],
        [0, "", true]
      ]
    )
  })

  it("112: cannot be changed while the connection reads by lines, and can be before and after", async () => {
    await using it = await serving()
    await using _ = await connect(it.url)
    await it.until("ReadyToSend")
    const id = idOf(it)
    it.server.config(`MaxLineLength[${id}]=10`)
    await it.server.changeLineMode(id, true)
    assert.throws(() => it.server.config(`MaxLineLength[${id}]=20`), "You cannot change MaxLineLength at this time.")
    try {
      it.server.config(`MaxLineLength[${id}]=20`)
    } catch (error) {
      assert.propertyVal(error, "code", 112)
    }
    assert.strictEqual(it.server.config(`MaxLineLength[${id}]`), "10")
    await it.server.changeLineMode(id, false)
    assert.strictEqual(it.server.config(`MaxLineLength[${id}]=20`), "20")
  })
})
