/**
 * What dialled sockets read, past the stream of `node:net`, which takes 64 KiB for each read and hands it on in a dozen calls. They
 * all read into one slab (`onread`), which is copied from. A socket with a large read is about to give more: from then on it reads into
 * buffers that go away with what was read, until a read is small. They have room in front, where the header of a frame can be put.
 * So a connection with little to say has no buffer; how many have one is bounded, and all others copy.
 */
import { Buffer } from "node:buffer"
import type * as Net from "node:net"
import type { Duplex } from "node:stream"
import { Copies } from "../../connection/internal/copies.ts"

/**
 * What one read takes at most. A frame with this payload, also as four records of TLS, fits into one of the largest segments that there
 * are (65,464 bytes, of IPv6 over the loopback interface). What does not leaves a tail of some bytes, which is sent, acknowledged and
 * waited for like a whole one.
 */
const readSize = 64 * 1024 - 256 - 4

/** What is at least as large is given in a buffer that nothing else is in. */
const large = 16 * 1024

/** A frame's header, and the payload behind it aligned. */
const headroom = 16

/** How many sockets may have a buffer of their own. */
const maxOwners = 64

/** Takes what is read. If it does not want more it has to pause the socket. */
export interface Receiver {
  onRead(chunk: Uint8Array): void
}

interface Lean extends Duplex {
  /** Bytes that came while nobody took them; the socket does not read on then. */
  [early]?: Array<Uint8Array> | undefined
  [receiver]?: Receiver | undefined
  [isOwner]?: boolean
}

const early = Symbol("effect-websocket/early")
const receiver = Symbol("effect-websocket/receiver")
const isOwner = Symbol("effect-websocket/isOwner")

const shared = Buffer.allocUnsafeSlow(readSize)
const copies = new Copies()
let owners = 0

/** The buffer that the socket that has just read will read into next. */
let next: Uint8Array = shared

const own = (length: number): Uint8Array => Buffer.allocUnsafeSlow(headroom + length).subarray(headroom)

/** What was read, for whoever keeps it. */
const taken = (length: number, buffer: Uint8Array): Uint8Array => {
  if (length < large) return copies.of(buffer.subarray(0, length))
  if (buffer !== shared) return buffer.subarray(0, length)
  const chunk = own(length)
  chunk.set(buffer.subarray(0, length))
  return chunk
}

const nobody: Receiver = { onRead: () => {} }

/** Called by the socket, and behind it `nextBuffer`, with nothing in between. */
function onRead(this: Lean, length: number, buffer: Uint8Array): boolean {
  const chunk = taken(length, buffer)
  const { [receiver]: takes, [isOwner]: wasOwner = false } = this
  const isWanted = takes !== undefined && takes !== nobody
  const owns = isWanted && length >= large && (wasOwner || owners < maxOwners)
  if (owns !== wasOwner) {
    this[isOwner] = owns
    owners += owns ? 1 : -1
  }
  if (takes === undefined) this[early]?.push(chunk)
  else takes.onRead(chunk)
  // not before: meanwhile others may have asked for theirs
  if (owns) next = own(readSize)
  return takes !== undefined
}

/** A socket that is only being made asks for one as well. */
const nextBuffer = (): Uint8Array => {
  const buffer = next
  next = shared
  return buffer
}

/** For a socket that is to be read so. */
export const onread: Net.OnReadOpts = { buffer: nextBuffer, callback: onRead }

/** Says that a socket was made with it. */
export const begin = (socket: Net.Socket & Lean): void => {
  socket[early] = []
}

/** Whether what was read has a buffer that nothing else is in. */
export const isAlone = (chunk: Uint8Array): boolean => chunk.length >= large

/** Gives the socket's reads to a receiver, and returns those that came before; `undefined` if the socket is not read this way. */
export const attach = (socket: Lean, to: Receiver): Array<Uint8Array> | undefined => {
  const before = socket[early]
  if (before === undefined) return undefined
  socket[early] = undefined
  socket[receiver] = to
  return before
}

/** Whether a socket is read this way, and nobody takes it yet. */
export const isFree = (socket: Lean): boolean => socket[early] !== undefined

/** Takes the socket from its receiver, for another that is attached at once. */
export const release = (socket: Lean): void => {
  socket[receiver] = undefined
  socket[early] = []
}

/** Throws away whatever is still read. */
export const detach = (socket: Lean): void => {
  if (socket[receiver] !== undefined) socket[receiver] = nobody
}

/** How many sockets have a buffer of their own. */
export const countOwners = (): number => owners

/** The socket is closed. */
export const leave = (socket: Lean): void => {
  if (socket[isOwner] !== true) return
  socket[isOwner] = false
  owners--
}
