import { assert, describe, it } from "@effect/vitest"
import * as Host from "../../src/protocol/internal/host.ts"

const hosts = [
  "a",
  "a.example",
  "a.example.",
  "A.EXAMPLE:80",
  "a:",
  "a_b-c~d",
  "%61.example",
  "a!$&'()*+,;=b",
  "127.0.0.1",
  "127.0.0.1:8080",
  "[::1]",
  "[2001:db8::1]:443",
  "[::ffff:192.0.2.1]"
]
const none = [
  "a b",
  "a/b",
  "a?b",
  "a#b",
  "a@b",
  "a:b",
  "a:b:c",
  "a:1:2",
  "a:-1",
  ":80",
  "::1",
  "[::1",
  "[zz",
  "[]",
  "[::1]x",
  "[fe80::1%25eth0]",
  "%",
  "%6",
  "%zz",
  "a%",
  "a\\b",
  'a"b',
  "a|b",
  "ä",
  "a\tb",
  "http://a"
]

describe("RFC 9112 section 3.2. Host", () => {
  for (const host of hosts) it(`${host} is one`, () => assert.isUndefined(Host.faultOf(host)))
  for (const host of none) {
    it(`${JSON.stringify(host)} is none, and is shown`, () =>
      assert.include(Host.faultOf(host), `${JSON.stringify(host)} came.`))
  }
  it("one that did not come, or is empty, is missing", () => {
    for (const host of [undefined, ""]) assert.strictEqual(Host.faultOf(host), "The Host header is missing.")
  })
})

describe("RFC 9112 section 3.2.2. absolute-form", () => {
  for (const host of hosts) {
    it(`at ${host} is the path and the query, and the host`, () => {
      for (const scheme of ["http", "https", "HTTP"]) {
        for (const [rest, target] of [
          ["", "/"],
          ["/", "/"],
          ["/a/b?c=d", "/a/b?c=d"],
          ["//a", "//a"],
          ["?c=/d?e", "/?c=/d?e"],
          ["/a:b@c", "/a:b@c"]
        ] as const) {
          assert.deepStrictEqual(Host.fromAbsolute(`${scheme}://${host}${rest}`), { host, target })
        }
      }
    })
  }
  for (const target of [
    "ws://a/",
    "wss://a/",
    "ftp://a/",
    "http:/a",
    "http:a",
    "http://",
    "http:///a",
    "http://?a",
    "http://user@a/",
    "http://user:secret@a/",
    "http://a b/",
    "http://[zz/",
    "http://a:b/",
    "http://a/#b",
    "http://a#b",
    "xhttp://a/",
    "a",
    "*",
    ""
  ]) {
    it(`${target} is none`, () => assert.isUndefined(Host.fromAbsolute(target)))
  }
})
