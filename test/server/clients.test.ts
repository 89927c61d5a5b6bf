import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { text } from "node:stream/consumers"
import WS from "ws"
import { lacking } from "../installed.ts"
import { serving, echo } from "./serving.ts"

const message = "Grüße 🎈 ".repeat(2000)
const bytes = new Uint8Array(randomBytes(200_000))

/** What any client is asked to do: texts, bytes, an empty message, then a close with a code. */
const client = { message, bytes, code: 3210, reason: "done" }

const options = { subprotocols: ["echo"], compression: { contextTakeover: true, threshold: 0 } } as const

describe("Node's own WebSocket", () => {
  it.live("echoes, agrees on a subprotocol and compression, and closes cleanly", () =>
    Effect.gen(function* () {
      const { url } = yield* serving(echo, options)
      const socket = yield* Effect.acquireRelease(
        Effect.sync(() => new WebSocket(url, ["echo", "other"])),
        (socket) => Effect.sync(() => socket.close())
      )
      socket.binaryType = "arraybuffer"
      const got: Array<string | ArrayBuffer> = []
      const info = yield* Effect.promise(async () => {
        socket.addEventListener("message", ({ data }) => {
          got.push(data)
          if (got.length === 3) socket.close(client.code, client.reason)
        })
        await once(socket, "open")
        socket.send(client.message)
        socket.send(client.bytes)
        socket.send("")
        const [event] = await once(socket, "close")
        return event as CloseEvent
      })
      assert.strictEqual(socket.protocol, "echo")
      assert.strictEqual(got[0], client.message)
      assert.deepStrictEqual(new Uint8Array(got[1] as ArrayBuffer), client.bytes)
      assert.strictEqual(got[2], "")
      assert.deepStrictEqual([info.code, info.wasClean], [client.code, true])
    })
  )

  it.live("is told why when the server closes", () =>
    Effect.gen(function* () {
      const { url } = yield* serving((webSocket) => webSocket.close(4321, "not today"))
      const socket = new WebSocket(url)
      const [event] = yield* Effect.promise(() => once(socket, "close"))
      assert.deepStrictEqual([event.code, event.reason, event.wasClean], [4321, "not today", true])
    })
  )
})

const open = (url: string, options: WS.ClientOptions, protocols: Array<string> = []) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const socket = new WS(url, protocols, options)
      await once(socket, "open")
      return socket
    }),
    (socket) => Effect.sync(() => socket.terminate())
  )

const exchange = (socket: WS): Effect.Effect<ReadonlyArray<Buffer | string>, never, Scope.Scope> =>
  Effect.promise(async () => {
    const got: Array<Buffer | string> = []
    const done = new Promise<void>((resolve) => {
      socket.on("message", (data: Buffer, isBinary) => {
        got.push(isBinary ? data : data.toString())
        if (got.length === 5) resolve()
      })
    })
    socket.send(client.message)
    socket.send(client.bytes)
    socket.send("")
    // the same again, so that context takeover has something to refer to
    socket.send(client.message)
    for (let i = 0; i < 10; i++) socket.send(`${i}`, { fin: i === 9 })
    await done
    return got
  })

describe("ws", () => {
  const offers: ReadonlyArray<readonly [string, WS.ClientOptions["perMessageDeflate"]]> = [
    ["without compression", false],
    ["with compression", { threshold: 0 }],
    ["without the server's context", { threshold: 0, serverNoContextTakeover: true }],
    ["without its own context", { threshold: 0, clientNoContextTakeover: true }],
    ["with small windows", { threshold: 0, serverMaxWindowBits: 9, clientMaxWindowBits: 9 }],
    ["with windows of 12 bits and no context", { threshold: 0, serverMaxWindowBits: 12, serverNoContextTakeover: true }]
  ]
  for (const [how, perMessageDeflate] of offers) {
    it.live(`${how}: texts, bytes and fragments come back, and both close cleanly`, () =>
      Effect.gen(function* () {
        const { url } = yield* serving(echo, options)
        const socket = yield* open(url, { perMessageDeflate: perMessageDeflate ?? false }, ["echo"])
        assert.strictEqual(socket.protocol, "echo")
        assert.strictEqual(socket.extensions !== "", perMessageDeflate !== false)
        const got = yield* exchange(socket)
        assert.deepStrictEqual(got, [client.message, Buffer.from(client.bytes), "", client.message, "0123456789"])
        socket.ping("hello?")
        const [pong] = yield* Effect.promise(() => once(socket, "pong"))
        assert.strictEqual(String(pong), "hello?")
        socket.close(client.code, client.reason)
        const [code] = yield* Effect.promise(() => once(socket, "close"))
        assert.strictEqual(code, client.code)
      })
    )
  }
})

const python = `
import asyncio, sys, websockets

async def main(url):
    async with websockets.connect(url, subprotocols=["echo"], max_size=None) as ws:
        assert ws.subprotocol == "echo", ws.subprotocol
        text, data = "Grüße 🎈 " * 2000, bytes(range(256)) * 500
        for message in (text, data, "", text):
            await ws.send(message)
            assert await ws.recv() == message
        await ws.send(iter(["frag", "ments"]))
        assert await ws.recv() == "fragments"
        await (await ws.ping())
        await ws.close(3210, "done")
        print(ws.close_code if hasattr(ws, "close_code") else 3210)

asyncio.run(main(sys.argv[1]))
`

const hasWebsockets = (): boolean => {
  try {
    execFileSync("/usr/bin/python3", ["-c", "import websockets"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

describe("python's websockets", () => {
  it.live("echoes and closes cleanly", (context) =>
    Effect.gen(function* () {
      if (!hasWebsockets()) return context.skip(lacking("/usr/bin/python3 has no module websockets"))
      const { url } = yield* serving(echo, options)
      const child = spawn("/usr/bin/python3", ["-c", python, url], { stdio: ["ignore", "pipe", "inherit"] })
      const [[code], output] = yield* Effect.promise(() => Promise.all([once(child, "exit"), text(child.stdout)]))
      assert.strictEqual(code, 0)
      assert.strictEqual(output.trim(), "3210")
    })
  )
})
