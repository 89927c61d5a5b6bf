/**
 * WebSocketOpenRequest: what it tells of a request, and the decision that is taken with it.
 */
import { assert, describe, it } from "vitest"
import * as Frames from "../proxy/frames.ts"
import { connect, gate, idOf, rawClient, rawRequest, refused, run, serving } from "./server.ts"

describe("what it tells", () => {
  it("WebSocketOpenRequest.ConnectionId, WebSocketOpenRequest.RequestURI, WebSocketOpenRequest.HostHeader, WebSocketOpenRequest.OriginHeader, WebSocketOpenRequest.SubProtocols, WebSocketOpenRequest.Extensions: the fields of the request as the client sent them", async () => {
    let seen: ReadonlyArray<unknown> = []
    await using it = await serving({
      on: (server) =>
        server.on("WebSocketOpenRequest", (e) => {
          seen = [e.connectionId, e.requestURI, e.hostHeader, e.originHeader, e.subProtocols, e.extensions]
          assert.deepStrictEqual([e.statusCode, e.responseHeaders], [101, ""])
          e.subProtocols = "chat.v1"
        })
    })
    await using _ = await connect(`${it.url}/chat/room%20one?user=a&b=%C3%BC`, {
      origin: "https://page.example",
      protocols: ["chat.v2", "chat.v1"],
      perMessageDeflate: true
    })
    await it.until("ReadyToSend")
    assert.deepStrictEqual(seen, [
      idOf(it),
      "/chat/room%20one?user=a&b=%C3%BC",
      `127.0.0.1:${it.port}`,
      "https://page.example",
      "chat.v2, chat.v1",
      "permessage-deflate; client_max_window_bits"
    ])
  })

  it("WebSocketOpenRequest.OriginHeader, WebSocketOpenRequest.SubProtocols, WebSocketOpenRequest.Extensions: are empty where the client sent none", async () => {
    let seen: ReadonlyArray<unknown> = []
    await using it = await serving({
      on: (server) =>
        server.on("WebSocketOpenRequest", (e) => {
          seen = [e.requestURI, e.originHeader, e.subProtocols, e.extensions]
        })
    })
    await using _ = await rawClient(it.port)
    assert.deepStrictEqual(seen, ["/", "", "", ""])
  })

  it("WebSocketOpenRequest.RequestHeaders: the headers as they came, with their names, order and repetitions, each ended by CR LF", async () => {
    let seen = ""
    await using it = await serving({
      on: (server) =>
        server.on("WebSocketOpenRequest", (e) => {
          seen = e.requestHeaders
        })
    })
    await using _ = await rawClient(it.port, {
      headers: ["X-Custom: One", "x-CUSTOM: two", "Cookie: a=1; b=2", "X-Empty:", "Authorization: Basic eDp5"]
    })
    assert.strictEqual(
      seen,
      [
        `Host: 127.0.0.1:${it.port}`,
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "X-Custom: One",
        "x-CUSTOM: two",
        "Cookie: a=1; b=2",
        "X-Empty: ",
        "Authorization: Basic eDp5",
        ""
      ].join("\r\n")
    )
  })

  it("Connections: has the connection from WebSocketOpenRequest on, not connected yet", async () => {
    const seen: Array<unknown> = []
    await using it = await serving({
      on: (server) => {
        const look = (e: { readonly connectionId: string }) => {
          const connection = server.connections.item(e.connectionId)
          seen.push(connection.connectionId === e.connectionId, connection.connected, connection.readyToSend)
        }
        server.on("WebSocketOpenRequest", look).on("Connected", look)
      }
    })
    await using _ = await connect(it.url)
    await it.until("ReadyToSend")
    assert.deepStrictEqual(seen, [true, false, false, true, true, true])
    assert.isUndefined(it.server.connections.get("no such id"))
  })

  it("10057: what needs an open connection fails before Connected", async () => {
    const codes: Array<unknown> = []
    await using it = await serving({
      on: (server) =>
        server.on("WebSocketOpenRequest", (e) =>
          server
            .sendText(e.connectionId, "too early")
            .catch((error: { readonly code: number }) => codes.push(error.code))
        )
    })
    await using _ = await connect(it.url)
    assert.deepStrictEqual(codes, [10057])
  })
})

describe("SubProtocols", () => {
  const choices: ReadonlyArray<readonly [string, ReadonlyArray<string>, string | undefined, string]> = [
    ["left as it is, none of several is agreed on", ["a", "b"], undefined, ""],
    ["left as it is, the only one is not agreed on either", ["a"], undefined, ""],
    ["set to one that the client offers, that is agreed on", ["a", "b", "c"], "b", "b"],
    ["set with blanks around it, it is that one", ["a", "b"], " b ", "b"],
    ["set to nothing, none is agreed on", ["a", "b"], "", ""],
    ["set to one that the client does not offer, none is agreed on", ["a", "b"], "c", ""],
    ["set to several, none is agreed on", ["a", "b"], "a, b", ""]
  ]
  for (const [what, protocols, chosen, agreed] of choices) {
    it(`WebSocketOpenRequest.SubProtocols: ${what}`, async () => {
      let offered = ""
      await using it = await serving({
        on: (server) =>
          server.on("WebSocketOpenRequest", (e) => {
            offered = e.subProtocols
            if (chosen !== undefined) e.subProtocols = chosen
          })
      })
      const line = `Sec-WebSocket-Protocol: ${protocols.join(", ")}`
      await using client = await rawClient(it.port, { headers: [line] })
      assert.strictEqual(offered, protocols.join(", "))
      assert.strictEqual(/sec-websocket-protocol: (.*)/i.exec(client.answer)?.[1]?.trim() ?? "", agreed)
      assert.strictEqual(it.server.connections.item(idOf(it)).subProtocols, protocols.join(", "))
    })
  }

  it("WebSocketOpenRequest.SubProtocols: a real client learns which was chosen", async () => {
    await using it = await serving({
      on: (server) =>
        server.on("WebSocketOpenRequest", async (e) => {
          await new Promise(setImmediate)
          e.subProtocols = e.subProtocols.split(", ").at(-1)!
        })
    })
    await using client = await connect(it.url, { protocols: ["one", "two"] })
    assert.strictEqual(client.socket.protocol, "two")
  })
})

describe("the decision", () => {
  it("WebSocketOpenRequest, WebSocketOpenRequest.StatusCode: is taken when all listeners are done; what the client sends meanwhile is not lost", async () => {
    const go = gate()
    await using it = await serving({
      on: (server) =>
        server
          .on("WebSocketOpenRequest", async (e) => {
            await go.opened
            e.statusCode = 401
          })
          .on("WebSocketOpenRequest", (e) => {
            assert.strictEqual(e.statusCode, 401)
            e.statusCode = 101
          })
    })
    await using client = await rawRequest(it.port)
    const texts = Array.from({ length: 20 }, (_, i) => `${i} `.repeat(1000))
    for (const text of texts) await run(client.send(Frames.text, text))
    await it.until("WebSocketOpenRequest")
    assert.strictEqual(client.status, undefined)
    go.open()
    await run(client.until("open"))
    await it.until("DataIn", texts.length)
    assert.deepStrictEqual(it.texts, texts)
  })

  it("WebSocketOpenRequest: a client that goes away before the decision is no event, and no connection any more", async () => {
    const go = gate()
    await using it = await serving({ on: (server) => server.on("WebSocketOpenRequest", () => go.opened) })
    await using client = await rawRequest(it.port)
    await it.until("WebSocketOpenRequest")
    assert.deepStrictEqual([it.found, it.server.connections.size], [1, 0])
    await run(client.reset())
    await it.left(0)
    go.open()
    await using _ = await connect(it.url)
    await it.until("ReadyToSend")
    assert.deepStrictEqual(it.events, [
      "ConnectionRequest",
      "WebSocketOpenRequest",
      "ConnectionRequest",
      "WebSocketOpenRequest",
      "Connected",
      "ReadyToSend"
    ])
  })

  it("WebSocketOpenRequest, Disconnect: a connection that its listener disconnects is refused", async () => {
    await using it = await serving({
      on: (server) => server.on("WebSocketOpenRequest", (e) => server.disconnect(e.connectionId))
    })
    assert.strictEqual((await refused(it.url)).status, 503)
    assert.deepStrictEqual(it.events, ["ConnectionRequest", "WebSocketOpenRequest"])
    await it.left(0)
  })

  it("WebSocketOpenRequest, ConnectionRequest: what is no WebSocket has no event but ConnectionRequest, and is told so", async () => {
    await using it = await serving()
    const answer = await fetch(`http://127.0.0.1:${it.port}/`)
    assert.strictEqual(answer.status, 426)
    await answer.text()
    assert.deepStrictEqual(it.events, ["ConnectionRequest"])
    assert.strictEqual(it.server.connections.size, 0)
  })
})
