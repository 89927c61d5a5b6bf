/**
 * Targets as text, and hosts in notations that are meant to look like something else.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Host from "effect/net/Host"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Target from "../../src/proxy/Target.ts"

describe("a host", () => {
  it.each([
    ["in capitals", "DB.Example", "db.example"],
    ["with the root's dot", "db.example.", "db.example."],
    ["beyond ASCII", "b\u00fccher.example", "xn--bcher-kva.example"],
    ["in letters that are drawn otherwise", "\u217cocalhost", "localhost"],
    ["with letters that are not drawn", "loc\u200balhost", "localhost"],
    ["of containers, with an underscore", "my_db", "my_db"],
    ["of IPv4", "127.0.0.1", "127.0.0.1"],
    ["of IPv6", "0000:0:0:0:0:0:0:1", "::1"],
    ["in brackets", "[2001:DB8::12]", "2001:db8::12"],
    ["of IPv4 in IPv6", "::FFFF:7f00:1", "::ffff:127.0.0.1"],
    ["with a zone", "fe80::1%eth0", "fe80::1%eth0"]
  ])("%s is read as what it is", (_, text, expected) => {
    assert.strictEqual(Host.formatHost(Result.getOrThrow(Target.readHost(text))), expected)
  })

  it.each([
    ["in hexadecimal", "0x7f.1"],
    ["in hexadecimal, whole", "0x7f000001"],
    ["in octal", "0177.0.0.1"],
    ["as one number", "2130706433"],
    ["with parts left out", "127.1"],
    ["of zero", "0"],
    ["with a leading zero", "127.0.0.01"],
    ["with the root's dot", "127.0.0.1."],
    ["with a zone", "127.0.0.1%eth0"],
    ["in brackets", "[127.0.0.1]"],
    ["in broad digits", "\uff11\uff12\uff17.0.0.1"],
    ["with ideographic dots", "127\u30020\u30020\u30021"],
    ["in circled digits", "\u2460\u2461\u2466.0.0.1"],
    ["in hexadecimal in IPv6", "::ffff:0x7f.1"],
    ["behind escapes", "%31%32%37.0.0.1"],
    ["with an escape at its end", "127.0.0.1%00"]
  ])("%s is no IPv4 address", (_, text) => {
    assert.isTrue(Result.isFailure(Target.readHost(text)))
  })

  it.each([
    ["nothing", ""],
    ["the root", "."],
    ["an empty label", "a..b"],
    ["a blank", "a b"],
    ["a line", "a\r\nb"],
    ["NUL", "a\0b"],
    ["an escape", "%6cocalhost"],
    ["a user", "user@db.example"],
    ["a path", "db.example/x"],
    ["a label that is too long", `${"a".repeat(64)}.example`],
    ["a name that is too long", `${"a.".repeat(127)}example`],
    ["a star", "*db.example"],
    ["something before brackets", "x[::1]"],
    ["something behind brackets", "[::1]x"]
  ])("with %s is none", (_, text) => {
    assert.isTrue(Result.isFailure(Target.readHost(text)))
  })
})

describe("a target", () => {
  it.each([
    ["a unix socket", "unix:/run/app.sock", new Target.UnixTarget({ path: "/run/app.sock" })],
    ["one with a @", "unix:/run/a@b.sock", new Target.UnixTarget({ path: "/run/a@b.sock" })],
    ["an abstract one", "unix:@app", new Target.UnixTarget({ path: "\0app" })],
    ["an address", "[::1]:5900", new Target.Target({ host: "::1", port: 5900 })],
    ["a name", "db.example:65535", new Target.Target({ host: "db.example", port: 65535 })],
    ["a firewall's name", "*db.example:5432", new Target.Target({ host: "*db.example", port: 5432 })]
  ])("is read from text: %s", (_, text, expected) => {
    const read = Result.getOrThrow(Target.parseAny(text))
    assert.deepStrictEqual(read, expected)
    assert.strictEqual(String(read), text)
  })

  it.each([
    "unix:",
    "unix:@",
    "unix:/a\0b",
    "db.example",
    "db.example:0",
    "db.example:65536",
    "::1:80",
    "0x7f.1:80",
    "127.1:80",
    "*:80",
    "db*.example:80"
  ])("is not read from %j", (text) => {
    const message = Result.getOrThrow(Result.flip(Target.parseAny(text)))
    assert.match(message, /^expected /)
    assert.include(message, JSON.stringify(text))
    assert.notInclude(message, "undefined")
  })

  it("that a client asks for is no firewall's to look up, and no socket of this machine", () => {
    assert.isTrue(Result.isSuccess(Target.parseClient("db.example:80")))
    for (const text of ["*db.example:80", "unix:/run/app.sock"]) {
      assert.include(Result.getOrThrow(Result.flip(Target.parseClient(text))), JSON.stringify(text))
    }
  })

  it("has a schema of its text", () => {
    const target = Schema.decodeSync(Target.FromString)("db.example:5432")
    assert.deepStrictEqual(target, new Target.Target({ host: "db.example", port: 5432 }))
    assert.strictEqual(Schema.encodeSync(Target.FromString)(target), "db.example:5432")
    const wrong = Schema.decodeResult(Target.FromString)("db.example")
    assert.include(String(Result.getOrThrow(Result.flip(wrong))), "expected host:port")
  })

  it("of a client is a target, and known as a client's", () => {
    const target = new Target.ClientTarget({ host: "db.example", port: 5432 })
    assert.instanceOf(target, Target.Target)
    assert.strictEqual(String(target), "db.example:5432")
    assert.notInstanceOf(new Target.Target(target), Target.ClientTarget)
  })
})
