/**
 * A client's opening handshake over an open connection: the request is written and the answer read, by `node:http` unless it is of
 * the usual shape (`leanAnswer.ts`), and the byte stream behind it handed over from its first byte.
 */
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import type * as Net from "node:net"
import { type Answer, NoAnswer, type Request } from "../../client/UpgradeDialer.ts"
import * as Alerts from "../../tls/Alerts.ts"
import * as NodeSocket from "../NodeSocket.ts"
import { quiet } from "./connecting.ts"
import { Timer } from "./timers.ts"
import { alertOf } from "./handshakeFault.ts"
import * as LeanAnswer from "./leanAnswer.ts"
import * as LeanReads from "./leanReads.ts"
import { LeanStream } from "./leanStream.ts"

/** The most answers that may come before the last one. */
const maxInterim = 16

/** How much is read of the body of an answer that is no acceptance, in bytes, and how long it is waited for, in milliseconds. */
const maxBody = 4096
const bodyPatience = 1000

const unreadable = (instead: string, cause?: unknown) => new NoAnswer({ kind: "Unreadable", instead, cause })

const tooLate = (patience: number) =>
  new NoAnswer({ kind: "TimedOut", instead: `said nothing, or not all of it, within ${patience} milliseconds` })

const failure = (cause: NodeJS.ErrnoException): NoAnswer => {
  const { code } = cause
  if (code === "HPE_HEADER_OVERFLOW") return unreadable(`sent a head of more than ${LeanAnswer.maxHead} bytes`, cause)
  if (code?.startsWith("HPE_") === true) return unreadable("sent something that is not HTTP/1.1", cause)
  if (code?.startsWith("ERR_SSL_") === true) {
    const alert = alertOf(cause)
    const instead = `ended TLS${alert === undefined ? "" : ` with the alert ${Alerts.format(alert)}`} before it answered`
    return new NoAnswer({ kind: "TlsFailed", instead, cause })
  }
  return new NoAnswer({ kind: "Lost", instead: "ended the connection", cause })
}

const headersOf = ({ headers }: Http.IncomingMessage): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value = ""]) => [name, typeof value === "string" ? value : value.join(", ")])
  )

/** Half a character at the end is left out. */
const cutShort = { stream: true }

/** Sends the request and waits for the answer, so many milliseconds; the socket is the caller's to destroy. */
export const ask = (socket: Net.Socket, request: Request, patience: number): Effect.Effect<Answer, NoAnswer> =>
  LeanReads.isFree(socket) ? askLean(socket, request, patience) : askHttp(socket, request, patience)

const askLean = (socket: Net.Socket, request: Request, patience: number): Effect.Effect<Answer, NoAnswer> =>
  Effect.callback<Answer, NoAnswer>((resume) => {
    const head = LeanAnswer.headOf(request)
    const began = performance.now()
    const timer = new Timer(patience, () => resume(Effect.fail(tooLate(patience))))
    const then = (outcome: Effect.Effect<Answer, NoAnswer>) => {
      timer.stop()
      resume(outcome)
    }
    LeanAnswer.begin(socket, head, {
      onAccepted: (headers, rest) => {
        LeanReads.release(socket)
        then(Effect.succeed({ status: 101, headers, socket: NodeSocket.fromDuplex(socket, rest) }))
      },
      onOther: (first) => {
        const stream = new LeanStream(socket, first)
        then(askHttp(socket, request, patience, { stream, passed: performance.now() - began }))
      },
      onEnd: (cause) => then(Effect.fail(failure(cause ?? new Error("the connection ended"))))
    })
    return Effect.sync(() => timer.stop())
  })

/** A request that has been sent already, so many milliseconds ago, and whose answer has begun. */
interface Sent {
  readonly stream: LeanStream
  readonly passed: number
}

const askHttp = (
  socket: Net.Socket,
  { headers, path }: Request,
  patience: number,
  sent?: Sent
): Effect.Effect<Answer, NoAnswer> =>
  Effect.callback<Answer, NoAnswer>((resume) => {
    const fail = (why: NoAnswer) => {
      stop()
      resume(Effect.fail(why))
    }
    const request = Http.request({
      method: "GET",
      path,
      // a list is not changed by who writes it
      headers: headers as Http.OutgoingHttpHeaders,
      // no agent, and nothing that is not in the headers
      createConnection: () => sent?.stream ?? quiet(socket),
      setDefaultHeaders: false,
      joinDuplicateHeaders: true,
      maxHeaderSize: LeanAnswer.maxHead
    })
    let interim = 0
    let bodyTimer: Timer | undefined
    // what is too many is too large: those behind the first thousand would be left out unseen
    request.maxHeadersCount = 0
    /** Says what came of an answer whose status is known. */
    let answered: (() => void) | undefined
    request.on("error", (cause) => (answered === undefined ? fail(failure(cause)) : answered()))
    const late = () => (answered === undefined ? fail(tooLate(patience)) : answered())
    const timer = new Timer(Math.max(1, patience - (sent?.passed ?? 0)), late)
    const stop = () => {
      timer.stop()
      bodyTimer?.stop()
    }
    request.on("information", () => {
      if (++interim > maxInterim) fail(unreadable(`answered more than ${maxInterim} times with 1xx`))
    })
    request.once("upgrade", (response, _socket, head) => {
      stop()
      // RFC 6455 section 4.1 asks for HTTP/1.1 or later, and later ones open otherwise
      if (response.httpVersion !== "1.1") return fail(unreadable(`answered 101 in HTTP/${response.httpVersion}`))
      const stream = NodeSocket.fromDuplex(socket, sent === undefined ? head : sent.stream.giveBack(head))
      resume(Effect.succeed({ status: 101, headers: headersOf(response), socket: stream }))
    })
    request.once("response", (response) => {
      // to `node:http` it is no upgrade without them
      if (response.statusCode === 101) return fail(unreadable("answered 101 without Upgrade and Connection headers"))
      const chunks: Array<Buffer> = []
      let size = 0
      const done = () => {
        stop()
        // what has come and is not given out yet
        response.read()
        const body = new TextDecoder().decode(Buffer.concat(chunks).subarray(0, maxBody), cutShort)
        resume(Effect.succeed({ status: response.statusCode ?? 0, headers: headersOf(response), body }))
      }
      answered = done
      bodyTimer = new Timer(bodyPatience, done)
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk)
        size += chunk.length
        if (size >= maxBody) done()
      })
      response.once("close", done).on("error", done)
    })
    request.end()
    return Effect.sync(stop)
  })
