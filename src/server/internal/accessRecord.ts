/**
 * What the access log keeps of a request, from when it comes to the end of its connection, and the request as the server sees it
 * meanwhile: one whose answer is written down.
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Socket from "effect/socket/Socket"
import * as CloseCode from "../../protocol/CloseCode.ts"
import type { CloseInfo } from "../../protocol/ConnectionState.ts"
import { authority } from "../../protocol/internal/authority.ts"
import type * as OpeningHandshake from "../../protocol/OpeningHandshake.ts"
import type { AccessLog, Entry } from "../AccessLog.ts"
import type { Identity } from "../Identity.ts"
import type { Peer, Upgrade } from "../UpgradeListener.ts"

/** The most that is kept of a text that a client wrote, in characters. */
const maxText = 1024

const cut = (text: string): string => (text.length > maxText ? `${text.slice(0, maxText)}…` : text)

/** What the end is that nobody learned of, as where the release of a connection died. */
const lost: CloseInfo = { code: CloseCode.abnormal, reason: "", wasClean: false }

type About = Omit<Entry, "event" | "at" | "elapsed" | "annotations" | "subject">

const aboutOf = ({ peer, remoteAddress, request }: Upgrade): About => {
  const { host, origin, "user-agent": userAgent } = request.headers
  const address = peer?.remoteAddress
  const about = {
    id: crypto.randomUUID(),
    client: remoteAddress,
    peer: address === undefined ? undefined : authority(address, peer?.remotePort ?? 0),
    tls: peer?.tls?.version,
    path: cut(request.path),
    host: host && cut(host),
    origin: origin && cut(origin),
    userAgent: userAgent && cut(userAgent)
  }
  // a part of a string keeps the whole, which here is the head: these are to outlive it
  return JSON.parse(JSON.stringify(about)) as About
}

/** What a connection has come to. */
export interface Ended {
  readonly info: CloseInfo | undefined
  readonly received: number
  readonly sent: number
}

export class AccessRecord {
  private readonly log: AccessLog["Service"]
  private readonly clock: Clock.Clock
  private readonly about: About
  private readonly cameAt: number
  private readonly annotations: Record<string, string> = {}
  private subject: string | undefined = undefined
  private isAnswered = false

  constructor(log: AccessLog["Service"], clock: Clock.Clock, upgrade: Upgrade) {
    this.log = log
    this.clock = clock
    this.about = aboutOf(upgrade)
    this.cameAt = clock.currentTimeMillisUnsafe()
  }

  annotate(key: string, value: string): void {
    this.annotations[key] = value
  }

  identified({ subject }: Identity): void {
    this.subject = subject
  }

  /** Refuses, and writes the entry when the client has the answer; a refusal that cannot be sent is not written. */
  refused(refusing: Effect.Effect<void>, { reason, status }: OpeningHandshake.Refusal): Effect.Effect<void> {
    return Effect.suspend(() => {
      const entry: Entry = { event: "refused", ...this.all, status, reason }
      return Effect.onExit(refusing, (exit) =>
        Exit.isFailure(exit) && Cause.hasDies(exit.cause) ? Effect.void : this.write(entry)
      )
    })
  }

  opened({ compression, subprotocol }: OpeningHandshake.Acceptance): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.write({ event: "opened", ...this.all, subprotocol, isCompressed: compression !== undefined })
    )
  }

  /** The end of all, of a connection if there was one. */
  over(ended: Ended | undefined): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (ended !== undefined) {
        const { info = lost, received, sent } = ended
        return this.write({ event: "closed", ...this.all, ...info, received, sent })
      }
      return this.isAnswered ? Effect.void : this.write({ event: "gone", ...this.all })
    })
  }

  /** What is known by now. */
  private get all(): Omit<Entry, "event"> {
    const now = this.clock.currentTimeMillisUnsafe()
    return {
      ...this.about,
      at: DateTime.makeUnsafe(now),
      subject: this.subject,
      annotations: { ...this.annotations },
      elapsed: now - this.cameAt
    }
  }

  private write(entry: Entry): Effect.Effect<void> {
    this.isAnswered = true
    return Effect.catchCause(
      Effect.suspend(() => this.log.write(entry)),
      (cause) => Effect.logError("The access log failed", cause)
    )
  }
}

/** A request whose refusal is written down. */
export class RecordedUpgrade implements Upgrade {
  private readonly upgrade: Upgrade
  private readonly record: AccessRecord

  constructor(upgrade: Upgrade, record: AccessRecord) {
    this.upgrade = upgrade
    this.record = record
  }

  get request(): OpeningHandshake.Request {
    return this.upgrade.request
  }
  get remoteAddress(): string | undefined {
    return this.upgrade.remoteAddress
  }
  get peer(): Peer | undefined {
    return this.upgrade.peer
  }
  get isGone(): boolean | undefined {
    return this.upgrade.isGone
  }

  annotate(key: string, value: string): void {
    this.record.annotate(key, value)
  }

  accept(acceptance: OpeningHandshake.Acceptance): Effect.Effect<Socket.Socket, Socket.SocketError> {
    return this.upgrade.accept(acceptance)
  }

  refuse(refusal: OpeningHandshake.Refusal): Effect.Effect<void> {
    const refusing = this.upgrade.refuse(refusal)
    return this.isGone === true
      ? Effect.andThen(refusing, this.record.over(undefined))
      : this.record.refused(refusing, refusal)
  }
}
