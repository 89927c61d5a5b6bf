/**
 * The negotiation of permessage-deflate (RFC 7692 section 7.1). Pure: offers and a policy in, agreed parameters out. The
 * bytes are deflated and inflated elsewhere, by zlib.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Extension from "./Extension.ts"
import { integer, number, wrong } from "./internal/option.ts"

/**
 * The name of the extension.
 *
 * @category constants
 * @since 0.1.0
 */
export const name = "permessage-deflate"

/**
 * What both sides agreed on. Window sizes are the base-2 logarithm of the LZ77 window, 8 to 15.
 *
 * @category models
 * @since 0.1.0
 */
export interface Agreement {
  /** The server compresses each message on its own (section 7.1.1.1). */
  readonly serverNoContextTakeover: boolean
  /** The client compresses each message on its own (section 7.1.1.2). */
  readonly clientNoContextTakeover: boolean
  /** The server's window (section 7.1.2.1). */
  readonly serverMaxWindowBits: number
  /** The client's window (section 7.1.2.2). */
  readonly clientMaxWindowBits: number
}

/**
 * What this endpoint wants of the extension, and when it uses it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy {
  /**
   * Whether messages may refer to earlier ones. It compresses small, similar messages far better, and costs each connection
   * the last bytes of what was compressed in each direction: as many as there were, at most 2^bits (32 KiB at 15 bits, 512
   * bytes at 9). Without it compression costs a connection no memory at all. Default: `false`. A server then tells its clients to do without
   * it, which two do not heed when they compress, Tornado's and Mojolicious'; with `true` they are understood. A client asks its server to
   * do without it, and takes the context of one that goes on with it, unless `false` is said and not the default.
   */
  readonly contextTakeover?: boolean | undefined
  /** The largest window of the server, 9 to 15. Default: 15. */
  readonly serverMaxWindowBits?: number | undefined
  /** The largest window of the client, 9 to 15, if the client lets the server choose it. Default: 15. */
  readonly clientMaxWindowBits?: number | undefined
  /** Messages of fewer bytes are sent as they are. Default: 1024. */
  readonly threshold?: number | undefined
  /**
   * The effort of compression, 1 to 9. With context takeover 4 takes less than half the CPU of 6, for a seventh more bytes (1 KiB of
   * JSON); without it they hardly differ. Default: 6, zlib's own.
   */
  readonly level?: number | undefined
}

/**
 * Whether and how to compress; `true` is a policy of defaults. Whatever is given a policy that cannot be one throws a `RangeError`.
 *
 * @category models
 * @since 0.1.0
 */
export type Setting = Policy | boolean

/**
 * What a setting asks for, if anything.
 *
 * @category negotiation
 * @since 0.1.0
 */
export const wanted = (setting: Setting | undefined): Policy | undefined => {
  if (setting === undefined || setting === false) return undefined
  if (setting === true) return defaults
  if (typeof setting !== "object" || setting === null || Array.isArray(setting))
    throw wrong("compression", "a policy, true or false", setting)
  const { clientMaxWindowBits, level, serverMaxWindowBits, threshold } = setting
  integer("compression.serverMaxWindowBits", serverMaxWindowBits, maxWindowBits, [minWindowBits, maxWindowBits])
  integer("compression.clientMaxWindowBits", clientMaxWindowBits, maxWindowBits, [minWindowBits, maxWindowBits])
  integer("compression.level", level, 6, [1, 9])
  number("compression.threshold", threshold, 0)
  return setting
}

const defaults: Policy = {}

/** zlib's raw deflate cannot make the 256-byte window of 8 bits, so an offer that demands it is declined. */
const minWindowBits = 9
const maxWindowBits = 15

interface Parameters {
  readonly serverNoContextTakeover: boolean
  readonly clientNoContextTakeover: boolean
  readonly serverMaxWindowBits: number | undefined
  /** `true`: named without a value. */
  readonly clientMaxWindowBits: number | true | undefined
}

/** 8 to 15 in decimal without leading zeros (section 7.1.2). */
const windowBits = (value: string): number | undefined => (/^(8|9|1[0-5])$/.test(value) ? Number(value) : undefined)

/** The parameters of an offer or a response, or `undefined` if one is unknown, repeated or has a value it may not have. */
const readParameters = (extension: Extension.Extension): Parameters | undefined => {
  const seen = new Map<string, string | undefined>()
  for (const [key, value] of extension.parameters) {
    if (seen.has(key)) return undefined
    seen.set(key, value)
  }
  let serverMaxWindowBits: number | undefined
  let clientMaxWindowBits: number | true | undefined
  for (const [key, value] of seen) {
    switch (key) {
      case "server_no_context_takeover":
      case "client_no_context_takeover":
        if (value !== undefined) return undefined
        break
      case "server_max_window_bits":
        serverMaxWindowBits = value === undefined ? undefined : windowBits(value)
        if (serverMaxWindowBits === undefined) return undefined
        break
      case "client_max_window_bits":
        clientMaxWindowBits = value === undefined ? true : windowBits(value)
        if (clientMaxWindowBits === undefined) return undefined
        break
      default:
        return undefined
    }
  }
  return {
    serverNoContextTakeover: seen.has("server_no_context_takeover"),
    clientNoContextTakeover: seen.has("client_no_context_takeover"),
    serverMaxWindowBits,
    clientMaxWindowBits
  }
}

/**
 * The server's side: takes the first offer that it can meet and says what it answers, or `None` if it declines them all
 * (section 5.1: the connection then goes on without the extension).
 *
 * @category negotiation
 * @since 0.1.0
 */
export const accept = (
  offers: ReadonlyArray<Extension.Extension>,
  policy: Policy
): Option.Option<{ readonly agreement: Agreement; readonly response: string }> => {
  for (const offer of offers) {
    if (offer.name !== name) continue
    const asked = readParameters(offer)
    if (asked === undefined) continue
    const serverMaxWindowBits = Math.min(
      asked.serverMaxWindowBits ?? maxWindowBits,
      policy.serverMaxWindowBits ?? maxWindowBits
    )
    if (serverMaxWindowBits < minWindowBits) continue
    const parameters: Array<[string, string | undefined]> = []
    const contextTakeover = policy.contextTakeover ?? false
    const serverNoContextTakeover = asked.serverNoContextTakeover || !contextTakeover
    if (serverNoContextTakeover) parameters.push(["server_no_context_takeover", undefined])
    const clientNoContextTakeover = asked.clientNoContextTakeover || !contextTakeover
    if (clientNoContextTakeover) parameters.push(["client_no_context_takeover", undefined])
    if (serverMaxWindowBits < maxWindowBits || asked.serverMaxWindowBits !== undefined) {
      parameters.push(["server_max_window_bits", String(serverMaxWindowBits)])
    }
    // only a client that named the parameter may be told its window (section 7.1.2.2)
    const offered = asked.clientMaxWindowBits === true ? maxWindowBits : asked.clientMaxWindowBits
    const clientMaxWindowBits =
      offered === undefined ? maxWindowBits : Math.min(offered, policy.clientMaxWindowBits ?? maxWindowBits)
    if (clientMaxWindowBits < maxWindowBits) {
      parameters.push(["client_max_window_bits", String(clientMaxWindowBits)])
    }
    return Option.some({
      agreement: { serverNoContextTakeover, clientNoContextTakeover, serverMaxWindowBits, clientMaxWindowBits },
      response: Extension.format({ name, parameters })
    })
  }
  return Option.none()
}

/**
 * The client's side: the offer it makes.
 *
 * @category negotiation
 * @since 0.1.0
 */
export const offer = (policy: Policy): string => {
  const parameters: Array<[string, string | undefined]> = []
  if (!(policy.contextTakeover ?? false)) {
    parameters.push(["server_no_context_takeover", undefined], ["client_no_context_takeover", undefined])
  }
  if (policy.serverMaxWindowBits !== undefined && policy.serverMaxWindowBits < maxWindowBits) {
    parameters.push(["server_max_window_bits", String(policy.serverMaxWindowBits)])
  }
  const client = policy.clientMaxWindowBits ?? maxWindowBits
  parameters.push(["client_max_window_bits", client < maxWindowBits ? String(client) : undefined])
  return Extension.format({ name, parameters })
}

/**
 * The client's side: what the server's answer to {@link offer} means, or `None` if it is no legal answer; then the client
 * fails the connection (section 7.1).
 *
 * @category negotiation
 * @since 0.1.0
 */
export const confirm = (response: Extension.Extension, policy: Policy): Option.Option<Agreement> => {
  const answer = response.name === name ? readParameters(response) : undefined
  if (answer === undefined || answer.clientMaxWindowBits === true) return Option.none()
  const contextTakeover = policy.contextTakeover ?? false
  // What the client demanded of the server must be granted (sections 7.1.1.1 and 7.1.2.1). To do without its context is only a wish
  // by default: Tornado and Mojolicious do not read it, and what they answer instead can be inflated (section 7.1).
  if (policy.contextTakeover === false && !answer.serverNoContextTakeover) return Option.none()
  const demanded = policy.serverMaxWindowBits ?? maxWindowBits
  const serverMaxWindowBits = answer.serverMaxWindowBits ?? maxWindowBits
  if (serverMaxWindowBits > demanded) return Option.none()
  const offered = policy.clientMaxWindowBits ?? maxWindowBits
  const clientMaxWindowBits = answer.clientMaxWindowBits ?? offered
  // section 7.1.2.2: a server that says anything of it says the same or less
  if (clientMaxWindowBits > offered || clientMaxWindowBits < minWindowBits) return Option.none()
  return Option.some({
    serverNoContextTakeover: answer.serverNoContextTakeover,
    // a client may always do without the context of its own messages
    clientNoContextTakeover: answer.clientNoContextTakeover || !contextTakeover,
    serverMaxWindowBits,
    clientMaxWindowBits
  })
}
