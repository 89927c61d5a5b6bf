/**
 * WebSockets over HTTP/2 for the load generator (RFC 8441): streams of `node:http2`, on as few connections as our server allows.
 */
import * as http2 from "node:http2"
import type { LoadOptions } from "./connection.ts"

/** As many as the server takes of a client (`http2.maxStreams`). */
const streamsEach = 100

/** A connection, with the streams that are open on it or are going to be. */
interface Shared {
  readonly session: Promise<http2.ClientHttp2Session>
  streams: number
}

export class Streams {
  private readonly connections: Array<Shared> = []
  private readonly address: string
  private readonly fail: (reason: string) => void

  constructor({ host, port }: LoadOptions, fail: (reason: string) => void) {
    this.address = `${host}:${port}`
    this.fail = fail
  }

  /** Asks for a WebSocket, on one more connection where all are full. */
  async open(): Promise<http2.ClientHttp2Stream> {
    let shared = this.connections.find(({ streams }) => streams < streamsEach)
    if (shared === undefined) this.connections.push((shared = { session: this.connect(), streams: 0 }))
    const { session } = shared
    shared.streams++
    const stream = (await session).request({
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":scheme": "http",
      ":authority": this.address,
      ":path": "/",
      "sec-websocket-version": "13"
    })
    return stream.once("close", () => shared.streams--)
  }

  /** A connection whose server has said that it takes such requests, before which none may be sent (RFC 8441 section 3). */
  private connect(): Promise<http2.ClientHttp2Session> {
    const session = http2.connect(`http://${this.address}`)
    session.on("error", (error) => this.fail(`a connection of HTTP/2 failed (${error.message})`))
    return new Promise((resolve) =>
      session.once("remoteSettings", ({ enableConnectProtocol }) => {
        if (enableConnectProtocol === true) resolve(session)
        else this.fail("the server takes no WebSockets over HTTP/2")
      })
    )
  }
}
