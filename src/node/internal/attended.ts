/**
 * The attendant of a stream, which is told of its events: one at a time, by listeners that all streams share and that stay when
 * another attendant takes over. Replacing listeners costs a connection as much as some of its system calls.
 */
import { Buffer } from "node:buffer"
import * as Net from "node:net"
import { Duplex } from "node:stream"
import { failsAsReset } from "./endOfStream.ts"

export interface Attendant {
  onData(chunk: Buffer): void
  onEnd(): void
  onError(cause: Error): void
  /** If it was waited for: see `awaitDrain`. */
  onDrain?(): void
  /** It is told nothing more. */
  onClose(): void
}

const attendant = Symbol("effect-websocket/attendant")

interface Attended extends Duplex {
  [attendant]?: Attendant | undefined
}

/** What a socket of `node:net` listens to itself. With one that may stay half open it does nothing, and a second listener takes 100 bytes. */
const [ownOnEnd] = new Net.Socket().listeners("end") as ReadonlyArray<(() => void) | undefined>
const spareOf = (stream: Duplex): (() => void) | undefined =>
  stream instanceof Net.Socket && stream.allowHalfOpen ? ownOnEnd : undefined

function onData(this: Attended, chunk: Buffer): void {
  this[attendant]?.onData(chunk)
}
function onEnd(this: Attended): void {
  if (!failsAsReset(this)) this[attendant]?.onEnd()
}
function onError(this: Attended, cause: Error): void {
  this[attendant]?.onError(cause)
}
function onClose(this: Attended): void {
  const last = this[attendant]
  // what is beneath a stream of TLS outlives it until the next full collection, and all that can be reached from there does
  this[attendant] = undefined
  last?.onClose()
}
function onDrain(this: Attended): void {
  this[attendant]?.onDrain?.()
}

/**
 * In place of a socket's own `push`, which Node calls with each chunk that the system gives. Of a stream that flows and holds nothing that
 * would emit the chunk, and have a tick look whether more is to be asked for, which the system goes on with by itself: a twentieth of
 * what an echo takes. In every other state, and if somebody else listens, the stream has it as ever.
 */
function push(this: Attended, chunk: unknown, encoding?: BufferEncoding): boolean {
  const isWanted =
    chunk instanceof Buffer &&
    this.readableFlowing === true &&
    this.readableLength === 0 &&
    this.listenerCount("data") === 1
  if (!isWanted) return Duplex.prototype.push.call(this, chunk, encoding)
  onData.call(this, chunk)
  return true
}

/**
 * Has an attended socket's data told at once, past its stream. Other kinds of sockets may wait for the stream to ask for more, as one of
 * the system does not.
 */
export const shorten = (stream: Attended): void => {
  const isPlain = Object.getPrototypeOf(stream) === Net.Socket.prototype
  if (isPlain && stream.push === Duplex.prototype.push) stream.push = push
}

/**
 * From now on this attendant is told, in place of the one before. It is not told of data that is read in another way. A stream
 * that has closed tells nobody, not even that it has.
 */
export const attend = (stream: Attended, by: Attendant, takesData = true): void => {
  const isNew = !(attendant in stream)
  stream[attendant] = by
  if (!isNew) return
  const spare = spareOf(stream)
  if (spare !== undefined) stream.off("end", spare)
  if (takesData) stream.on("data", onData)
  stream.on("end", onEnd).on("error", onError).on("close", onClose)
}

/** Has the attendant told once that the stream takes more: most streams never make anybody wait. */
export const awaitDrain = (stream: Attended): void => void stream.once("drain", onDrain)

/** From now on nobody is told: data that comes while the stream flows is thrown away, and errors are ignored. */
export const dismiss = (stream: Attended): void => {
  if (attendant in stream) stream[attendant] = undefined
}

/** Has no more data told. */
export const deafen = (stream: Attended): void => {
  stream.off("data", onData)
  if (stream.push === push) stream.push = Duplex.prototype.push
}

/** Takes the listeners off, as if there had never been an attendant. */
export const leave = (stream: Attended): void => {
  delete stream[attendant]
  stream.off("data", onData).off("end", onEnd).off("error", onError).off("close", onClose)
  const spare = spareOf(stream)
  if (spare !== undefined) stream.on("end", spare)
}
