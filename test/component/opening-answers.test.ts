/**
 * What a listener of WebSocketOpenRequest may answer: StatusCode and ResponseHeaders, and what it may not.
 */
import { assert, describe, it } from "vitest"
import { connect, eventually, rawRequest, refused, run, serving } from "./server.ts"

const answering = (statusCode: number, responseHeaders = "") =>
  serving({
    on: (server) =>
      server.on("WebSocketOpenRequest", (e) => {
        e.statusCode = statusCode
        e.responseHeaders = responseHeaders
      })
  })

/** The answer of a server as it is on the wire, with its headers by their names in small letters. */
const answer = async (statusCode: number, responseHeaders = "") => {
  await using it = await answering(statusCode, responseHeaders)
  await using client = await rawRequest(it.port)
  await run(
    client.watch.until("an answer", () => client.status !== undefined && (client.status === 101 || client.over))
  )
  const [head = "", body = ""] = client.answer.split("\r\n\r\n")
  const [first = "", ...lines] = head.split("\r\n")
  const headers = lines.map((line) => [
    line.slice(0, line.indexOf(":")).toLowerCase(),
    line.slice(line.indexOf(":") + 2)
  ])
  const all = (name: string) => headers.filter(([key]) => key === name).map(([, value]) => value)
  await eventually("a decision", () => client.status === 101 || it.found === 0)
  return { status: client.status, first, all, body, errors: it.of("Error"), events: it.events }
}

describe("a refusal", () => {
  it("WebSocketOpenRequest.StatusCode, WebSocketOpenRequest.ResponseHeaders: 401 with the documents' own WWW-Authenticate", async () => {
    await using it = await answering(401, 'WWW-Authenticate: Basic realm="Secure Realm"')
    const { headers, status } = await refused(it.url)
    assert.strictEqual(status, 401)
    assert.strictEqual(headers["www-authenticate"], 'Basic realm="Secure Realm"')
    assert.deepStrictEqual(it.events, ["ConnectionRequest", "WebSocketOpenRequest"])
    await it.left(0)
  })

  it("WebSocketOpenRequest.StatusCode, WebSocketOpenRequest.ResponseHeaders: 302 sends a client elsewhere", async () => {
    await using target = await serving()
    await using it = await answering(302, `Location: ${target.url}/there\r\n`)
    await using client = await connect(it.url, { followRedirects: true })
    assert.strictEqual(client.socket.url, `${target.url}/there`)
    await target.until("ReadyToSend")
    assert.deepStrictEqual(it.of("Connected", "Disconnected"), [])
  })

  it("WebSocketOpenRequest.StatusCode: any status of HTTP from 200 to 599, with its own words", async () => {
    const lines: Readonly<Record<number, string>> = {
      200: "HTTP/1.1 200 OK",
      403: "HTTP/1.1 403 Forbidden",
      418: "HTTP/1.1 418 I'm a Teapot",
      503: "HTTP/1.1 503 Service Unavailable",
      599: "HTTP/1.1 599 Refused"
    }
    for (const [status, line] of Object.entries(lines)) {
      const { all, body, errors, first } = await answer(Number(status))
      assert.strictEqual(first, line)
      assert.deepStrictEqual(all("content-length"), [String(body.length)])
      assert.deepStrictEqual(all("connection"), ["close"])
      assert.deepStrictEqual(errors, [])
    }
  })

  it("WebSocketOpenRequest.StatusCode: 204 and 304 have no body, as HTTP has it", async () => {
    for (const status of [204, 304]) {
      const { all, body } = await answer(status, "X-Why: so")
      assert.deepStrictEqual([all("x-why"), all("content-length"), body], [["so"], [], ""])
    }
  })

  it("WebSocketOpenRequest.StatusCode, 10022: what is no status that can answer becomes 500, and Error tells of it", async () => {
    for (const status of [0, -1, 99, 100, 102, 199, 600, 1000, 400.5, Number.NaN, Infinity]) {
      const { errors, status: answered } = await answer(status)
      assert.deepStrictEqual([answered, errors], [500, ["Error 10022"]], String(status))
    }
  })
})

describe("an answer of another type", () => {
  for (const field of ["responseHeaders", "subProtocols", "statusCode"]) {
    it(`WebSocketOpenRequest, 10022: in ${field} it becomes 500, and Error tells of it`, async () => {
      for (const value of [5, null, ["X-A: 1"], {}, true]) {
        await using it = await serving({
          on: (server) => server.on("WebSocketOpenRequest", (e) => void Reflect.set(e, field, value))
        })
        assert.strictEqual((await refused(it.url)).status, 500)
        assert.deepStrictEqual(it.events, ["ConnectionRequest", "WebSocketOpenRequest", "Error 10022"])
      }
    })
  }
})

describe("ResponseHeaders", () => {
  it("WebSocketOpenRequest.ResponseHeaders: are added to 101 as well, several of a name too, and the connection opens", async () => {
    const { all, status } = await answer(101, "Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\nX-One:  two  \r\n\r\n")
    assert.strictEqual(status, 101)
    assert.deepStrictEqual(all("set-cookie"), ["a=1; Path=/", "b=2"])
    assert.deepStrictEqual(all("x-one"), ["two"])
  })

  it("WebSocketOpenRequest.ResponseHeaders: several Set-Cookie lines in a refusal, whatever their letters' case", async () => {
    const { all } = await answer(403, "Set-Cookie: a=1\r\nset-cookie: b=2\r\nSET-COOKIE: c=3")
    assert.deepStrictEqual(all("set-cookie"), ["a=1", "b=2", "c=3"])
  })

  it("WebSocketOpenRequest.ResponseHeaders: names that every object has are names like others", async () => {
    for (const name of ["constructor", "toString", "__proto__", "hasOwnProperty"]) {
      const { all, errors, status } = await answer(403, `${name}: mine`)
      assert.deepStrictEqual([status, all(name.toLowerCase()), errors], [403, ["mine"], []], name)
    }
    const { all, status } = await answer(101, "constructor: one\r\nconstructor: two")
    assert.deepStrictEqual([status, all("constructor")], [101, ["one", "two"]])
  })

  const injections: Readonly<Record<string, string>> = {
    "a carriage return alone": "X-A: b\rSet-Cookie: evil=1",
    "a null": "X-A: b\0c",
    "an escape": "X-A: \u001b[31m",
    "a letter beyond Latin-1": "X-A: \u0100",
    "a surrogate that reads as CR LF when it is cut": "X-A: \u560d\u560a",
    "a line without a colon": "HTTP/1.1 200 OK",
    "a name with a blank": "X A: b",
    "no name": ": b",
    "a continued line": "X-A: b\r\n c"
  }
  for (const [what, headers] of Object.entries(injections)) {
    it(`WebSocketOpenRequest.ResponseHeaders, 10022: ${what} is not sent; the client gets 500, and Error tells of it`, async () => {
      for (const statusCode of [101, 403]) {
        const { all, errors, status } = await answer(statusCode, headers)
        assert.deepStrictEqual([status, errors], [500, ["Error 10022"]])
        assert.deepStrictEqual([all("x-a"), all("set-cookie")], [[], []])
      }
    })
  }

  it("WebSocketOpenRequest.ResponseHeaders: those of the handshake and of the body are not the listener's", async () => {
    const headers = [
      "Sec-WebSocket-Accept: forged",
      "Sec-WebSocket-Extensions: permessage-deflate",
      "Upgrade: h2c",
      "Connection: keep-alive",
      "Content-Length: 3",
      "Content-Type: text/html",
      "Transfer-Encoding: chunked",
      "X-Mine: yes"
    ].join("\r\n")
    const opened = await answer(101, headers)
    assert.strictEqual(opened.status, 101)
    assert.deepStrictEqual(opened.all("sec-websocket-accept"), ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="])
    assert.deepStrictEqual(opened.all("connection"), ["Upgrade"])
    for (const name of ["sec-websocket-extensions", "content-length", "transfer-encoding"]) {
      assert.deepStrictEqual(opened.all(name), [], name)
    }
    const no = await answer(403, headers)
    assert.deepStrictEqual(no.all("connection"), ["close"])
    assert.deepStrictEqual(no.all("content-length"), [String(no.body.length)])
    assert.deepStrictEqual(no.all("content-type"), ["text/plain; charset=utf-8"])
    assert.deepStrictEqual(no.all("transfer-encoding"), [])
    assert.deepStrictEqual([opened.all("x-mine"), no.all("x-mine")], [["yes"], ["yes"]])
  })
})
