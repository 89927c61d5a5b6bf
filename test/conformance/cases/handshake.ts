/**
 * Group 0: the opening handshake (RFC 6455 section 4, RFC 9110, RFC 9112).
 */
import * as assert from "node:assert/strict"
import { type Case, type Connect, family, type Group } from "../case.ts"
import { checkOpened, Peer } from "../client.ts"
import { close, text } from "../wire/frame.ts"
import {
  acceptOf,
  encodeHead,
  having,
  newKey,
  plus,
  requestHead,
  type RequestHead,
  type Response,
  values
} from "../wire/http.ts"
import type { Pause, Tcp } from "../wire/tcp.ts"
import { refusals } from "./refusals.ts"

type Edit = (head: RequestHead) => RequestHead

const echoes = async (peer: Peer): Promise<void> => {
  peer.send(text("opened"))
  await peer.expectText("opened")
  await peer.finish()
}

/** Sends the edited head and expects an opened connection that echoes. */
const opens =
  (edit: Edit, key: string = newKey(), check: (response: Response) => void = () => {}): Case["run"] =>
  async (connect) => {
    const tcp = await connect.tcp()
    tcp.write([encodeHead(edit(requestHead(connect.host, connect.target, key)))])
    await expectOpened(tcp, key, check)
  }

const expectOpened = async (tcp: Tcp, key: string, check: (response: Response) => void = () => {}): Promise<void> => {
  const response = await tcp.response()
  checkOpened(response, key)
  check(response)
  await echoes(new Peer(tcp, response, undefined))
}

const same: Edit = (head) => head

const SAMPLE = "dGhlIHNhbXBsZSBub25jZQ=="

const accepting = family("0.1", "RFC 6455 section 4.2", [
  {
    title: "the sample key of RFC 6455 section 1.3 gives its sample answer",
    rfc: "RFC 6455 section 1.3",
    run: opens(
      (head) => having(head, "Sec-WebSocket-Key", SAMPLE),
      SAMPLE,
      (response) => {
        assert.equal(acceptOf(SAMPLE), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        assert.deepEqual(values(response, "Sec-WebSocket-Accept"), ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="])
      }
    )
  },
  {
    title: "the example of a key in RFC 6455 section 4.1, whose last digit has bits beyond the sixteenth byte",
    rfc: "RFC 6455 section 4.1",
    run: opens((head) => having(head, "Sec-WebSocket-Key", "AQIDBAUGBwgJCgsMDQ4PEC=="), "AQIDBAUGBwgJCgsMDQ4PEC==")
  },
  { title: "the plain handshake opens", run: opens(same) },
  {
    title: "a hundred keys get a hundred right answers",
    run: async (connect) => {
      for (let i = 0; i < 100; i++) await (await connect()).finish()
    }
  },
  {
    title: "header names in lower case",
    run: opens((head) => ({ ...head, headers: head.headers.map(([name, value]) => [name.toLowerCase(), value]) }))
  },
  {
    title: "header names in upper case",
    run: opens((head) => ({ ...head, headers: head.headers.map(([name, value]) => [name.toUpperCase(), value]) }))
  },
  ...["WebSocket", "WEBSOCKET", "wEbSoCkEt"].map((value) => ({
    title: `Upgrade: ${value}`,
    run: opens((head) => having(head, "Upgrade", value))
  })),
  ...["upgrade", "UPGRADE", "keep-alive, Upgrade", "Upgrade,keep-alive", "keep-alive , upgrade ,x"].map((value) => ({
    title: `Connection: ${value}`,
    run: opens((head) => having(head, "Connection", value))
  })),
  {
    title: "Connection over two lines",
    run: opens((head) => plus(having(head, "Connection", "keep-alive"), "Connection", "Upgrade"))
  },
  {
    title: "white space around the header values",
    run: opens((head) => ({ ...head, headers: head.headers.map(([name, value]) => [name, ` \t${value} \t`]) }))
  },
  {
    title: "no white space before the header values",
    run: async (connect) => {
      const key = newKey()
      const tcp = await connect.tcp()
      const head = encodeHead(requestHead(connect.host, connect.target, key)).toString("latin1")
      tcp.write([Buffer.from(head.replaceAll(": ", ":"), "latin1")])
      await expectOpened(tcp, key)
    }
  },
  { title: "the headers in reverse order", run: opens((head) => ({ ...head, headers: head.headers.toReversed() })) },
  { title: "a query string", run: opens((head) => ({ ...head, target: `${head.target}?token=a%20b&x` })) },
  {
    title: "the absolute form of the request target",
    rfc: "RFC 9112 section 3.2.2",
    run: opens((head) => ({ ...head, target: `http://127.0.0.1${head.target}` }))
  },
  {
    title: "an Origin and a User-Agent",
    run: opens((head) => plus(plus(head, "Origin", "null"), "User-Agent", "x/1"))
  },
  {
    title: "64 further headers",
    run: opens((head) => Array.from({ length: 64 }).reduce<RequestHead>((h, _, i) => plus(h, `X-${i}`, `${i}`), head))
  },
  { title: "a header of 4 KiB", run: opens((head) => plus(head, "Cookie", `a=${"x".repeat(4094)}`)) },
  {
    title: "a subprotocol is one of those offered, or none",
    rfc: "RFC 6455 section 4.2.2",
    run: opens(
      (head) => plus(head, "Sec-WebSocket-Protocol", "chat, superchat"),
      newKey(),
      (response) => {
        const chosen = values(response, "Sec-WebSocket-Protocol")
        assert.ok(chosen.length <= 1 && chosen.every((one) => ["chat", "superchat"].includes(one)), chosen.join())
      }
    )
  },
  {
    title: "no subprotocol is answered where none was offered",
    rfc: "RFC 6455 section 4.2.2",
    run: opens(same, newKey(), (response) => assert.deepEqual(values(response, "Sec-WebSocket-Protocol"), []))
  },
  {
    title: "an unknown extension is declined",
    rfc: "RFC 6455 section 9.1",
    run: opens(
      (head) => plus(head, "Sec-WebSocket-Extensions", "x-unheard-of; a=1, y-neither"),
      newKey(),
      (response) => assert.deepEqual(values(response, "Sec-WebSocket-Extensions"), [])
    )
  }
])

/** The whole handshake and a message, the octets of which go out in these parts. */
const inParts = async (
  connect: Connect,
  cut: (stream: Buffer) => Iterable<Uint8Array>,
  pause: Pause
): Promise<void> => {
  const key = newKey()
  const tcp = await connect.tcp()
  await tcp.writeApart(cut(encodeHead(requestHead(connect.host, connect.target, key))), pause)
  await expectOpened(tcp, key)
}

const behindHead =
  (frames: () => ReadonlyArray<Uint8Array>, answers: (peer: Peer) => Promise<void>): Case["run"] =>
  async (connect) => {
    const peer = await connect({ behind: Buffer.concat(frames()) })
    await answers(peer)
  }

const delivery = family("0.6", "RFC 6455 section 4.2", [
  {
    title: "the head in two writes, split at every octet",
    run: async (connect) => {
      const length = encodeHead(requestHead(connect.host, connect.target, newKey())).length
      const positions = Array.from({ length: length - 1 }, (_, i) => i + 1)
      const worker = async (): Promise<void> => {
        for (let at = positions.pop(); at !== undefined; at = positions.pop()) {
          const position = at
          const split = (head: Buffer): Array<Buffer> => [head.subarray(0, position), head.subarray(position)]
          await inParts(connect, split, "moment").catch((cause: unknown) => {
            throw new Error(`split behind octet ${position}: ${cause instanceof Error ? cause.message : cause}`, {
              cause
            })
          })
        }
      }
      await Promise.all(Array.from({ length: 8 }, worker))
    }
  },
  {
    title: "the head octet by octet",
    run: (connect) => inParts(connect, (head) => Array.from(head, (octet) => Buffer.of(octet)), "turn")
  },
  {
    title: "the head line by line",
    run: (connect) =>
      inParts(
        connect,
        (head) =>
          head
            .toString("latin1")
            .split(/(?<=\n)/)
            .map((s) => Buffer.from(s)),
        "moment"
      )
  },
  {
    title: "a message in one packet with the head",
    run: behindHead(
      () => [text("early")],
      async (peer) => {
        await peer.expectText("early")
        await peer.finish()
      }
    )
  },
  {
    title: "three messages and the Close in one packet with the head",
    run: behindHead(
      () => [text("a"), text("b"), text("c"), close(1000)],
      async (peer) => {
        for (const message of ["a", "b", "c"]) await peer.expectText(message)
        await peer.expectClose(1000)
        await peer.expectEnd()
      }
    )
  },
  {
    title: "half a message in one packet with the head, the rest later",
    run: async (connect) => {
      const frame = text("in two halves")
      const peer = await connect({ behind: frame.subarray(0, 9) })
      peer.send(frame.subarray(9))
      await peer.expectText("in two halves")
      await peer.finish()
    }
  },
  {
    title: "one octet of a message in one packet with the head, the rest later",
    run: async (connect) => {
      const frame = text("one octet")
      const peer = await connect({ behind: frame.subarray(0, 1) })
      peer.send(frame.subarray(1))
      await peer.expectText("one octet")
      await peer.finish()
    }
  },
  {
    title: "a message of 64 KiB in one packet with the head",
    run: async (connect) => {
      const payload = Buffer.alloc(65536, "0123456789abcdef")
      const peer = await connect({ behind: text(payload) })
      await peer.expectText(payload)
      await peer.finish()
    }
  },
  {
    title: "an illegal frame in one packet with the head",
    run: behindHead(
      () => [text("x", { rsv: 2 })],
      (peer) => peer.expectFailure(1002)
    )
  }
])

export const handshake: Group = {
  title: "0 opening handshake",
  cases: [...accepting, ...refusals, ...delivery]
}
