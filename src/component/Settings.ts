/**
 * The settings of the components, and `config`, which reads and writes them as text: `NAME`, `NAME=VALUE`, and
 * `NAME[connectionId]` for those of a connection. Names may be in any case.
 *
 * @since 0.1.0
 */
import { ComponentError, invalid } from "./ComponentError.ts"
import type { Setting, Settings as TableOf } from "./settings/setting.ts"
import { baseSettings, tcpSettings } from "./settings/tcp.ts"
import { tlsSettings } from "./settings/tls.ts"
import { ownSettings, webSocketSettings } from "./settings/webSocket.ts"

/**
 * All settings of both components.
 *
 * @category tables
 * @since 0.1.0
 */
export const settings = { ...webSocketSettings, ...tcpSettings, ...tlsSettings, ...baseSettings, ...ownSettings }

type ValuesOf<T> = T extends TableOf<infer V> ? V : never

/**
 * The values of the settings, as what they mean.
 *
 * @category models
 * @since 0.1.0
 */
export type Values = ValuesOf<typeof settings>

/**
 * What the settings of one connection are kept in.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConnectionSettings {
  readSetting(name: string): unknown
  writeSetting(name: string, value: unknown): void
}

/**
 * What settings must know of their component.
 *
 * @category models
 * @since 0.1.0
 */
export interface Owner {
  readonly name: "WSServer" | "WebSocketProxy"
  readonly isListening: () => boolean
  /** Called when a setting is set that is only read when listening starts. */
  readonly comesLate: (name: string) => void
  /** The connection with this id; throws 126 if there is none. */
  readonly connection: (id: string) => ConnectionSettings
  /** Values that are made up when they are asked for. */
  readonly computed: Readonly<Record<string, () => unknown>>
}

const syntax = /^\s*(\w+)\s*(?:\[([^\]]*)\])?\s*(?:=([\s\S]*))?$/

/**
 * The settings of one component, by their names.
 *
 * @category models
 * @since 0.1.0
 */
export class Store {
  private readonly owner: Owner
  private readonly byName = new Map<string, Setting<unknown>>()
  /** The values by name. */
  readonly values: Readonly<Values>
  private readonly writable: Record<string, unknown> = {}
  private readonly written = new Set<string>()

  constructor(owner: Owner) {
    this.owner = owner
    const others = owner.name === "WSServer" ? "proxy" : "server"
    // what is read of a setting, its own kind checks; so a value may pass for anything
    for (const setting of Object.values(settings) as unknown as ReadonlyArray<Setting<unknown>>) {
      if (setting.documents !== others) this.byName.set(setting.name.toLowerCase(), setting)
      this.writable[setting.name] = setting.default
    }
    // each under its name, and of its kind
    this.values = this.writable as unknown as Values
  }

  get<N extends keyof Values>(name: N): Values[N] {
    return this.values[name]
  }

  /** Whether somebody has set it, be it to its default. */
  isSet(name: keyof Values): boolean {
    return this.written.has(name)
  }

  config(text: string): string {
    const [, name, id, value] = syntax.exec(text) ?? []
    if (name === undefined) throw invalid("config", "NAME, NAME=VALUE or NAME[connectionId]", text)
    const setting = this.byName.get(name.toLowerCase())
    if (setting === undefined) throw this.unknown(name)
    if (id === undefined && setting.perConnection === "only") {
      throw new ComponentError(10022, {
        detail: `${setting.name} is of a connection: write ${setting.name}[connectionId].`
      })
    }
    if (id !== undefined && setting.perConnection === false) {
      throw new ComponentError(10022, { detail: `${setting.name} is not of a connection: write it without [${id}].` })
    }
    const connection = id === undefined ? undefined : this.owner.connection(id)
    if (value !== undefined) this.write(setting, value, connection)
    return setting.kind.format(
      connection === undefined
        ? (this.owner.computed[setting.name]?.() ?? this.writable[setting.name])
        : connection.readSetting(setting.name)
    )
  }

  private write(setting: Setting<unknown>, text: string, connection: ConnectionSettings | undefined): void {
    const { kind, name } = setting
    if (setting.change === "never") throw new ComponentError(10022, { detail: `${name} can only be read.` })
    const value = kind.parse(text)
    if (value === undefined) throw invalid(name, kind.acceptsText ?? kind.accepts, text)
    if (setting.change === "notListening" && this.owner.isListening()) throw new ComponentError(108)
    if (connection !== undefined) return connection.writeSetting(name, value)
    this.writable[name] = value
    this.written.add(name)
    if (setting.change === "nextListening") this.owner.comesLate(name)
  }

  private unknown(name: string): ComponentError {
    const near = [...this.byName.values()].find(
      (setting) => distance(setting.name.toLowerCase(), name.toLowerCase()) <= Math.max(2, name.length / 4)
    )
    const hint = near === undefined ? "" : ` Did you mean ${near.name}?`
    return new ComponentError(10022, { detail: `${this.owner.name} has no setting ${name}.${hint}` })
  }
}

/** How many letters must be changed, put in or taken out to make one word of the other (Levenshtein). */
const distance = (a: string, b: string): number => {
  let above = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      row.push(Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    above = row
  }
  return above[b.length]!
}
