/**
 * URLs of a client: where each leads, what of it is sent, and that no secret of it is ever shown.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Address from "../../src/client/internal/address.ts"
import { Target, UnixTarget } from "../../src/proxy/Target.ts"

const parse = (url: string | URL) => Result.getOrThrow(Address.parse(url))
const failure = (url: string | URL) => Result.getOrThrow(Result.flip(Address.parse(url)))

const basic = (credentials: string) => `Basic ${Buffer.from(credentials, "utf8").toString("base64")}`

describe("a URL over TCP", () => {
  it.each([
    // url, host, port, TLS, Host, path, shown
    ["ws://db.example", "db.example", 80, false, "db.example", "/", "ws://db.example/"],
    ["ws://db.example:80/", "db.example", 80, false, "db.example", "/", "ws://db.example/"],
    ["ws://db.example:8080/a/b", "db.example", 8080, false, "db.example:8080", "/a/b", "ws://db.example:8080/a/b"],
    ["ws://db.example:443", "db.example", 443, false, "db.example:443", "/", "ws://db.example:443/"],
    ["wss://db.example", "db.example", 443, true, "db.example", "/", "wss://db.example/"],
    ["wss://db.example:443/x", "db.example", 443, true, "db.example", "/x", "wss://db.example/x"],
    ["wss://db.example:80", "db.example", 80, true, "db.example:80", "/", "wss://db.example:80/"],
    ["http://db.example", "db.example", 80, false, "db.example", "/", "ws://db.example/"],
    ["http://db.example:443", "db.example", 443, false, "db.example:443", "/", "ws://db.example:443/"],
    ["https://db.example", "db.example", 443, true, "db.example", "/", "wss://db.example/"],
    ["https://db.example:8443", "db.example", 8443, true, "db.example:8443", "/", "wss://db.example:8443/"],
    ["WS://DB.Example/Case", "db.example", 80, false, "db.example", "/Case", "ws://db.example/Case"],
    ["ws://127.0.0.1:65535", "127.0.0.1", 65535, false, "127.0.0.1:65535", "/", "ws://127.0.0.1:65535/"],
    ["ws://[::1]", "::1", 80, false, "[::1]", "/", "ws://[::1]/"],
    ["wss://[2001:DB8::0:1]:9000/", "2001:db8::1", 9000, true, "[2001:db8::1]:9000", "/", "wss://[2001:db8::1]:9000/"],
    ["ws://db.example?a=b&c", "db.example", 80, false, "db.example", "/?a=b&c", "ws://db.example/"],
    ["ws://db.example/x?a=%20?/:@", "db.example", 80, false, "db.example", "/x?a=%20?/:@", "ws://db.example/x"],
    [
      "ws://db.example/a%2Fb%C3%BC",
      "db.example",
      80,
      false,
      "db.example",
      "/a%2Fb%C3%BC",
      "ws://db.example/a%2Fb%C3%BC"
    ],
    ["ws://db.example/a b?c d", "db.example", 80, false, "db.example", "/a%20b?c%20d", "ws://db.example/a%20b"],
    ["ws://db.example/ü?ü", "db.example", 80, false, "db.example", "/%C3%BC?%C3%BC", "ws://db.example/%C3%BC"],
    ["ws://db.example//x", "db.example", 80, false, "db.example", "//x", "ws://db.example//x"]
  ] as const)("%s", (url, host, port, isSecure, header, path, shown) => {
    for (const given of [url, new URL(url)]) {
      assert.deepStrictEqual(parse(given), {
        target: new Target({ host, port }),
        isSecure,
        host: header,
        path,
        authorization: undefined,
        shown
      })
    }
    assert.strictEqual(Address.shown(url), shown)
  })

  it.each([
    ["ws://bücher.example/", "xn--bcher-kva.example"],
    ["ws://BÜCHER.example/", "xn--bcher-kva.example"],
    ["ws://例え.テスト/", "xn--r8jz45g.xn--zckzah"],
    ["ws://xn--bcher-kva.example/", "xn--bcher-kva.example"],
    ["ws://b%C3%BCcher.example/", "xn--bcher-kva.example"]
  ])("with a name in another script is asked for in ASCII: %s", (url, host) => {
    const address = parse(url)
    assert.deepStrictEqual(address.target, new Target({ host, port: 80 }))
    assert.strictEqual(address.host, host)
    assert.strictEqual(address.shown, `ws://${host}/`)
  })

  it("has no bytes in its path that would end the line of the request", () => {
    for (const url of [
      "ws://h/a\r\nb",
      "ws://h/a\tb",
      "ws://h/a\u0000b",
      "ws://h/?a\r\nx: y",
      "ws://h/\u2028?\u2028"
    ]) {
      assert.match(parse(url).path, /^[\x21-\x7e]+$/, JSON.stringify(url))
    }
  })
})

describe("credentials", () => {
  it.each([
    ["ws://ann:secret@h/", "ann:secret"],
    ["wss://ann@h/", "ann:"],
    ["ws://:secret@h/", ":secret"],
    ["ws://ann:p%40ss%2Fw%3Ard%20%25@h/", "ann:p@ss/w:rd %"],
    ["ws://ann:a:b@h/", "ann:a:b"],
    ["ws://j%C3%BCrgen:%E2%82%AC@h/", "jürgen:€"],
    ["ws://jürgen:€@h/", "jürgen:€"],
    ["ws://ann:%F0%9F%94%91@h/", "ann:🔑"]
  ])("are those of Basic authentication, in UTF-8: %s", (url, credentials) => {
    const address = parse(url)
    assert.strictEqual(address.authorization, basic(credentials))
    assert.deepStrictEqual([address.host, address.path], ["h", "/"])
  })

  it("are none where there are none", () => {
    for (const url of ["ws://h/", "ws://@h/", "ws://:@h/"]) assert.isUndefined(parse(url).authorization)
  })

  it.each(["ws://ann:%E2%82@h/", "ws://%FF:x@h/", "ws://a%zz@h/", "ws://ann:x%@h/"])(
    "with a malformed escape are refused: %s",
    (url) => {
      assert.match(failure(url), /an escape in it is malformed$/)
    }
  )

  // RFC 7617 section 2: what is behind the colon would be taken for the password
  it.each(["ws://ann%3Ax:b@h/", "ws://ann%0A:b@h/", "ws://ann:b%00@h/", "ws://ann:b%7F@h/"])(
    "that Basic cannot carry are refused: %s",
    (url) => {
      assert.match(failure(url), /a user has no colon, and neither it nor a password a control character$/)
    }
  )
})

describe("a URL of a unix socket", () => {
  it.each([
    ["ws+unix:/run/app.sock:/path", "/run/app.sock", "/path"],
    ["ws+unix:/run/app.sock:/path?a=b:c", "/run/app.sock", "/path?a=b:c"],
    ["ws+unix:/run/app.sock", "/run/app.sock", "/"],
    ["ws+unix:/run/app.sock?a=b", "/run/app.sock", "/?a=b"],
    ["ws+unix:/run/app.sock:", "/run/app.sock", "/"],
    ["ws+unix:/run/app.sock:path", "/run/app.sock", "/path"],
    ["ws+unix:///run/app.sock:/path", "/run/app.sock", "/path"],
    ["ws+unix:/run/a%3Ab.sock:/x:y", "/run/a:b.sock", "/x:y"],
    ["ws+unix:/run/a b%20c.sock:/x y", "/run/a b c.sock", "/x%20y"],
    ["ws+unix:/run/%C3%BC€.sock:/%zz", "/run/ü€.sock", "/%zz"],
    ["ws+unix:/run/100%25.sock", "/run/100%.sock", "/"]
  ])("%s", (url, file, path) => {
    const { shown, ...address } = parse(url)
    assert.deepStrictEqual(address, {
      target: new UnixTarget({ path: file }),
      isSecure: false,
      host: "localhost",
      path,
      authorization: undefined
    })
    assert.notInclude(shown, "a=b")
    assert.match(shown, /^ws\+unix:\/run\//)
  })

  it.each([
    "ws+unix:",
    "ws+unix:run/app.sock:/path",
    "ws+unix:./app.sock",
    "ws+unix::/path",
    "ws+unix:?x",
    "ws+unix://host/run/app.sock",
    "ws+unix://run/app.sock:/path",
    "ws+unix:/run/a%00b.sock"
  ])("whose path is not absolute, or is none, is refused: %s", (url) => {
    assert.match(failure(url), /the path of a unix socket is absolute$/)
  })

  it("with a malformed escape is refused", () => {
    assert.match(failure("ws+unix:/run/%zz.sock:/"), /an escape in it is malformed$/)
  })
})

describe("what is no URL of a WebSocket", () => {
  it.each([
    ["ws://h/#x", /without a fragment \(#\)$/],
    ["ws://h/#", /without a fragment \(#\)$/],
    ["ws+unix:/run/app.sock:/#", /without a fragment \(#\)$/],
    ["wss://h/a?b#c", /without a fragment \(#\)$/],
    ["ws+unix:/run/app.sock:/#x", /without a fragment \(#\)$/],
    ["ws://h:0/", /no server listens on port 0$/],
    ["ws://[::1]:0/", /no server listens on port 0$/],
    ["ws://h:65536/", /cannot be read$/],
    ["ws://h:-1/", /cannot be read$/],
    ["ws://", /cannot be read$/],
    ["ws://:80/", /cannot be read$/],
    ["ws://a b/", /cannot be read$/],
    ["ws://[::1/", /cannot be read$/],
    ["ws://[fe80::1%25eth0]/", /cannot be read$/],
    ["ws://256.0.0.1/", /cannot be read$/],
    ["h/path", /cannot be read$/],
    ["//h/path", /cannot be read$/],
    ["", /cannot be read$/],
    ["ftp://h/", /scheme/],
    ["file:///etc/passwd", /scheme/],
    ["javascript:alert(1)", /scheme/],
    ["wsx://h/", /scheme/],
    ["ws+tcp://h/", /scheme/],
    ["wss+unix:/run/app.sock:/", /scheme/],
    ["localhost:8080", /scheme/]
  ])("%s", (url, reason) => {
    assert.match(failure(url), reason)
    assert.match(failure(url), /^expected a URL such as ws:\/\/host\/path, /)
    assert.strictEqual(Address.shown(url), "a URL that cannot be used")
  })

  it("is whatever a program without types gives", () => {
    // what JavaScript may pass
    for (const given of [undefined, null, 5, {}, Symbol("url")]) {
      assert.match(failure(given as unknown as string), /cannot be read$/)
    }
  })
})

describe("a secret", () => {
  const secret = "s3cr3t"

  it.each([
    `ws://ann:${secret}@h/p?token=${secret}`,
    `ws://${secret}@h/p`,
    `wss://ann:${secret}@[::1]:8443/p?${secret}`,
    `ws+unix:/run/app.sock:/p?token=${secret}`,
    `ws+unix:/run/app.sock?token=${secret}`
  ])("is sent, and not shown: %s", (url) => {
    const address = parse(url)
    assert.include(`${address.path} ${Buffer.from(address.authorization?.slice(6) ?? "", "base64").toString()}`, secret)
    assert.notInclude(address.shown, secret)
    assert.notInclude(address.shown, "token")
  })

  it.each([
    `ws://ann:${secret}@h/p?token=${secret}#${secret}`,
    `ws://ann:${secret}@h:0/?${secret}`,
    `ws://ann:${secret}%@h/?${secret}`,
    `ws://ann:${secret}@h:99999/?${secret}`,
    `ws://ann:${secret}@/?${secret}`,
    `ftp://ann:${secret}@h/?${secret}`,
    `ws+unix://ann:${secret}@h/run/app.sock?${secret}`,
    `ws+unix:run/${secret}?${secret}`,
    `//ann:${secret}@h/?${secret}`,
    secret
  ])("of a URL that cannot be used is not told: %s", (url) => {
    assert.notInclude(failure(url), secret)
    assert.notInclude(Address.shown(url), secret)
  })

  // the contract of `parse`: what is wrong is told without repeating any of it
  it("before a colon is not taken for a scheme to be told, where the scheme was forgotten", () => {
    assert.notInclude(failure(`${secret}:x@h/`), secret)
  })
})
