/**
 * What may be connected to: rules by address, name and port, and what is refused where no rule is about it.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Host from "effect/net/Host"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import * as AccessList from "../../src/server/AccessList.ts"
import * as TargetPolicy from "../../src/proxy/TargetPolicy.ts"

const make = (options: TargetPolicy.Options) => Result.getOrThrow(TargetPolicy.make(options))

const judge = (policy: TargetPolicy.TargetPolicy, address: string, port = 443, name?: string) =>
  TargetPolicy.judge(policy, {
    address: NetAddress.ipFromStringUnsafe(address),
    port,
    name: name === undefined ? undefined : Host.domainNameFromStringUnsafe(name)
  })

const judgeName = (policy: TargetPolicy.TargetPolicy, name: string, port = 443) =>
  TargetPolicy.judgeName(policy, Host.domainNameFromStringUnsafe(name), port)

const reserved: ReadonlyArray<readonly [kind: string, ...ReadonlyArray<string>]> = [
  ["unspecified", "0.0.0.0", "0.255.255.255", "::"],
  ["loopback", "127.0.0.1", "127.255.255.255", "::1"],
  ["private", "10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255"],
  ["carrier-grade NAT", "100.64.0.0", "100.127.255.255"],
  ["link-local", "169.254.0.0", "169.254.255.255", "fe80::", "febf:ffff::1"],
  ["unique local", "fc00::", "fdff:ffff::1"],
  ["site-local", "fec0::1"],
  [
    "cloud metadata",
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "fd00:ec2::254",
    "fd20:ce::254"
  ],
  ["multicast", "224.0.0.1", "239.255.255.255", "ff02::1"],
  ["broadcast", "255.255.255.255"],
  ["for documentation", "192.0.2.1", "198.51.100.1", "203.0.113.255", "2001:db8::1", "3fff::1"],
  ["for benchmarks", "198.18.0.0", "198.19.255.255", "2001:2::1"],
  ["a network's own NAT64", "64:ff9b:1::a00:1"],
  ["reserved", "240.0.0.0", "255.255.255.254", "192.0.0.1", "100::1", "5f00::1", "4000::1", "e000::1"]
]

const open = [
  "1.1.1.1",
  "9.255.255.255",
  "11.0.0.0",
  "100.63.255.255",
  "100.128.0.0",
  "126.255.255.255",
  "128.0.0.0",
  "169.253.255.255",
  "169.255.0.0",
  "172.15.255.255",
  "172.32.0.0",
  "192.167.255.255",
  "192.169.0.0",
  "198.17.255.255",
  "198.20.0.0",
  "223.255.255.255",
  "2606:4700::1111",
  "2001:4860:4860::8888",
  "::ffff:1.1.1.1",
  "64:ff9b::1.1.1.1",
  "2002:101:101::1"
]

describe("what clients choose, without a rule", () => {
  it.each(reserved.flatMap(([kind, ...addresses]) => addresses.map((address) => [address, kind] as const)))(
    "is not %s, which is %s",
    (address, kind) => {
      const denial = judge(TargetPolicy.unreserved, address)
      assert.strictEqual(denial?.kind, "Reserved")
      assert.include(denial?.message, `is reserved: it is ${kind}, `)
      assert.isUndefined(judge(TargetPolicy.everything, address))
    }
  )

  it.each(open)("may be %s", (address) => {
    assert.isUndefined(judge(TargetPolicy.unreserved, address))
  })

  it.each([
    ["IPv4-mapped", "::ffff:127.0.0.1", "it is loopback"],
    ["IPv4-mapped, in hexadecimal", "::ffff:a9fe:a9fe", "it is cloud metadata"],
    ["IPv4-compatible", "::10.0.0.1", "the 10.0.0.1 in it is private"],
    ["IPv4-translated", "::ffff:0:127.0.0.1", "the 127.0.0.1 in it is loopback"],
    ["NAT64", "64:ff9b::169.254.169.254", "the 169.254.169.254 in it is cloud metadata"],
    ["6to4", "2002:c0a8:101::1", "the 192.168.1.1 in it is private"],
    // a server of 65.54.227.120, and a client of 10.0.0.1
    ["Teredo, the client", "2001:0:4136:e378:8000:63bf:f5ff:fffe", "the 10.0.0.1 in it is private"],
    ["Teredo, the server", "2001:0:7f00:1:8000:63bf:fefe:fefe", "the 127.0.0.1 in it is loopback"]
  ])("is not IPv4 in IPv6: %s", (_, address, why) => {
    const denial = judge(TargetPolicy.unreserved, address)
    assert.strictEqual(denial?.kind, "Reserved")
    assert.include(denial?.message, why)
  })

  it.each([
    // a server of 8.8.8.8, and a client of 1.2.3.4
    ["Teredo", "2001:0:808:808:0:0:fefd:fcfb", ["8.8.8.8", "1.2.3.4"]],
    ["NAT64", "64:ff9b::808:808", ["8.8.8.8"]]
  ])("is allowed by IPv4 in IPv6 if all of it is, or the address itself: %s", (_, address, within) => {
    const allowed = (...allow: ReadonlyArray<string>) => judge(make({ allow }), address) === undefined
    assert.isTrue(allowed(...within))
    assert.isTrue(allowed(address))
    for (const one of within) assert.strictEqual(allowed(one), within.length === 1)
    assert.isFalse(allowed("9.9.9.9"))
    for (const one of within) assert.strictEqual(judge(make({ deny: [one] }), address)?.kind, "Denied")
  })

  it("has rules of one host, also where they were not read", () => {
    const hosts = Result.getOrThrow(AccessList.parse("10.1.0.0/16, *"))
    const rule = { _tag: "Hosts", hosts, ports: [], text: "10.1.0.0/16, *" } as const
    const made = TargetPolicy.make({ allow: [rule] })
    assert.include(Result.isFailure(made) ? made.failure.message : "", "a rule has one host")
  })

  it("has rules that were read before, of hosts and of unix sockets", () => {
    const read = (text: string) => Result.getOrThrow(TargetPolicy.parseRule(text))
    const policy = make({ allow: [read("10.0.0.0/8"), read("unix:/run/a.sock")] })
    assert.isUndefined(judge(policy, "10.0.0.1"))
    assert.strictEqual(judge(policy, "1.1.1.1")?.kind, "NotAllowed")
    assert.isUndefined(TargetPolicy.judgeUnix(policy, "/run/a.sock"))
  })

  it("is not localhost, whoever looks it up, and no unix socket", () => {
    assert.strictEqual(judgeName(TargetPolicy.unreserved, "localhost")?.kind, "Reserved")
    assert.strictEqual(judgeName(TargetPolicy.unreserved, "a.LOCALHOST.")?.kind, "Reserved")
    assert.isUndefined(judgeName(TargetPolicy.unreserved, "notlocalhost"))
    assert.isUndefined(judgeName(TargetPolicy.unreserved, "localhost.example"))
    assert.isUndefined(judgeName(TargetPolicy.everything, "localhost"))
    assert.strictEqual(TargetPolicy.judgeUnix(TargetPolicy.unreserved, "/run/app.sock")?.kind, "Reserved")
    assert.isUndefined(TargetPolicy.judgeUnix(TargetPolicy.everything, "/run/app.sock"))
  })
})

describe("a rule", () => {
  it("allows what it names, and nothing else", () => {
    const policy = make({ allow: ["93.184.216.0/24:443"] })
    assert.isUndefined(judge(policy, "93.184.216.34"))
    assert.strictEqual(judge(policy, "93.184.216.34", 80)?.kind, "NotAllowed")
    assert.strictEqual(judge(policy, "93.184.217.34")?.kind, "NotAllowed")
    assert.strictEqual(judgeName(policy, "db.example")?.kind, "NotAllowed")
  })

  it("denies whatever another allows, in whichever order", () => {
    const policy = make({ allow: ["*", "10.0.0.0/8"], deny: ["10.0.0.5", "*:25", "*.evil.example"] })
    assert.isUndefined(judge(policy, "10.0.0.6"))
    assert.strictEqual(judge(policy, "10.0.0.5")?.message, "10.0.0.5:443 is denied by 10.0.0.5.")
    assert.strictEqual(judge(policy, "1.1.1.1", 25)?.kind, "Denied")
    assert.strictEqual(judge(policy, "1.1.1.1", 443, "a.evil.example")?.kind, "Denied")
    assert.strictEqual(judgeName(policy, "A.Evil.Example.")?.kind, "Denied")
    assert.isUndefined(judgeName(policy, "evil.example"))
  })

  it("counts where reserved addresses are allowed, and they are", () => {
    assert.strictEqual(judge(make({ allow: ["10.0.0.0/8"], reserved: "allowed" }), "1.1.1.1")?.kind, "NotAllowed")
    const policy = make({ allow: ["*"], deny: ["10.0.0.5"], reserved: "allowed" })
    assert.isUndefined(judge(policy, "10.0.0.6"))
    assert.isUndefined(judgeName(policy, "localhost"))
    assert.strictEqual(judge(policy, "10.0.0.5")?.kind, "Denied")
  })

  it("that denies an address denies it in whatever notation", () => {
    const policy = make({ deny: ["1.2.3.0/24"], reserved: "allowed" })
    for (const address of [
      "1.2.3.4",
      "::ffff:1.2.3.4",
      "::1.2.3.4",
      "64:ff9b::1.2.3.4",
      "2002:102:304::1",
      "2001:0:102:304::1"
    ]) {
      assert.strictEqual(judge(policy, address)?.kind, "Denied", address)
    }
    assert.strictEqual(judge(make({ deny: ["2002::/16"] }), "2002:101:101::1")?.kind, "Denied")
  })

  it.each([
    ["10.0.0.0/8", "10.1.2.3"],
    ["10.1.2.3", "10.1.2.3"],
    ["10.*", "10.1.2.3"],
    ["192.168.1.*", "192.168.1.9"],
    ["127.0.0.1", "127.0.0.1"],
    ["127.0.0.1", "::ffff:127.0.0.1"],
    ["::1", "::1"],
    ["fd00::/8", "fd00::1"],
    ["169.254.169.254", "169.254.169.254"],
    ["169.254.0.0/16", "169.254.1.1"],
    ["10.0.0.0/8", "64:ff9b::10.0.0.1"]
  ])("lets through what is reserved if it is about that in particular: %s and %s", (rule, address) => {
    assert.isUndefined(judge(make({ allow: [rule] }), address))
  })

  it.each([
    ["*", "10.1.2.3"],
    ["0.0.0.0/0", "10.1.2.3"],
    ["::/0", "::1"],
    ["8.0.0.0/5", "10.1.2.3"],
    ["1*.0.0.1", "10.0.0.1"],
    ["*.0.0.1", "127.0.0.1"],
    // what the machine's own cloud tells it is more than link-local, unique local or carrier-grade
    ["169.254.0.0/16", "169.254.169.254"],
    ["fd00::/8", "fd00:ec2::254"],
    ["100.64.0.0/10", "100.100.100.200"]
  ])("does not if it is wider than that: %s and %s", (rule, address) => {
    assert.strictEqual(judge(make({ allow: [rule] }), address)?.kind, "Reserved")
  })

  it("with a name lets through the networks that names are for, and not this machine", () => {
    const policy = make({ allow: ["db.internal:5432", "*.svc.internal"] })
    for (const address of ["10.0.0.1", "fd00::1", "100.64.0.1", "93.184.216.34"]) {
      assert.isUndefined(judge(policy, address, 5432, "DB.internal."), address)
      assert.isUndefined(judge(policy, address, 443, "a.b.svc.internal"), address)
      assert.strictEqual(judge(policy, address, 5432, "other.internal")?.kind, "NotAllowed")
      assert.strictEqual(judge(policy, address, 443, "db.internal")?.kind, "NotAllowed")
    }
    for (const address of ["127.0.0.1", "::1", "169.254.169.254", "fd00:ec2::254", "0.0.0.0", "224.0.0.1"]) {
      const denial = judge(policy, address, 5432, "db.internal")
      assert.strictEqual(denial?.kind, "Reserved", address)
      assert.include(denial?.message, "an address of db.internal")
    }
  })

  it("with * names no name in particular", () => {
    assert.isUndefined(judge(make({ allow: ["*"] }), "93.184.216.34", 443, "db.internal"))
    assert.strictEqual(judge(make({ allow: ["*"] }), "10.0.0.1", 443, "db.internal")?.kind, "Reserved")
  })

  it("with localhost lets through loopback, and nothing else of it", () => {
    const policy = make({ allow: ["localhost:5900"] })
    assert.isUndefined(judge(policy, "127.0.0.1", 5900, "localhost"))
    assert.isUndefined(judge(policy, "::1", 5900, "localhost"))
    assert.isUndefined(judgeName(policy, "localhost", 5900))
    assert.strictEqual(judge(policy, "127.0.0.1", 5900)?.kind, "NotAllowed")
    assert.strictEqual(judge(policy, "169.254.169.254", 5900, "localhost")?.kind, "Reserved")
    assert.strictEqual(judgeName(make({ allow: ["*"] }), "localhost")?.kind, "Reserved")
    const lookalike = make({ allow: ["localhost.example"] })
    assert.strictEqual(judge(lookalike, "127.0.0.1", 443, "localhost.example")?.kind, "Reserved")
  })

  it("has ports, and ranges of them with both their ends", () => {
    const policy = make({ allow: ["[2606:4700::/32]:443,8000-8002"] })
    for (const port of [443, 8000, 8001, 8002]) assert.isUndefined(judge(policy, "2606:4700::1", port))
    for (const port of [442, 444, 7999, 8003]) assert.isDefined(judge(policy, "2606:4700::1", port))
  })

  it("of a unix socket is about that", () => {
    const policy = make({ allow: ["unix:/run/a.sock", "unix:@b", "unix:/run/d@e"], deny: ["unix:/run/c.sock"] })
    assert.isUndefined(TargetPolicy.judgeUnix(policy, "/run/a.sock"))
    assert.isUndefined(TargetPolicy.judgeUnix(policy, "\0b"))
    assert.isUndefined(TargetPolicy.judgeUnix(policy, "/run/d@e"))
    assert.strictEqual(TargetPolicy.judgeUnix(policy, "/run/b.sock")?.kind, "NotAllowed")
    assert.strictEqual(TargetPolicy.judgeUnix(policy, "/run/c.sock")?.kind, "Denied")
    assert.strictEqual(judge(policy, "1.1.1.1")?.kind, "NotAllowed")
  })

  it.each([
    ["*", []],
    ["*:443", [{ first: 443, last: 443 }]],
    ["db.internal:*", []],
    ["2001:db8::1", []],
    ["[2001:db8::1]:1-65535", [{ first: 1, last: 65535 }]],
    [" 10.0.0.0/8:22,80 ", [22, 80].map((port) => ({ first: port, last: port }))]
  ])("is read: %s", (text, ports) => {
    const rule = Result.getOrThrow(TargetPolicy.parseRule(text))
    assert.deepStrictEqual(rule._tag === "Hosts" ? rule.ports : undefined, ports)
  })

  it.each([
    ["", "one host"],
    [":443", "one host"],
    ["a.example,b.example", "one host"],
    ["10.0.0.1/8", "bits"],
    ["10.0.0.0/8:", "ports are numbers"],
    ["10.0.0.0/8:0", "ports are numbers"],
    ["10.0.0.0/8:65536", "ports are numbers"],
    ["10.0.0.0/8:90-80", "ports are numbers"],
    ["10.0.0.0/8:http", "ports are numbers"],
    ["10.0.0.0/8:x80", "ports are numbers"],
    ["10.0.0.0/8:80x", "ports are numbers"],
    ["10.0.0.0/8:123456", "ports are numbers"],
    ["10.0.0.0/8:80-90-100", "ports are numbers"],
    ["x[2001:db8::1]:80", "brackets"],
    ["[2001:db8::1]80", "brackets"],
    ["0x7f.1", "octets"],
    ["*.example.*", "last label"],
    ["unix:", "path"],
    ["unix:@", "path"]
  ])("is not read: %j", (text, reason) => {
    const { failure } = TargetPolicy.parseRule(text) as Result.Failure<never, TargetPolicy.InvalidRule>
    assert.include(failure.message, reason)
    assert.include(failure.message, JSON.stringify(text))
    assert.isTrue(Result.isFailure(TargetPolicy.make({ allow: [text] })))
    assert.isTrue(Result.isFailure(TargetPolicy.make({ deny: [text] })))
  })
})
