/**
 * Peers in other languages: Python's `websockets`, and `curl`, which sees what a refusal looks like.
 */
import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { command } from "./command.ts"

const run = promisify(execFile)

const python = `
import asyncio, sys, websockets

async def main(url):
    async with websockets.connect(url, max_size=None, compression="deflate") as socket:
        for message in ["hello", "κόσμε" * 1000, b"\\x00\\x01\\x02", bytes(range(256)) * 40000, ""]:
            await socket.send(message)
            echoed = await socket.recv()
            assert echoed == message, (type(echoed), len(echoed))
        await socket.send(["in ", "three ", "fragments"])
        assert await socket.recv() == "in three fragments"
        pong = await socket.ping()
        await asyncio.wait_for(pong, 10)
        await socket.close(code=3000, reason="enough")
    print(socket.close_code)

asyncio.run(main(sys.argv[1]))
`

describe("Python's websockets", () => {
  it("echoes text, binary, fragments, pings, compressed", async () => {
    await using echo = await command("echo", "127.0.0.1:0")
    const { stdout } = await run("/usr/bin/python3", ["-c", python, `ws://127.0.0.1:${echo.port}`])
    assert.strictEqual(stdout.trim(), "3000")
  })
})

describe("curl", () => {
  const curl = async (port: number, ...headers: ReadonlyArray<string>) => {
    const { stdout } = await run("curl", [
      "--silent",
      "--include",
      "--http1.1",
      ...headers.flatMap((header) => ["--header", header]),
      `http://127.0.0.1:${port}/`
    ])
    return stdout
  }

  it("sees why a request was refused", async () => {
    await using echo = await command("echo", "127.0.0.1:0")
    const plain = await curl(echo.port)
    assert.match(plain, /^HTTP\/1\.1 426 /)
    assert.match(plain, /This address speaks WebSocket/)
    const old = await curl(
      echo.port,
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 8",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    )
    assert.match(old, /^HTTP\/1\.1 426 /)
    assert.match(old, /sec-websocket-version: 13/i)
  })

  it("sees that a target is dead before any WebSocket is opened", async () => {
    await using echo = await command("echo", "127.0.0.1:0")
    const dead = echo.port
    await echo[Symbol.asyncDispose]()
    await using proxy = await command("proxy", "127.0.0.1:0", `127.0.0.1:${dead}`)
    const answer = await curl(
      proxy.port,
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    )
    assert.match(answer, /^HTTP\/1\.1 502 /)
    assert.match(answer, /refused the connection/)
  })
})
