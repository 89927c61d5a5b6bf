/**
 * The settings about WebSocket itself, and those that are our own.
 *
 * @since 0.1.0
 */
import * as CloseCode from "../../protocol/CloseCode.ts"
import { boolean, integer, oneOf, textThat } from "../internal/kinds.ts"
import { named, setting } from "./setting.ts"

const maxInt = 2 ** 31 - 1
const closeCode = {
  ...integer(1000, 4999),
  is: (value: unknown): value is number => CloseCode.isValid(value as number)
}

/**
 * About WebSocket itself.
 *
 * @category tables
 * @since 0.1.0
 */
export const webSocketSettings = named({
  BufferMessage: setting(boolean, false, {
    documents: "both",
    status: "works",
    what: "Whether DataIn fires once for a message, when all of it is there. At most MaxMessageSize bytes are put together.",
    note: "`Gathering.wholeMessages`; a larger message is answered with Close 1009"
  }),
  DisconnectStatusCode: setting(
    {
      ...closeCode,
      accepts: "a code that may be sent: 1000 to 1003, 1007 to 1014, or 3000 to 4999",
      parse: (text: string) => {
        const value = integer(1000, 4999).parse(text)
        return value !== undefined && CloseCode.isValid(value) ? value : undefined
      }
    },
    1000,
    {
      documents: "both",
      status: "works",
      what: "The status code that Disconnect sends.",
      note: "`WebSocket.close`; codes that RFC 6455 section 7.4 keeps off the wire are refused"
    }
  ),
  DisconnectStatusDescription: setting(
    textThat((text) => new TextEncoder().encode(text).length <= 123, "text of at most 123 bytes in UTF-8"),
    "",
    {
      documents: "both",
      status: "works",
      what: "The description that goes with the status code. If it is empty, a standard code has one of its own.",
      note: "`WebSocket.close`; RFC 6455 section 5.5 leaves it 123 bytes"
    }
  ),
  EnablePermessageDeflate: setting(boolean, true, {
    documents: "server",
    status: "works",
    change: "nextListening",
    what: "Whether permessage-deflate is agreed on with a client that offers it. Read when listening starts.",
    note: "`WebSocketServer.Options.compression`"
  }),
  MaxFrameSize: setting(integer(1, maxInt, " of bytes"), 131072, {
    documents: "both",
    status: "works",
    what: "What is larger is sent in parts: with Timeout 0 as messages of their own, otherwise as the fragments of one.",
    note: "text is split between code points"
  }),
  MaxLineLength: setting(integer(1, maxInt, " of bytes"), 2048, {
    documents: "server",
    status: "works",
    perConnection: "withDefault",
    what: "In line mode, what is longer than this without an end of line is given as it is. Not while the line mode is on (112).",
    note: "without a connection: of the connections to come"
  }),
  MessageLength: setting(integer(0, Number.MAX_SAFE_INTEGER, " of bytes"), 0, {
    documents: "both",
    status: "works",
    perConnection: "only",
    what: "So many bytes of what is sent next are one message, with Timeout 0. 0: each send is a message.",
    note: "on the proxy, of what the forward host sends"
  }),
  WaitForCloseResponse: setting(boolean, true, {
    documents: "both",
    status: "works",
    what: "Whether Disconnect waits for the client's Close frame (at most 10 seconds) or goes at once.",
    note: "`WebSocket.close` with `wait`"
  })
})

/**
 * Our own, which the documents do not have.
 *
 * @category tables
 * @since 0.1.0
 */
export const ownSettings = named({
  LogLevel: setting(oneOf([0, 1, 2, 3], "0 (none), 1 (info), 2 (verbose) or 3 (debug)"), 1, {
    documents: "none",
    status: "works",
    what: "How much the Log event tells.",
    note: "named by the Log event of the documents, though they do not list it"
  }),
  MaxMessageSize: setting(integer(1, 2 ** 30, " of bytes"), 16 * 1024 * 1024, {
    documents: "none",
    status: "works",
    change: "nextListening",
    what: "The largest message that is put together or inflated; Close 1009 beyond it. Read when listening starts.",
    note: "`Limits.Options.maxMessageSize`"
  }),
  PingInterval: setting(integer(0, 86400, " of seconds"), 30, {
    documents: "none",
    status: "works",
    change: "nextListening",
    what: "A client that is silent for so long is pinged, and given up if it does not answer in 20 seconds. 0: never. Read when listening starts.",
    note: "`Limits.Options.pingInterval`"
  }),
  HandshakeTimeout: setting(integer(1, 3600, " of seconds"), 10, {
    documents: "none",
    status: "works",
    change: "nextListening",
    what: "The time that a client has for its opening handshake; 408. Read when listening starts.",
    note: "`NodeUpgradeListener.Options.handshakeTimeout`"
  }),
  CloseTimeout: setting(integer(1, 3600, " of seconds"), 10, {
    documents: "none",
    status: "works",
    change: "nextListening",
    what: "The time that the end of a connection may take, each step of it. Read when listening starts.",
    note: "`Limits.Options.closeTimeout`"
  })
})
