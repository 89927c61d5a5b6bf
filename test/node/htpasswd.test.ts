/**
 * What the real `htpasswd` writes, from a file that changes, checked in a thread of its own. Needs apache2-utils.
 */
import { assert, describe, it } from "@effect/vitest"
import { hashSync } from "bcryptjs"
import { Effect, Exit, Fiber, Redacted, Result, Scope } from "effect"
import { execFileSync } from "node:child_process"
import { existsSync, truncateSync } from "node:fs"
import * as Bcrypt from "../../src/node/internal/bcrypt.ts"
import * as NodeBearerTokens from "../../src/node/NodeBearerTokens.ts"
import { FileError } from "../../src/node/NodeFileError.ts"
import * as NodeHtpasswd from "../../src/node/NodeHtpasswd.ts"
import * as NodeJwtKeys from "../../src/node/NodeJwtKeys.ts"
import * as NodeTokenSource from "../../src/node/NodeTokenSource.ts"
import * as Installed from "../installed.ts"
import { collectingLogs, eventually } from "../server/serving.ts"
import { path, text, write } from "../tls/openssl.ts"

const missing = Installed.missing("htpasswd")

/** Sets a password as an administrator does; what the shell would read is given on its input. */
const htpasswd = (file: string, user: string, password: string, ...flags: ReadonlyArray<string>) =>
  execFileSync("htpasswd", ["-i", ...(existsSync(path(file)) ? [] : ["-c"]), ...flags, path(file), user], {
    input: password,
    stdio: ["pipe", "ignore", "ignore"]
  })

const outcome = (self: NodeHtpasswd.NodeHtpasswd, user: string, password: string) =>
  Effect.map(Effect.result(self.verify(user, Redacted.make(password))), (result) =>
    Result.isSuccess(result) ? "right" : result.failure.kind
  )

describe.skipIf(missing !== undefined)(`NodeHtpasswd${missing === undefined ? "" : ` (${missing})`}`, () => {
  it.live("takes what htpasswd -B writes, UTF-8 and blanks included", () =>
    Effect.gen(function* () {
      const pairs = [
        ["ann", "correct horse"],
        ["jürgen", "Größe€ 密码"],
        ["with blank", "a:b:c"],
        ["long", "x".repeat(71)]
      ] as const
      for (const [user, password] of pairs) htpasswd("users", user, password, "-B", "-C", "5")
      const self = yield* NodeHtpasswd.make({ file: path("users") })
      for (const [user, password] of pairs) {
        assert.strictEqual(yield* outcome(self, user, password), "right", user)
        assert.strictEqual(yield* outcome(self, user, `x${password}`), "credentialsWrong", user)
      }
      assert.strictEqual(yield* outcome(self, "nobody", "correct horse"), "credentialsWrong")
    }).pipe(Effect.scoped)
  )

  it.live("does not hold up the server while it compares", () =>
    Effect.gen(function* () {
      htpasswd("slow", "ann", "right", "-B", "-C", "10")
      const self = yield* NodeHtpasswd.make({ file: path("slow") })
      let turns = 0
      const timer = setInterval(() => turns++, 1)
      // the start of the thread takes a while, too
      yield* outcome(self, "ann", "wrong")
      turns = 0
      yield* Effect.replicateEffect(outcome(self, "ann", "wrong"), 5)
      clearInterval(timer)
      assert.isAbove(turns, 10)
    }).pipe(Effect.scoped)
  )

  it.live("reads the file anew when it changes, and keeps the users of before when it is broken", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        htpasswd("changing", "ann", "one", "-B", "-C", "4")
        const self = yield* NodeHtpasswd.make({ file: path("changing"), interval: "20 millis" })
        assert.strictEqual(yield* outcome(self, "ann", "one"), "right")
        htpasswd("changing", "ann", "two", "-B", "-C", "4")
        yield* eventually(
          "the new password is right",
          Effect.map(outcome(self, "ann", "two"), (how) => how === "right")
        )
        assert.strictEqual(yield* outcome(self, "ann", "one"), "credentialsWrong")
        const good = text("changing")
        htpasswd("changing", "bob", "three", "-m")
        yield* eventually(
          "the broken file is told",
          Effect.sync(() => logs.some((log) => log.level === "Error" && log.text.includes("line 2")))
        )
        assert.strictEqual(yield* outcome(self, "ann", "two"), "right")
        assert.include((yield* Effect.flip(self.reload)).message, "hashed with MD5")
        write("changing", good)
        yield* self.reload
        for (const { text } of logs) assert.notMatch(text, /\$2y\$|\$apr1\$/)
      }).pipe(Effect.scoped)
    )
  )

  it.live("says which line is wrong, and that a file is not there, no file or no text", () =>
    Effect.gen(function* () {
      htpasswd("md5", "ann", "x", "-m")
      htpasswd("sha", "ann", "x", "-s")
      htpasswd("plain", "ann", "x", "-p")
      write("latin1", Buffer.from("j\xfcrgen:x", "latin1"))
      write("large", "")
      truncateSync(path("large"), 16 * 1024 * 1024 + 1)
      for (const [file, says] of [
        ["md5", 'line 1: the password of "ann" is hashed with MD5'],
        ["sha", "SHA-1"],
        ["plain", "is not hashed"],
        ["latin1", "UTF-8"],
        ["large", "more than 16777216 bytes"],
        ["none", "ENOENT"],
        [".", "no regular file"]
      ] as const) {
        const error = yield* Effect.flip(NodeHtpasswd.make({ file: path(file) }))
        assert.instanceOf(error, FileError)
        assert.strictEqual(error.file, path(file))
        const { message } = error
        assert.include(message, says)
        assert.include(message, path(file))
      }
    }).pipe(Effect.scoped)
  )
})

describe("the thread of bcrypt", () => {
  it.live("is replaced when it fails, and what it was asked is unavailable, not wrong", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const compare = yield* Bcrypt.make
        const hash = hashSync("right", 4)
        assert.isTrue(yield* compare("right", hash))
        // no hash that a file could have: bcryptjs throws
        const fault = yield* Effect.flip(compare("right", hash.replace("$2b$", "$9b$")))
        assert.strictEqual(fault.kind, "unavailable")
        yield* eventually(
          "it is told",
          Effect.sync(() => logs.some(({ text }) => text.includes("thread")))
        )
        assert.isTrue(yield* compare("right", hash))
        assert.isFalse(yield* compare("wrong", hash))
      }).pipe(Effect.scoped)
    )
  )
})

describe("the end of the thread of bcrypt", () => {
  it.live("answers what it was asked", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const compare = yield* Scope.provide(Bcrypt.make, scope)
      // a cost at which it takes seconds
      const comparing = yield* Effect.forkChild(
        Effect.uninterruptible(compare("right", hashSync("right", 4).replace("$04$", "$16$")))
      )
      yield* Effect.sleep("100 millis")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Effect.flip(Fiber.join(comparing))).kind, "unavailable")
    })
  )
})

describe("NodeBearerTokens", () => {
  it.live("takes back what was read on request, if the file does", () =>
    collectingLogs(() =>
      Effect.gen(function* () {
        const [one, two] = ["one-token-1234567890", "two-token-1234567890"] as const
        write("taken-back", `${one} ann\n`)
        const self = yield* NodeBearerTokens.make({ file: path("taken-back"), interval: "100 millis" })
        const knows = (token: string) => Effect.map(Effect.result(self.verify(Redacted.make(token))), Result.isSuccess)
        write("taken-back", `${two} ann\n`)
        yield* self.reload
        assert.isTrue(yield* knows(two))
        write("taken-back", `${one} ann\n`)
        yield* eventually("the first is known", knows(one))
        assert.isFalse(yield* knows(two))
      }).pipe(Effect.scoped)
    )
  )

  it.live("reads the file anew when it changes", () =>
    Effect.gen(function* () {
      write("tokens", "one-token-1234567890 ann\n")
      const self = yield* NodeBearerTokens.make({ file: path("tokens"), interval: "20 millis" })
      const subject = (token: string) =>
        Effect.map(Effect.result(self.verify(Redacted.make(token))), (_) =>
          Result.isSuccess(_) ? _.success.subject : "no"
        )
      assert.strictEqual(yield* subject("one-token-1234567890"), "ann")
      write("tokens", "two-token-1234567890 bob\n")
      yield* eventually(
        "the new token is known",
        Effect.map(subject("two-token-1234567890"), (_) => _ === "bob")
      )
      assert.strictEqual(yield* subject("one-token-1234567890"), "no")
      write("tokens", "broken\n")
      assert.include((yield* Effect.flip(self.reload)).message, "line 1")
      assert.strictEqual(yield* subject("two-token-1234567890"), "bob")
    }).pipe(Effect.scoped)
  )
})

describe("a file in which there is nobody", () => {
  it.live("is told, since nobody can come in, and fills later", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        write("nobody", "# nobody yet\n")
        const options = { file: path("nobody"), interval: "Infinity" } as const
        yield* NodeHtpasswd.make(options)
        yield* NodeBearerTokens.make(options)
        yield* NodeTokenSource.file({ path: path("nobody") })
        assert.deepStrictEqual(
          logs.map(({ level, text }) => [level, /There is no (?:user|token) in [^:]*nobody:/.test(text)]),
          [1, 2, 3].map(() => ["Warn", true])
        )
      })
    ).pipe(Effect.scoped)
  )
})

describe("NodeJwtKeys", () => {
  it.live("reads the file anew when it changes, and takes what it is told to take", () =>
    Effect.gen(function* () {
      const first = "a secret of thirty-two characters"
      write("secret", `${first}\n`)
      const keys = yield* NodeJwtKeys.make({ file: path("secret"), kind: "secret", interval: "20 millis" })
      const secret = Effect.map(keys.find("HS256", undefined), ([key]) =>
        key?.key instanceof Uint8Array ? new TextDecoder().decode(key.key) : ""
      )
      assert.strictEqual(yield* secret, first)
      write("secret", "another one of thirty-two characters\r\n")
      yield* eventually(
        "the new secret is there",
        Effect.map(Effect.orDie(secret), (text) => text === "another one of thirty-two characters")
      )
      // a secret is no public key, and the other way round
      assert.include((yield* Effect.flip(NodeJwtKeys.make({ file: path("secret") }))).message, "PEM")
    }).pipe(Effect.scoped)
  )
})
