import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { describe, expect, test } from "tstyche"
import * as Router from "../../src/proxy/Router.ts"
import { Target } from "../../src/proxy/Target.ts"

class Broken extends Data.TaggedError("Broken") {}
declare const fails: Router.Route<Broken>
declare const needs: Router.Route<never, Router.Router>
const target = new Target({ host: "a", port: 1 })

describe("Router", () => {
  test("path has the names of its pattern", () => {
    Router.path("/desk/:who/:machine/*", (_, params) => {
      expect(params.who).type.toBe<string>()
      expect(params.machine).type.toBe<string>()
      expect(params["*"]).type.toBe<string>()
      expect(params).type.not.toHaveProperty("nobody")
      return Effect.succeed(target)
    })
    expect(Router.path).type.not.toBeCallableWith("desk", target)
  })

  test("firstOf fails and needs as all of its routes do", () => {
    expect(Router.firstOf(Router.to(target), Router.path("/x", target))).type.toBe<Router.Route>()
    expect(Router.firstOf(Router.to(target), fails, needs)).type.toBe<Router.Route<Broken, Router.Router>>()
  })

  test("what a route leads to may fail and need, too", () => {
    expect(Router.path("/x", Router.to(target))).type.toBe<Router.Route>()
    expect(Router.path("/x", fails)).type.toBe<Router.Route<Broken>>()
    expect(Router.path("/x", () => Effect.fail(new Broken()))).type.toBe<Router.Route<Broken>>()
    expect(Router.host("x", needs)).type.toBe<Router.Route<never, Router.Router>>()
    expect(Router.subprotocol("x", fails)).type.toBe<Router.Route<Broken>>()
  })
})
