/**
 * permessage-deflate as the client speaks it (RFC 7692): the offer, the response held against it, and the codecs.
 */
import * as zlib from "node:zlib"

/** What the server's response settled. */
export interface Agreement {
  readonly serverTakeover: boolean
  readonly clientTakeover: boolean
  readonly serverWindow: number
  readonly clientWindow: number
}

type Parameters = ReadonlyMap<string, string | undefined>

export const TAIL: Buffer = Buffer.from([0x00, 0x00, 0xff, 0xff])

const NAMES = [
  "server_no_context_takeover",
  "client_no_context_takeover",
  "server_max_window_bits",
  "client_max_window_bits"
]

const parseParameters = (source: ReadonlyArray<string>): Parameters => {
  const out = new Map<string, string | undefined>()
  for (const part of source) {
    const equals = part.indexOf("=")
    const name = (equals < 0 ? part : part.slice(0, equals)).trim()
    const value =
      equals < 0
        ? undefined
        : part
            .slice(equals + 1)
            .trim()
            .replace(/^"(.*)"$/, "$1")
    if (out.has(name)) throw new Error(`the response names ${name} twice`)
    out.set(name, value)
  }
  return out
}

const windowOf = (parameters: Parameters, name: string): number | undefined => {
  if (!parameters.has(name)) return undefined
  const value = parameters.get(name)
  if (value === undefined || !/^([89]|1[0-5])$/.test(value)) throw new Error(`the response says ${name}=${value}`)
  return Number(value)
}

/** Whether `response` is a legal answer to one element of an offer (RFC 7692 section 7.1); why not, if it is not. */
const answers = (offer: Parameters, response: Parameters): string | undefined => {
  if (offer.has("server_no_context_takeover") && !response.has("server_no_context_takeover")) {
    return "server_no_context_takeover was asked for and is missing"
  }
  if (offer.has("server_max_window_bits")) {
    const asked = Number(offer.get("server_max_window_bits"))
    const got = windowOf(response, "server_max_window_bits")
    if (got === undefined || got > asked) return `server_max_window_bits=${asked} was asked for, not ${got}`
  }
  if (response.has("client_max_window_bits") && !offer.has("client_max_window_bits")) {
    return "client_max_window_bits was not offered"
  }
  return undefined
}

/** The agreement that `response` (a Sec-WebSocket-Extensions value) makes of `offer`; an illegal response throws. */
export const agree = (offer: string, response: string): Agreement => {
  const [name, ...rest] = response.split(";").map((part) => part.trim())
  if (response.includes(",") || name !== "permessage-deflate") {
    throw new Error(`one permessage-deflate was expected in the response, ${JSON.stringify(response)} came`)
  }
  const parameters = parseParameters(rest)
  for (const [key, value] of parameters) {
    if (!NAMES.includes(key)) throw new Error(`the response has the unknown parameter ${key}`)
    if (key.endsWith("takeover") && value !== undefined) throw new Error(`the response gives ${key} a value`)
  }
  const complaints: Array<string> = []
  for (const element of offer.split(",")) {
    const [extension, ...offered] = element.split(";").map((part) => part.trim())
    if (extension !== "permessage-deflate") continue
    const asked = legal(offered) ? parseParameters(offered) : undefined
    const complaint = asked === undefined ? "that had to be declined" : answers(asked, parameters)
    if (complaint === undefined) {
      return {
        serverTakeover: !parameters.has("server_no_context_takeover"),
        clientTakeover: !parameters.has("client_no_context_takeover"),
        serverWindow: windowOf(parameters, "server_max_window_bits") ?? 15,
        clientWindow: Math.min(
          windowOf(parameters, "client_max_window_bits") ?? 15,
          Number(asked?.get("client_max_window_bits") ?? 15)
        )
      }
    }
    complaints.push(complaint)
  }
  throw new Error(`the response ${response} answers no offer in ${offer}: ${complaints.join("; ")}`)
}

/** Whether a server may accept these parameters of an offer. */
const legal = (parameters: ReadonlyArray<string>): boolean => {
  const seen = new Set<string>()
  return parameters.every((parameter) => {
    const [name = "", value, more] = parameter.split("=").map((part) => part.trim())
    const bare = value?.replace(/^"(.*)"$/, "$1")
    if (seen.has(name) || more !== undefined) return false
    seen.add(name)
    if (name.endsWith("takeover")) return NAMES.includes(name) && value === undefined
    if (name === "client_max_window_bits" && value === undefined) return true
    return NAMES.includes(name) && bare !== undefined && /^([89]|1[0-5])$/.test(bare)
  })
}

export interface DeflateOptions {
  readonly windowBits: number
  readonly takeover: boolean
}

/** One flushed run through a zlib stream that keeps its context. */
const flushed = (stream: zlib.DeflateRaw | zlib.InflateRaw, input: ReadonlyArray<Uint8Array>): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const out: Array<Buffer> = []
    const onData = (chunk: Buffer): void => void out.push(chunk)
    stream.on("data", onData)
    stream.on("error", reject)
    for (const chunk of input) stream.write(chunk)
    stream.flush(zlib.constants.Z_SYNC_FLUSH, () => {
      stream.off("data", onData)
      stream.off("error", reject)
      resolve(Buffer.concat(out))
    })
  })

export class Compressor {
  readonly #options: zlib.ZlibOptions
  readonly #stream: zlib.DeflateRaw | undefined

  constructor(options: DeflateOptions) {
    // zlib has no raw deflate with a window of 256 octets: without matches any window will do.
    this.#options =
      options.windowBits === 8
        ? { strategy: zlib.constants.Z_HUFFMAN_ONLY, finishFlush: zlib.constants.Z_SYNC_FLUSH }
        : { windowBits: options.windowBits, level: 2, memLevel: 5, finishFlush: zlib.constants.Z_SYNC_FLUSH }
    this.#stream = options.takeover ? zlib.createDeflateRaw(this.#options) : undefined
  }

  /** The payload of a compressed message: RFC 7692 section 7.2.1. */
  async compress(message: Uint8Array): Promise<Buffer> {
    const out =
      this.#stream === undefined
        ? zlib.deflateRawSync(message, this.#options)
        : await flushed(this.#stream, message.length === 0 ? [] : [message])
    if (out.length === 0) return Buffer.from([0])
    if (!out.subarray(-4).equals(TAIL)) throw new Error("unreachable: a sync flush ends with 00 00 ff ff")
    return out.length === 4 ? Buffer.from([0]) : out.subarray(0, -4)
  }

  dispose(): void {
    this.#stream?.close()
  }
}

export class Decompressor {
  readonly #options: zlib.ZlibOptions
  readonly #stream: zlib.InflateRaw | undefined

  /** A small `chunkSize` makes zlib keep to its window: what it has just put out would be reachable otherwise. */
  constructor(options: DeflateOptions & { readonly chunkSize?: number }) {
    this.#options = {
      windowBits: options.windowBits,
      finishFlush: zlib.constants.Z_SYNC_FLUSH,
      ...(options.chunkSize === undefined ? undefined : { chunkSize: options.chunkSize })
    }
    this.#stream = options.takeover ? zlib.createInflateRaw(this.#options) : undefined
  }

  /** RFC 7692 section 7.2.2. */
  async decompress(payload: Uint8Array): Promise<Buffer> {
    return this.#stream === undefined
      ? zlib.inflateRawSync(Buffer.concat([payload, TAIL]), this.#options)
      : await flushed(this.#stream, [payload, TAIL])
  }

  dispose(): void {
    this.#stream?.close()
  }
}
