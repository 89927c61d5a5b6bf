/** How much is read of a header that says who handed on a request: it may have thousands of entries, which the client wrote. */
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as NetAddress from "effect/net/NetAddress"
import * as ForwardedFor from "../../src/server/ForwardedFor.ts"
import { list } from "./balancer.ts"
import { vi } from "vitest"

vi.mock("effect/net/NetAddress", { spy: true })

describe("clientAddress", () => {
  const headers = {
    "x-forwarded-for": `${"a,".repeat(7500)} 192.0.2.7, 10.0.0.2`,
    forwarded: `${"for=a,".repeat(2500)} for=192.0.2.7, for=10.0.0.2`
  } as const
  for (const header of ["x-forwarded-for", "forwarded"] as const) {
    it(`reads no entry of ${header} in front of the first that is not trusted`, () => {
      const trusted = list("10.0.0.0/8")
      const { mock } = vi.mocked(NetAddress.ipFromString)
      const before = mock.calls.length
      const client = ForwardedFor.clientAddress({ header, trusted }, "10.0.0.1", headers[header])
      assert.deepStrictEqual(client, Result.succeed("192.0.2.7"))
      const read = mock.calls.slice(before).map(([text]) => text)
      assert.includeMembers(read, ["192.0.2.7", "10.0.0.2"])
      assert.notInclude(read, "a")
    })
  }
})
