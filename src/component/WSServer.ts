/**
 * `WSServer`: a WebSocket server as an object with properties, methods and events.
 *
 * ```ts
 * import { WSServer } from "effect-websocket/component"
 *
 * const server = new WSServer()
 * server.localPort = 8080
 * server.on("DataIn", (e) => server.sendText(e.connectionId, e.text))
 * await server.startListening()
 * ```
 *
 * Methods give promises and take an `AbortSignal` last, which ends the wait with 301. They fail with a `ComponentError`: 126 if
 * there is no such connection, and with the codes that each method lists. A function in place of the signal is called when they
 * are done, with the error if there is one.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { OpenRequest } from "../server/OpenRequest.ts"
import type { Refusal } from "../protocol/OpeningHandshake.ts"
import { Certificate } from "./Certificate.ts"
import type { Callback } from "./ComponentError.ts"
import { ConnectionMap } from "./ConnectionMap.ts"
import { WSServerSSLProviders } from "./Enums.ts"
import type { WSServerEvents } from "./Events.ts"
import type { Arrival } from "./internal/arrivals.ts"
import { Component } from "./internal/component.ts"
import { ended, type Ending } from "./internal/ending.ts"
import { withFields } from "./internal/fields.ts"
import { Gathered } from "./internal/gathered.ts"
import { OpenRequested } from "./internal/opening.ts"
import type { Options as SecurityOptions } from "./internal/securing.ts"
import { ServerLink } from "./internal/serverLink.ts"
import { type Source, Transfer } from "./internal/transfer.ts"
import { accept, decide, live } from "./internal/visiting.ts"
import { serverProperties } from "./Properties.ts"
import type { WSConnection } from "./WSConnection.ts"

abstract class Server extends Component<WSServerEvents, ServerLink> {
  readonly #connections: ConnectionMap<WSConnection> = new ConnectionMap(this.links)

  constructor() {
    super("WSServer", { sslCert: new Certificate(), sslProvider: WSServerSSLProviders.sslpAutomatic })
  }

  /**
   * The connections by their ids: `get` and `item` find one from WebSocketOpenRequest to Disconnected, a loop has it once it is
   * open.
   */
  get connections(): ConnectionMap<WSConnection> {
    return this.#connections
  }
  getConnections(): ConnectionMap<WSConnection> {
    return this.#connections
  }

  /** Most often nothing is given in the end, and then no function is made for it. */
  protected message(
    connectionId: string,
    data: string | Uint8Array,
    isText: boolean,
    ending: Ending | undefined
  ): Promise<void> {
    if (ending !== undefined) {
      return ended(ending, (signal) => this.link(connectionId).output.message(data, isText, signal))
    }
    try {
      return this.link(connectionId).output.message(data, isText, undefined)
    } catch (error) {
      return Promise.reject(error)
    }
  }
}

/**
 * See the head of this module.
 *
 * @category components
 * @since 0.1.0
 */
export class WSServer extends withFields(Server, serverProperties) {
  /** Begins to listen. Fails with 104 if it listens already, and with the system's code if it cannot, such as 10048. */
  startListening(ending?: Ending): Promise<void> {
    return ended(ending, (signal) => this.listen(signal))
  }

  /** Listens no more; connections that are open go on. */
  stopListening(callback?: Callback): Promise<void> {
    return ended(callback, () => this.endListening())
  }

  // ---- sending -------------------------------------------------------------------------------------------------------

  /**
   * Sends a message of the kind that the connection's DataFormat says: by default text for a string, binary for bytes.
   *
   * With Timeout 0 it does not wait, and fails with 10035 when too much waits already; BytesSent has what went out of it, and
   * ReadyToSend fires when there is room. With a Timeout it waits until the system has taken all, and fails with 301 when
   * nothing moved for so many seconds. Fails with 4202 if the connection is closing.
   *
   * What becomes of a message that fails with 301 depends on whether a part of it was given to the system, which the error's text says
   * ("has begun"). If none was, it is taken back: nothing of it is sent, and it can be sent again. If it has begun, it is completed as
   * soon as the client takes it, from a copy, and must not be sent again; what is sent meanwhile waits behind it, and is taken back
   * in its turn. The data is the caller's to change when the promise is settled, and not before.
   */
  send(connectionId: string, data: string | Uint8Array, ending?: Ending): Promise<void> {
    return ended(ending, (signal) => this.link(connectionId).output.send(data, signal))
  }

  /** Sends a binary message; see `send`. */
  sendBytes(connectionId: string, data: Uint8Array, ending?: Ending): Promise<void> {
    return this.message(connectionId, data, false, ending)
  }

  /** Sends a text message; see `send`. */
  sendText(connectionId: string, text: string, ending?: Ending): Promise<void> {
    return this.message(connectionId, text, true, ending)
  }

  /**
   * Sends a file as one message, however large. Needs a Timeout (135). Fails with 4202, or the system's code, if the file
   * cannot be read.
   */
  sendFile(connectionId: string, fileName: string, ending?: Ending): Promise<void> {
    return ended(ending, (signal) => {
      const link = this.link(connectionId)
      link.mayTransfer()
      return link.send(Transfer.file(fileName, this.host.store.get("MaxFrameSize")), signal)
    })
  }

  /**
   * Sends what a stream yields as one message, and closes the stream unless CloseStreamAfterTransfer says not to. Needs a Timeout
   * (135). With dfAutomatic the message is text if the first that it yields is a string. Fails with 4202 if the stream does; then
   * the connection ends with 1011 if a part of the message was sent.
   */
  setUploadStream(connectionId: string, stream: Source, ending?: Ending): Promise<void> {
    return ended(ending, (signal) => {
      const link = this.link(connectionId)
      link.mayTransfer()
      return link.send(Transfer.stream(stream, this.host.store.get("CloseStreamAfterTransfer")), signal)
    })
  }

  /** Ends the waiting methods of a connection, such as `sendFile`, with 301. The connection goes on. */
  interrupt(connectionId: string, callback?: Callback): Promise<void> {
    return ended(callback, async () => this.link(connectionId).waiting.interrupt())
  }

  /**
   * Sends a ping, and waits for the pong as `send` does: with Timeout 0 it does not, and the Ping event tells of it.
   */
  ping(connectionId: string, ending?: Ending): Promise<void> {
    return ended(ending, (signal) => this.link(connectionId).ping(signal))
  }

  // ---- receiving -----------------------------------------------------------------------------------------------------

  /** Has DataIn fire for each line, or again for each fragment or message. */
  changeLineMode(connectionId: string, lineMode: boolean, callback?: Callback): Promise<void> {
    return ended(callback, async () => this.link(connectionId).receiving.setLineMode(lineMode))
  }

  /** Gives out no more data of a connection; the client is held up. */
  pauseData(connectionId: string, callback?: Callback): Promise<void> {
    return ended(callback, async () => this.link(connectionId).receiving.pause())
  }

  /** Gives out data again. */
  processData(connectionId: string, callback?: Callback): Promise<void> {
    return ended(callback, async () => this.link(connectionId).receiving.process())
  }

  // ---- connections ---------------------------------------------------------------------------------------------------

  protected override makeLink(arrival: Arrival, open: OpenRequest): ServerLink {
    return new ServerLink(this.host, arrival, open, this.defaultTimeout)
  }

  protected override get security(): SecurityOptions {
    return {
      component: "WSServer",
      certificate: this.sslCert.core,
      asks: this.sslProvider !== WSServerSSLProviders.sslpPlatform,
      authenticates: this.sslAuthenticateClients
    }
  }

  protected override get compresses(): boolean {
    return this.host.store.get("EnablePermessageDeflate")
  }

  protected override serve(link: ServerLink, open: OpenRequest): Effect.Effect<void, Refusal> {
    const gathering = new Gathered(this.host.store)
    const { connectionId } = link
    return Effect.flatMap(decide(link, new OpenRequested(connectionId, open.request)), (answer) =>
      accept(link, open, answer, (webSocket) => {
        const ahead = link.opened(webSocket, gathering)
        const body = Effect.andThen(
          // nothing can be sent if a listener of Connected has disconnected it
          Effect.suspend(() => (link.isClosing ? Effect.void : link.fire("ReadyToSend", () => ({ connectionId })))),
          Effect.onExit(link.run(ahead), () => Effect.sync(() => void link.receiving.flush()))
        )
        return live(link, webSocket, body)
      })
    )
  }
}
