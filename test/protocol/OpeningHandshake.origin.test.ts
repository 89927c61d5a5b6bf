import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as OpeningHandshake from "../../src/protocol/OpeningHandshake.ts"
import * as Origin from "../../src/protocol/Origin.ts"
import { request } from "./requests.ts"

const allows = (origin: string | undefined, host: string, policy?: OpeningHandshake.OriginPolicy): boolean =>
  Result.match(OpeningHandshake.negotiate(request({ host, origin }), policy === undefined ? {} : { origin: policy }), {
    onSuccess: () => true,
    onFailure: ({ status }) => {
      assert.strictEqual(status, 403)
      return false
    }
  })

describe("10.2. Origin Considerations: same origin, the default", () => {
  for (const [origin, host] of [
    ["http://app.example", "app.example"],
    ["https://app.example", "app.example"],
    ["http://app.example", "app.example:80"],
    ["https://app.example", "app.example:443"],
    ["http://app.example:8080", "app.example:8080"],
    ["https://app.example:80", "app.example:80"],
    ["https://app.example", "APP.Example"],
    ["http://localhost:3000", "localhost:3000"],
    ["http://127.0.0.1:3000", "127.0.0.1:3000"],
    ["http://[::1]", "[::1]"],
    ["http://[::1]:8080", "[::1]:8080"],
    ["http://[2001:db8::1]", "[2001:DB8:0:0:0:0:0:1]:80"]
  ] as const) {
    it(`a page of ${origin} may connect to ${host}`, () => {
      assert.isTrue(allows(origin, host))
      assert.isTrue(allows(origin, host, "same-origin"))
    })
  }

  for (const [origin, host] of [
    ["http://evil.example", "app.example"],
    ["http://app.example:8080", "app.example"],
    ["http://app.example", "app.example:8080"],
    ["http://app.example", "app.example:443"],
    ["https://app.example", "app.example:80"],
    ["http://sub.app.example", "app.example"],
    ["http://app.example", "sub.app.example"],
    ["http://evilapp.example", "app.example"],
    ["http://app.example.evil.example", "app.example"],
    ["http://[::1]", "[::2]"],
    ["http://[::1]:8080", "[::1]"],
    ["http://127.0.0.1", "localhost"],
    ["null", "null"],
    ["null", "app.example"],
    ["", "app.example"],
    ["file://", "app.example"],
    ["file://", "localhost"],
    ["data:,app.example", "app.example"],
    ["app.example", "app.example"],
    ["http://app.example, http://app.example", "app.example"],
    ["http://evil.example http://app.example", "app.example"],
    ["http://app.example@evil.example", "app.example"]
  ] as const) {
    it(`a page of ${JSON.stringify(origin)} may not connect to ${host}`, () => {
      assert.isFalse(allows(origin, host))
    })
  }

  it("a list may name what a browser may say, and nothing else", () => {
    const names = [
      "https://app.example",
      "https://app.example/",
      "https://*.app.example",
      "http://[::1]:80",
      "tauri://localhost"
    ]
    for (const text of [...names, "file://", "null"]) assert.isTrue(Origin.isOrigin(text), text)
    const slips = [
      "app.example",
      "*",
      "any",
      "",
      "localhost:3000",
      "https://app.example/page",
      "https://a b",
      "https:app.example",
      "https://",
      "http:///",
      "https://*",
      "https://a.*.example",
      "https://app.example?a=b",
      "https://ann@app.example",
      "https://app.example:https",
      "https://münchen.example"
    ]
    for (const text of slips) assert.isFalse(Origin.isOrigin(text), text)
  })

  it("no page may connect to what is no host, whoever asks about it", () => {
    for (const host of [undefined, "", ":80", "app.example:port"]) {
      const headers = { origin: "http://app.example", ...(host === undefined ? {} : { host }) }
      assert.isFalse(Origin.isAllowed(headers, "same-origin"))
    }
  })

  it("a client without an origin is no browser, and not held back", () => {
    assert.isTrue(allows(undefined, "app.example"))
    assert.isTrue(allows(undefined, "app.example", []))
    assert.isTrue(allows(undefined, "app.example", ["https://other.example"]))
  })
})

describe("10.2. Origin Considerations: any origin", () => {
  it("every origin may connect", () => {
    for (const origin of ["https://evil.example", "null", "", "file://"])
      assert.isTrue(allows(origin, "app.example", "any"))
  })
})

describe("10.2. Origin Considerations: a list", () => {
  const listed = [
    "https://app.example",
    "http://localhost:3000/",
    "HTTPS://Other.Example:8443",
    "http://[::1]:8080",
    "http://[2001:DB8::1]:80"
  ]
  for (const origin of [
    "https://app.example",
    "HTTPS://APP.EXAMPLE",
    "http://localhost:3000",
    "https://other.example:8443",
    "http://[::1]:8080",
    "http://[2001:db8::1]"
  ]) {
    it(`${origin} is on it`, () => {
      assert.isTrue(allows(origin, "server.example", listed))
    })
  }

  for (const origin of [
    "http://app.example",
    "https://app.example:8443",
    "https://sub.app.example",
    "https://*.app.example",
    "https://evilapp.example",
    "https://app.example.evil.example",
    "https://app.exampl",
    "https://other.example",
    "http://localhost",
    "null",
    "",
    "https://app.example, https://app.example",
    // nor is the server's own
    "https://server.example"
  ]) {
    it(`${JSON.stringify(origin)} is not on it`, () => {
      assert.isFalse(allows(origin, "server.example", listed))
    })
  }

  it("an empty list lets no page connect", () => {
    assert.isFalse(allows("https://server.example", "server.example", []))
  })

  it("a star alone is no origin and no way to say any", () => {
    for (const entry of ["*", "*://*", "https://*", ""])
      assert.isFalse(allows("https://app.example", "server.example", [entry]), entry)
  })

  it("the null origin of sandboxed and local pages may be listed", () => {
    assert.isTrue(allows("null", "server.example", ["null"]))
  })

  it("origins of apps, extensions and files may be listed, to the letter", () => {
    const listed = ["chrome-extension://abcdefghijklmnop", "tauri://localhost", "capacitor://localhost", "file://"]
    for (const origin of listed) {
      assert.isTrue(allows(origin, "server.example", listed), origin)
      assert.isFalse(allows(origin, "server.example", ["https://app.example"]), origin)
      assert.isFalse(allows(`${origin}x`, "server.example", listed), origin)
    }
  })

  it("an entry may name the default port of its scheme, which an origin leaves out", () => {
    assert.isTrue(allows("https://app.example", "server.example", ["https://app.example:443"]))
    assert.isTrue(allows("http://app.example", "server.example", ["http://app.example:80"]))
    assert.isFalse(allows("https://app.example", "server.example", ["https://app.example:80"]))
  })
})

describe("10.2. Origin Considerations: subdomains", () => {
  const listed = ["https://*.app.example", "http://*.dev.example:8080"]
  for (const origin of [
    "https://a.app.example",
    "https://a.b.app.example",
    "https://app.app.example",
    "HTTPS://A.App.Example",
    "https://xn--bcher-kva.app.example",
    "http://x.dev.example:8080"
  ]) {
    it(`${origin} is one`, () => {
      assert.isTrue(allows(origin, "server.example", listed))
    })
  }

  for (const origin of [
    // the domain itself is no subdomain
    "https://app.example",
    "http://a.app.example",
    "https://*.a.app.example",
    "wss://a.app.example",
    "https://a.app.example:8443",
    "https://evilapp.example",
    "https://a.evilapp.example",
    "https://a-app.example",
    "https://app.example.evil.example",
    "https://a.app.example.evil.example",
    "https://aXapp.example",
    "https://a.appXexample",
    "http://x.dev.example",
    "http://x.dev.example:80800",
    "null",
    ""
  ]) {
    it(`${JSON.stringify(origin)} is none`, () => {
      assert.isFalse(allows(origin, "server.example", listed))
    })
  }

  for (const origin of [
    "https://evil.example/.app.example",
    "https://evil.example/a.app.example",
    "https://evil.example?.app.example",
    "https://evil.example#.app.example",
    "https://evil.example:1/.app.example",
    "https://evil.example https://a.app.example",
    "https://evil.example, https://a.app.example",
    "https://evil.example\\.app.example",
    "https://evil.example@a.app.example",
    "https://.app.example"
  ]) {
    it(`${JSON.stringify(origin)} is not the one origin (RFC 6454 section 7.1) of a subdomain`, () => {
      assert.isFalse(allows(origin, "server.example", listed))
    })
  }

  it("an entry may end in a slash, as one without a star may", () => {
    assert.isTrue(allows("https://a.app.example", "server.example", ["https://*.app.example/"]))
  })
})
