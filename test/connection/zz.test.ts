import { it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Stream } from "effect"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { withPeer, settled } from "./connected.ts"
it.effect("x", () => Effect.gen(function* () {
        const { peer, webSocket } = yield* withPeer("server")
        const busy = yield* Deferred.make<void>()
        const orig = (webSocket as any).next.bind(webSocket);
        (webSocket as any).next = () => { console.log("next", new Error().stack!.split("\n").length); return orig() }
        const handler = yield* Effect.forkChild(
          Effect.exit(Stream.runForEach(webSocket.messages, () => { console.log("handling"); return Effect.andThen(Deferred.await(busy), Effect.sync(() => console.log("handled"))) }))
        )
        yield* peer.send({opcode: Opcode.text, payload: new Uint8Array(1)})
        console.log("forking close")
        const closing = yield* Effect.forkChild(webSocket.close())
        console.log((yield* peer.next).opcode, (webSocket as any).reading)
        yield* Deferred.succeed(busy, undefined)
        yield* settled
        console.log("reading", (webSocket as any).reading)
        yield* peer.send({opcode: Opcode.close, payload: new Uint8Array([3,0xe8])})
        console.log("closed sent")
        yield* Fiber.join(closing)
        console.log("close")
        console.log(yield* Fiber.join(handler))
}), 2000)
