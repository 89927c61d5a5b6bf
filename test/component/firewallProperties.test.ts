/**
 * The firewall of the proxy as an object: its properties, and what they take.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { inspect } from "node:util"
import { FirewallTypes } from "../../src/component/Enums.ts"
import { Firewall } from "../../src/component/Firewall.ts"
import { secret, user } from "../proxy/firewall.ts"
import * as Forwarding from "./forwarding.ts"

const { thrown } = Forwarding

describe("Firewall", { timeout: 30_000 }, () => {
  it.live("Firewall, 10022: is read and set as a whole, and nothing else is taken", () =>
    Effect.gen(function* () {
      const proxy = yield* Forwarding.make()
      assert.instanceOf(proxy.firewall, Firewall)
      assert.strictEqual(proxy.getFirewall(), proxy.firewall)
      const other = new Firewall()
      proxy.firewall = other
      assert.strictEqual(proxy.firewall, other)
      const another = new Firewall()
      proxy.setFirewall(another)
      assert.strictEqual(proxy.firewall, another)
      for (const value of [undefined, null, {}, { host: "fw.example" }, "fw.example"]) {
        assert.strictEqual(
          thrown(() => (proxy.firewall = value as never)),
          10022
        )
      }
      assert.strictEqual(proxy.firewall, another)
    })
  )

  it("Firewall.AutoDetect, Firewall.FirewallType, Firewall.Host, Firewall.Password, Firewall.Port, Firewall.User: by accessors and by methods", () => {
    const firewall = new Firewall()
    assert.deepStrictEqual(
      [
        firewall.autoDetect,
        firewall.firewallType,
        firewall.host,
        firewall.password,
        firewall.port,
        firewall.user
      ] as ReadonlyArray<unknown>,
      [false, FirewallTypes.fwNone, "", "", 0, ""]
    )
    firewall.autoDetect = true
    firewall.firewallType = FirewallTypes.fwTunnel
    firewall.host = "fw.example"
    firewall.password = secret
    firewall.port = 8080
    firewall.user = user
    const values = () => [
      firewall.getAutoDetect(),
      firewall.getFirewallType(),
      firewall.getHost(),
      firewall.getPassword(),
      firewall.getPort(),
      firewall.getUser()
    ]
    assert.deepStrictEqual(values(), [true, 1, "fw.example", secret, 8080, user])
    firewall.setAutoDetect(false)
    firewall.setFirewallType(FirewallTypes.fwSOCKS5)
    firewall.setHost("other.example")
    firewall.setPassword("")
    firewall.setPort(0)
    firewall.setUser("bob")
    assert.deepStrictEqual(values(), [false, 3, "other.example", "", 0, "bob"])
    assert.strictEqual(firewall.host, "other.example")
  })

  it("fwNone, fwTunnel, fwSOCKS4, fwSOCKS5, 10022: are the numbers of the types, and what is none is refused", () => {
    const { fwNone, fwSOCKS4, fwSOCKS5, fwTunnel } = FirewallTypes
    assert.deepStrictEqual([fwNone, fwTunnel, fwSOCKS4, fwSOCKS5], [0, 1, 2, 3])
    const firewall = new Firewall()
    for (const [name, value] of [
      ["firewallType", 4],
      ["firewallType", "fwTunnel"],
      ["port", 65536],
      ["port", -1],
      ["host", null],
      ["user", 7],
      ["password", undefined],
      ["autoDetect", 1]
    ] as const) {
      assert.strictEqual(
        thrown(() => Object.assign(firewall, { [name]: value })),
        10022,
        name
      )
    }
    assert.deepStrictEqual([firewall.firewallType, firewall.port, firewall.host], [0, 0, ""])
  })

  it("Firewall.Password, 10022: what is no text is not told", () => {
    const set = () => Object.assign(new Firewall(), { password: 81549300 })
    assert.throws(set, /^\[10022\](?!.*81549300).*Password: expected text/)
  })

  it("Firewall.Password: is not shown, in print or in JSON", () => {
    const firewall = new Firewall()
    firewall.host = "fw.example"
    firewall.password = secret
    for (const shown of [inspect(firewall), inspect({ firewall }, { depth: 9 }), JSON.stringify(firewall)]) {
      assert.include(shown, "fw.example")
      assert.notInclude(shown, secret)
    }
    const copies = [inspect(firewall, { customInspect: false, showHidden: true }), JSON.stringify({ ...firewall })]
    for (const copy of copies) assert.notInclude(copy, secret)
  })
})
