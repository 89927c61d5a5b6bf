/**
 * From a name to a connection: looked up once, judged, and connected to at the addresses that passed, whichever answers first.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { mkdtempSync, rmSync } from "node:fs"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import * as Firewall from "../../src/proxy/Firewall.ts"
import { ClientTarget, Target, UnixTarget } from "../../src/proxy/Target.ts"
import * as TargetPolicy from "../../src/proxy/TargetPolicy.ts"
import { soon } from "./connected.ts"
import * as DeafTarget from "./deafTarget.ts"
import * as Proxy from "./proxy.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import { names } from "./resolving.ts"
import { eventually } from "./watch.ts"

const never = "10 minutes"

const policy = (options: TargetPolicy.Options) => Result.getOrThrow(TargetPolicy.make(options))

const failing = (options: NodeDialer.Options, target: Target | UnixTarget) =>
  Effect.flip(Effect.scoped(NodeDialer.make(options).dial(target)))

/** Attempts that are under way. */
const attempts = (): number => active("ConnectWrap")

const active = (kind: string): number => process.getActiveResourcesInfo().filter((type) => type.endsWith(kind)).length

/** Whether this machine has ::1. */
const hasIpv6 = await new Promise<boolean>((resolve) => {
  const server = Net.createServer().once("error", () => resolve(false))
  server.listen({ host: "::1", port: 0 }, () => server.close(() => resolve(true)))
})

describe("a name", { timeout: 30_000 }, () => {
  it.live("is looked up once, and what was judged is what is connected to", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const { asked, dns } = names({ "db.example": [["127.0.0.1"], ["169.254.169.254"]] })
      const dialer = NodeDialer.make({ dns, policy: policy({ allow: ["127.0.0.1"] }) })
      const target = new ClientTarget({ host: "DB.Example", port: listener.port })
      yield* dialer.dial(target)
      yield* listener.accept
      assert.deepStrictEqual(asked, ["db.example"])
      // a moment later it leads elsewhere
      const error = yield* Effect.flip(Effect.scoped(dialer.dial(target)))
      assert.strictEqual(error.kind, "NotAllowed")
      assert.deepStrictEqual(asked, ["db.example", "db.example"])
    }).pipe(Effect.scoped)
  )

  it.live("of which some addresses are refused is connected to at the others", () =>
    Effect.gen(function* () {
      const allowed = yield* RawTarget.listen()
      const refused = yield* RawTarget.listen({ host: "127.0.0.2", port: allowed.port })
      const { dns } = names({ "db.example": ["127.0.0.2", "127.0.0.1", "10.0.0.1"] })
      const { dial } = NodeDialer.make({ dns, policy: policy({ allow: ["*", "127.0.0.1"] }) })
      yield* dial(new ClientTarget({ host: "db.example", port: allowed.port }))
      yield* allowed.accept
      assert.lengthOf(refused.connections, 0)
    }).pipe(Effect.scoped)
  )

  it.live("of which all addresses are refused is 403 to the client, and told to the log alone", () =>
    Effect.gen(function* () {
      const { dns } = names({ "db.example": ["10.0.0.1", "fd00::1"] })
      const proxy = yield* Proxy.serve({
        target: new ClientTarget({ host: "db.example", port: 5432 }),
        dialer: NodeDialer.layer({ dns })
      })
      const client = yield* RawClient.request(proxy.port)
      yield* client.until("403", soon)
      for (const secret of ["10.0.0.1", "db.example", "reserved", "private"]) assert.notInclude(client.answer, secret)
      assert.deepStrictEqual(proxy.log, [
        "Warn cannot connect to db.example:5432: The target is not allowed: 10.0.0.1:5432, an address of db.example, is reserved: it is private, and no rule allows that in particular. Neither are its 1 other addresses."
      ])
    }).pipe(Effect.scoped)
  )

  it.live("is judged anew where a firewall is asked for its addresses", () =>
    Effect.gen(function* () {
      const { dns } = names({ "db.example": ["10.0.0.1"] })
      const { Socks5, Tunnel } = yield* Effect.promise(() => import("../../src/proxy/Firewall.ts"))
      const at = { host: "127.0.0.1", port: 9 }
      const target = (host: string) => new ClientTarget({ host, port: 5432 })
      const socks = yield* failing({ dns, firewall: new Socks5(at) }, target("db.example"))
      assert.strictEqual(socks.kind, "NotAllowed")
      const starred = yield* failing({ dns, firewall: new Socks5(at) }, target("*db.example"))
      assert.strictEqual(starred.kind, "NotAllowed")
      assert.include(starred.message, "not the client's to say")
      const literal = yield* failing({ dns, firewall: new Tunnel(at) }, target("127.0.0.1"))
      assert.strictEqual(literal.kind, "NotAllowed")
      const local = yield* failing({ dns, firewall: new Tunnel(at) }, target("localhost"))
      assert.strictEqual(local.kind, "NotAllowed")
      const denied = yield* failing(
        { dns, firewall: new Tunnel(at), policy: policy({ deny: ["*.example"] }) },
        target("db.example")
      )
      assert.strictEqual(denied.kind, "NotAllowed")
      // the name is all that there is to judge: this one fails at the firewall, where nobody listens
      const unjudged = yield* failing({ dns, firewall: new Tunnel(at) }, target("db.example"))
      assert.strictEqual(unjudged.kind, "FirewallFailed")
    })
  )

  it.live("that is an address in a notation of its own is not looked up", () =>
    Effect.gen(function* () {
      const { asked, dns } = names({})
      for (const host of ["0x7f.1", "2130706433", "127.1", "127.0.0.1.", "a b", "*"]) {
        const error = yield* failing({ dns }, new Target({ host, port: 80 }))
        assert.strictEqual(error.kind, "NameNotFound", host)
        assert.include(error.message, "neither a name nor an address")
      }
      assert.deepStrictEqual(asked, [])
    })
  )

  it.live("of the system is looked up by it", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const { dial } = NodeDialer.make()
      yield* Effect.all(
        [1, 2, 3].map(() => dial(new Target({ host: "localhost", port: listener.port }))),
        { concurrency: "unbounded" }
      )
      yield* listener.accept
      const error = yield* failing({}, new Target({ host: "nowhere.invalid", port: 80 }))
      assert.strictEqual(error.kind, "NameNotFound")
    }).pipe(Effect.scoped)
  )
})

describe("what clients choose", { timeout: 30_000 }, () => {
  it.live("is not on this machine unless that is allowed; what an operator wrote is", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const chosen = new ClientTarget(listener.target)
      assert.strictEqual((yield* failing({}, chosen)).kind, "NotAllowed")
      yield* NodeDialer.make().dial(listener.target)
      yield* NodeDialer.make({ policy: policy({ allow: [`127.0.0.1:${listener.port}`] }) }).dial(chosen)
      assert.strictEqual((yield* failing({ policy: TargetPolicy.unreserved }, listener.target)).kind, "NotAllowed")
    }).pipe(Effect.scoped)
  )

  it.live("is judged by a policy of its own, if the policy is a function", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const options: NodeDialer.Options = {
        policy: (target) => (target instanceof ClientTarget ? policy({ deny: ["*"] }) : TargetPolicy.everything)
      }
      yield* NodeDialer.make(options).dial(listener.target)
      assert.strictEqual((yield* failing(options, new ClientTarget(listener.target))).kind, "NotAllowed")
    }).pipe(Effect.scoped)
  )
})

describe("a unix socket", { timeout: 30_000 }, () => {
  it.live("is connected to where the policy lets it", () =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "unix-"))),
        (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
      )
      const target = new UnixTarget({ path: join(folder, "a.sock") })
      assert.strictEqual((yield* failing({}, target)).kind, "Refused")
      const server = yield* Effect.acquireRelease(
        Effect.callback<Net.Server>((resume) => {
          const server = Net.createServer().listen(target.path, () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
      )
      assert.isTrue(server.listening)
      yield* NodeDialer.make().dial(target)
      yield* NodeDialer.make({ policy: policy({ allow: [String(target)] }) }).dial(target)
      const error = yield* failing({ policy: policy({ allow: ["unix:/run/other.sock"] }) }, target)
      assert.strictEqual(error.kind, "NotAllowed")
    }).pipe(Effect.scoped)
  )
})

describe("several addresses", { timeout: 30_000 }, () => {
  it.live("are tried one beside the other: the first that answers is taken, and nothing is left of the rest", () =>
    Effect.gen(function* () {
      const deaf = yield* DeafTarget.make
      const listener = yield* RawTarget.listen({ host: "127.0.0.2", port: deaf.port })
      const { dns } = names({ "db.example": ["127.0.0.1", "127.0.0.2", "127.0.0.3"] })
      const target = new Target({ host: "db.example", port: deaf.port })
      yield* NodeDialer.make({ dns, attemptDelay: 50, dialTimeout: never }).dial(target)
      yield* listener.accept
      yield* eventually("the end of the other attempts", () => attempts() === 0)
    }).pipe(Effect.scoped)
  )

  it.live("are tried at once where one before has failed", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const { dns } = names({ "db.example": ["127.0.0.2", "127.0.0.3", "127.0.0.1"] })
      const { dial } = NodeDialer.make({ dns, attemptDelay: never, dialTimeout: never })
      yield* dial(new Target({ host: "db.example", port: listener.port }))
      yield* listener.accept
    }).pipe(Effect.scoped)
  )

  it.live.runIf(hasIpv6)("are of both families in turn, the resolver's first choice first", () =>
    Effect.gen(function* () {
      const six = yield* RawTarget.listen({ host: "::1" })
      const four = yield* RawTarget.listen({ port: six.port })
      const { dns } = names({
        "six.example": ["::1", "127.0.0.1"],
        // of eight that are tried, four are of IPv4
        "four.example": [...Array.from({ length: 12 }, (_, index) => `127.0.1.${index}`), "::1"]
      })
      const { dial } = NodeDialer.make({ dns, attemptDelay: never, dialTimeout: never })
      yield* dial(new Target({ host: "six.example", port: six.port }))
      yield* six.accept
      yield* dial(new Target({ host: "four.example", port: six.port }))
      yield* six.accept
      assert.lengthOf(four.connections, 0)
    }).pipe(Effect.scoped)
  )

  it.live("are no more than eight", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const silent = (count: number) => Array.from({ length: count }, (_, index) => `127.0.1.${index + 1}`)
      const { dns } = names({
        "eight.example": [...silent(7), "127.0.0.1"],
        "nine.example": [...silent(8), "127.0.0.1"]
      })
      const { port } = listener
      yield* NodeDialer.make({ dns }).dial(new Target({ host: "eight.example", port }))
      assert.strictEqual((yield* failing({ dns }, new Target({ host: "nine.example", port }))).kind, "Refused")
      yield* listener.accept
      assert.lengthOf(listener.connections, 1)
    }).pipe(Effect.scoped)
  )

  it.live.runIf(hasIpv6)("are all tried once, of however many families", () =>
    Effect.gen(function* () {
      const { port } = yield* RawTarget.nobody
      // no TCP goes to many at once, and where they fail in different ways each is told
      const addresses = ["::1", "224.0.0.1", "127.0.1.2", "127.0.1.3"]
      const { dns } = names({ "db.example": addresses })
      const { message } = yield* failing({ dns }, new Target({ host: "db.example", port }))
      assert.deepStrictEqual(
        Array.from(message.matchAll(/\[?([\w.:]+)\]? \(E\w+\)/g), ([, address]) => address),
        addresses
      )
    }).pipe(Effect.scoped)
  )

  it.live("that all fail say what says most, and each what it was", () =>
    Effect.gen(function* () {
      const { port } = yield* RawTarget.nobody
      // no TCP goes to many at once
      const { dns } = names({ "db.example": ["224.0.0.1", "127.0.0.1"] })
      const error = yield* failing({ dns }, new Target({ host: "db.example", port }))
      assert.strictEqual(error.kind, "Refused")
      assert.match(error.message, /224\.0\.0\.1 \(ENETUNREACH\), 127\.0\.0\.1 \(ECONNREFUSED\)\.$/)
    }).pipe(Effect.scoped)
  )

  it.live("are all let go when nobody waits any more", () =>
    Effect.gen(function* () {
      const deaf = yield* DeafTarget.make
      const { dns } = names({ "db.example": ["127.0.0.1", "::ffff:127.0.0.1"] })
      const target = new Target({ host: "db.example", port: deaf.port })
      const { dial } = NodeDialer.make({ dns, attemptDelay: 10, dialTimeout: never })
      const dialled = yield* Effect.forkChild(dial(target))
      yield* eventually("both attempts", () => attempts() === 2)
      yield* Fiber.interrupt(dialled)
      yield* eventually("their end", () => attempts() === 0)
      const error = yield* failing({ dns, attemptDelay: 10, dialTimeout: 200 }, target)
      assert.strictEqual(error.kind, "TimedOut")
      yield* eventually("their end", () => attempts() === 0)
    }).pipe(Effect.scoped)
  )
})

describe("an address", { timeout: 30_000 }, () => {
  it.live("that does not answer is given up in time, and let go when nobody waits any more", () =>
    Effect.gen(function* () {
      const { port } = yield* DeafTarget.make
      const target = new Target({ host: "127.0.0.1", port })
      const late = yield* failing({ dialTimeout: 200 }, target)
      assert.strictEqual(late.kind, "TimedOut")
      assert.strictEqual(late.refusal.status, 504)
      yield* eventually("its end", () => attempts() === 0)
      const timers = active("Timeout")
      const dialled = yield* Effect.forkChild(NodeDialer.make({ dialTimeout: never }).dial(target), {
        startImmediately: true
      })
      yield* eventually("an attempt", () => attempts() === 1)
      assert.strictEqual(active("Timeout"), timers + 1)
      yield* Fiber.interrupt(dialled)
      assert.strictEqual(active("Timeout"), timers)
      yield* eventually("its end", () => attempts() === 0)
    }).pipe(Effect.scoped)
  )

  it.live("that is reached leaves no timer behind", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const { dial } = NodeDialer.make({ dialTimeout: never })
      const timers = active("Timeout")
      yield* dial(listener.target)
      assert.strictEqual(active("Timeout"), timers)
      assert.strictEqual((yield* failing({ dialTimeout: never }, yield* RawTarget.nobody)).kind, "Refused")
      assert.strictEqual(active("Timeout"), timers)
    }).pipe(Effect.scoped)
  )
})

describe("the functions among the options", { timeout: 30_000 }, () => {
  it.live.each(["127.0.0.1", "db.example"])("are asked once for each dial of %s", (host) =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const { dns } = names({ "db.example": ["127.0.0.1"] })
      const asked: Array<string> = []
      const { dial } = NodeDialer.make({
        dns,
        policy: () => (asked.push("policy"), TargetPolicy.everything),
        firewall: () => (asked.push("firewall"), Firewall.none),
        tls: () => void asked.push("tls"),
        proxyProtocol: () => void asked.push("proxyProtocol")
      })
      yield* dial(new Target({ host, port: listener.port }))
      yield* listener.accept
      assert.deepStrictEqual(asked.toSorted(), ["firewall", "policy", "proxyProtocol", "tls"])
    }).pipe(Effect.scoped)
  )

  it.live("may be anybody's: one that throws is a defect of the dial, whatever the target", () =>
    Effect.gen(function* () {
      const broken = (): never => {
        throw new Error("broken")
      }
      for (const options of [{ policy: broken }, { firewall: broken }, { tls: broken }, { proxyProtocol: broken }]) {
        const exit = yield* Effect.exit(
          Effect.scoped(NodeDialer.make(options).dial(new Target({ host: "127.0.0.1", port: 9 })))
        )
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      }
    })
  )
})

describe("retries", { timeout: 30_000 }, () => {
  it.live("reach a target that is there later, its name looked up anew", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const { asked, dns } = names({ "db.example": [["127.0.0.2"], ["224.0.0.1"], ["127.0.0.1"]] })
      const { dial } = NodeDialer.make({ dns, retries: 2, retryDelay: 1, dialTimeout: never })
      yield* dial(new Target({ host: "db.example", port: listener.port }))
      yield* listener.accept
      assert.lengthOf(asked, 3)
    }).pipe(Effect.scoped)
  )

  it.live.each([
    ["none by default", undefined, 1],
    ["as many as are set", 3, 4],
    ["ten at most", 1000, 11]
  ] as const)("are %s", ([, retries, tries]) =>
    Effect.gen(function* () {
      const { port } = yield* RawTarget.nobody
      const { asked, dns } = names({ "db.example": ["127.0.0.1"] })
      const options: NodeDialer.Options = { dns, retries, retryDelay: "10 micros", dialTimeout: never }
      assert.strictEqual((yield* failing(options, new Target({ host: "db.example", port }))).kind, "Refused")
      assert.lengthOf(asked, tries)
    }).pipe(Effect.scoped)
  )

  it.live("are not for what does not pass by itself", () =>
    Effect.gen(function* () {
      const { asked, dns } = names({ "db.example": ["10.0.0.1"] })
      const options: NodeDialer.Options = { dns, retries: 10, retryDelay: 1 }
      const denied = yield* failing(options, new ClientTarget({ host: "db.example", port: 80 }))
      assert.strictEqual(denied.kind, "NotAllowed")
      const unknown = yield* failing(options, new Target({ host: "other.example", port: 80 }))
      assert.strictEqual(unknown.kind, "NameNotFound")
      assert.deepStrictEqual(asked, ["db.example", "other.example"])
    })
  )

  it.live("end with the dial timeout", () =>
    Effect.gen(function* () {
      const target = yield* RawTarget.nobody
      const error = yield* failing({ retries: 10, retryDelay: never, dialTimeout: 200 }, target)
      assert.strictEqual(error.kind, "TimedOut")
    }).pipe(Effect.scoped)
  )
})

describe("a layer", () => {
  it.live("is built of the same options", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Layer.build(NodeDialer.layer({ retries: 1 })))
      assert.isTrue(Exit.isSuccess(exit))
    }).pipe(Effect.scoped)
  )
})
