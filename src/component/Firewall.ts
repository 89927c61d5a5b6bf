/**
 * The firewall through which a proxy reaches its forward hosts: properties that are read at each connection.
 *
 * @since 0.1.0
 */
import { FirewallTypes } from "./Enums.ts"
import { field, type HasFields, withFields } from "./internal/fields.ts"
import { boolean, integer, oneOf, text } from "./internal/kinds.ts"

const details = { documents: "proxy", status: "works", note: "`proxy/Firewall`" } as const

/** @internal */
export const firewallFields = {
  autoDetect: field("AutoDetect", boolean, "write", "Whether the system's own settings are looked for.", {
    documents: "proxy",
    status: "no meaning",
    note: "Node does not know the system's firewall settings"
  }),
  firewallType: field(
    "FirewallType",
    oneOf(Object.values(FirewallTypes), "a value of FirewallTypes"),
    "write",
    "How it is asked: not at all, by HTTP CONNECT, or by SOCKS.",
    details
  ),
  host: field("Host", text, "write", "Its name or address.", details),
  password: field("Password", text, "write", "The password, where it asks for one.", details),
  port: field("Port", integer(0, 65535), "write", "Its port. 0: 80 for a tunnel, 1080 for SOCKS.", details),
  user: field("User", text, "write", "The user, where it asks for one.", details)
} as const

class Values implements HasFields {
  // not a plain field: whoever copies or prints them has no password then
  readonly #values: Record<string, unknown> = {
    autoDetect: false,
    firewallType: FirewallTypes.fwNone,
    host: "",
    password: "",
    port: 0,
    user: ""
  }
  readField(key: string): unknown {
    return this.#values[key]
  }
  writeField(key: string, value: unknown): void {
    this.#values[key] = value
  }
}

/**
 * See the head of this module.
 *
 * @category models
 * @since 0.1.0
 */
export class Firewall extends withFields(Values, firewallFields) {}
