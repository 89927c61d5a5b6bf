/** The DataIn events. Their text and bytes are made when they are read, and belong to the listener. */
import { Copies } from "../../connection/internal/copies.ts"
import type { DataInEvent, PingEvent } from "../Events.ts"
import { showsAs } from "./shown.ts"

/** Listeners may do with these as they like, and so they are nobody else's. */
const copies = new Copies()

const lenient = new TextDecoder("utf-8", { ignoreBOM: true })

export class DataIn implements DataInEvent {
  readonly connectionId: string
  readonly dataFormat: number
  readonly eom: boolean
  readonly eol: boolean
  private readonly payload: Uint8Array
  private decoded: string | undefined
  private copy: Uint8Array | undefined

  constructor(
    connectionId: string,
    dataFormat: number,
    payload: Uint8Array,
    text: string | undefined,
    eom: boolean,
    eol: boolean
  ) {
    this.connectionId = connectionId
    this.dataFormat = dataFormat
    this.payload = payload
    this.decoded = text
    this.eom = eom
    this.eol = eol
  }

  get text(): string {
    return (this.decoded ??= lenient.decode(this.payload))
  }

  /** The payload is a view of a larger buffer, which it would keep alive; and a Buffer, whose `slice` is a view too. */
  get textB(): Uint8Array {
    return (this.copy ??= copies.of(this.payload))
  }
}

showsAs(DataIn, ["connectionId", "dataFormat", "text", "eom", "eol"])

export class Ping implements PingEvent {
  readonly connectionId: string
  readonly payloadB: Uint8Array
  readonly response: boolean

  constructor(connectionId: string, payload: Uint8Array, response: boolean) {
    this.connectionId = connectionId
    this.payloadB = payload
    this.response = response
  }

  get payload(): string {
    return lenient.decode(this.payloadB)
  }
}

showsAs(Ping, ["connectionId", "payload", "response"])
