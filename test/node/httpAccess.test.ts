/**
 * One policy for the pages and the WebSockets of a port.
 */
import { assert, describe, it } from "@effect/vitest"
import { hashSync } from "bcryptjs"
import { Context, Effect, Layer, Redacted, Result } from "effect"
import { HttpServer, HttpServerResponse } from "effect/http"
import * as NodeHttpAccess from "../../src/node/NodeHttpAccess.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import * as AccessList from "../../src/server/AccessList.ts"
import * as AccessPolicy from "../../src/server/AccessPolicy.ts"
import * as Htpasswd from "../../src/server/Htpasswd.ts"
import * as Identity from "../../src/server/Identity.ts"
import { WebSocketServer } from "../../src/server/WebSocketServer.ts"
import { drain, portOf } from "../server/serving.ts"
import { ask, upgradeRequest } from "../server/wire.ts"

const list = (text: string) => Result.getOrThrow(AccessList.parse(text))
const basic = AccessPolicy.basic({
  verify: (_, password) =>
    Redacted.value(password) === "right"
      ? Effect.succeed({})
      : Effect.fail({ kind: "credentialsWrong", reason: "wrong password" } as const)
})
const wrong = `Basic ${Buffer.from("ann:wrong").toString("base64")}`
const right = `Basic ${Buffer.from("ann:right").toString("base64")}`
const bearer = AccessPolicy.bearer({
  verify: () => Effect.fail({ kind: "credentialsWrong", reason: "unknown" } as const)
})

const page = Effect.map(Identity.Current, ({ subject }) => HttpServerResponse.text(`hello ${subject}\n`))

const serve = Effect.fnUntraced(function* (
  options: NodeHttpAccess.Options & Pick<NodeWebSocketServer.Options, "forwarded">
) {
  const context = yield* Layer.build(
    HttpServer.serve(page).pipe(
      Layer.provide(NodeHttpAccess.layer(options)),
      Layer.provideMerge(NodeWebSocketServer.layerHttp({ port: 0, ...options }))
    )
  )
  const server = Context.get(context, WebSocketServer)
  yield* Effect.forkScoped(server.run(drain))
  yield* Effect.yieldNow
  return portOf(server)
})

const get = (headers: Readonly<Record<string, string>> = {}) =>
  `GET / HTTP/1.1\r\nHost: localhost\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("")}\r\n`

describe("NodeHttpAccess", () => {
  it.live("lets in whom the policy lets in, and tells the application who that is", () =>
    Effect.gen(function* () {
      const port = yield* serve({ access: basic })
      const refused = yield* ask(port, get())
      assert.deepStrictEqual(
        [refused.status, refused.body, refused.headers["www-authenticate"]],
        [401, "The request was refused.\n", 'Basic realm="effect-websocket", charset="UTF-8"']
      )
      assert.strictEqual((yield* ask(port, upgradeRequest())).body, refused.body)
      assert.strictEqual((yield* ask(port, get({ Authorization: right }))).body, "hello ann\n")
      assert.strictEqual((yield* ask(port, upgradeRequest({ Authorization: right }))).status, 101)
    })
  )

  it.live(
    "counts wrong passwords for pages and WebSockets together: then there is 429 for both, and when to come back",
    () =>
      Effect.gen(function* () {
        const users = new Map([["ann", hashSync("right", 4)]])
        const { verify } = yield* Htpasswd.make(() => users, { maxWrongPasswords: 4 })
        const access = AccessPolicy.anyOf(AccessPolicy.basic({ verify }), bearer)
        const port = yield* serve({ access })
        assert.strictEqual((yield* ask(port, get({ Authorization: right }))).status, 200)
        for (let i = 0; i < 2; i++) {
          assert.strictEqual((yield* ask(port, get({ Authorization: wrong }))).status, 401)
          assert.strictEqual((yield* ask(port, upgradeRequest({ Authorization: wrong }))).status, 401)
        }
        for (const request of [get({ Authorization: right }), upgradeRequest({ Authorization: right })]) {
          const { headers, status } = yield* ask(port, request)
          assert.strictEqual(status, 429)
          assert.isAtLeast(Number(headers["retry-after"]), 1)
          assert.isUndefined(headers["www-authenticate"])
        }
        // who shows none is asked for one, as ever
        assert.strictEqual((yield* ask(port, get())).status, 401)
      })
  )

  it.live("shows all challenges in one line", () =>
    Effect.gen(function* () {
      const port = yield* serve({ access: AccessPolicy.anyOf(basic, bearer) })
      const { headers } = yield* ask(port, get())
      assert.match(headers["www-authenticate"] ?? "", /^Bearer realm="[^"]*", Basic realm="[^"]*", charset="UTF-8"$/)
    })
  )

  it.live("knows the address that a trusted proxy names, and no other", () =>
    Effect.gen(function* () {
      const access = AccessPolicy.address({ allowed: list("192.0.2.1") })
      const port = yield* serve({ access, forwarded: { trusted: list("127.0.0.1"), header: "x-forwarded-for" } })
      assert.strictEqual((yield* ask(port, get({ "X-Forwarded-For": "192.0.2.1" }))).status, 200)
      assert.strictEqual((yield* ask(port, get({ "X-Forwarded-For": "192.0.2.2" }))).status, 403)
      const other = yield* serve({ access })
      assert.strictEqual((yield* ask(other, get({ "X-Forwarded-For": "192.0.2.1" }))).status, 403)
    })
  )
})
