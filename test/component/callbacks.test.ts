/**
 * The last argument of a method: a callback, as programs for older editions of the original give, a signal, or what is neither.
 */
import { describe, expect, it } from "vitest"
import type { ComponentError } from "../../src/component/ComponentError.ts"
import { both, listening } from "./component.ts"
import { Serving } from "./serving.ts"
import { failure, until } from "./until.ts"

/** Calls a method with a callback; gives what that is called with, and whether the promise fails too. */
const called = async (call: (callback: (error?: ComponentError) => void) => Promise<void>) => {
  const { promise, resolve } = Promise.withResolvers<ReadonlyArray<unknown>>()
  await call((...args) => resolve(args))
  return promise
}

describe.each(both)("%s", (_, make) => {
  it("DoEvents, Disconnect, Shutdown: a callback is called with the failure, or with nothing", async () => {
    const component = await listening(make())
    expect(await called((callback) => component.doEvents(callback))).toEqual([])
    expect(await called((callback) => component.disconnect("7", callback))).toMatchObject([{ code: 126 }])
    expect(await called((callback) => component.shutdown(callback))).toEqual([])
    expect(component.listening).toBe(false)
    await component.dispose()
  })

  it("DoEvents, Disconnect, Shutdown, 10022: what is no signal is refused before anything is done", async () => {
    const component = await listening(make())
    for (const wrong of ["signal", 5, null, {}, { aborted: true }]) {
      // as a caller without types gives it
      const signal = wrong as AbortSignal
      for (const call of [component.doEvents(signal), component.disconnect("7", signal), component.shutdown(signal)]) {
        expect(await failure(call)).toMatchObject({ code: 10022, message: expect.stringContaining("AbortSignal") })
      }
    }
    expect(component.listening).toBe(true)
    await component.dispose()
  })
})

it("SendBytes, SendText, Send, Ping, PauseData, ProcessData, ChangeLineMode, Interrupt: take a callback", async () => {
  for (const timeout of [0, 5]) {
    await using serving = await Serving.start((server) => (server.defaultTimeout = timeout))
    const { client, id } = await serving.raw()
    const { server } = serving
    const bytes = new Uint8Array([0x61])
    const results = [
      await called((callback) => server.sendBytes(id, bytes, callback)),
      await called((callback) => server.sendText(id, "b", callback)),
      await called((callback) => server.send(id, "c", callback)),
      await called((callback) => server.ping(id, callback)),
      await called((callback) => server.pauseData(id, callback)),
      await called((callback) => server.processData(id, callback)),
      await called((callback) => server.changeLineMode(id, true, callback)),
      await called((callback) => server.interrupt(id, callback)),
      await called((callback) => server.stopListening(callback)),
      await called((callback) => server.startListening(callback))
    ]
    expect(results.flat()).toEqual([])
    expect(await client.texts(3)).toEqual(["a", "b", "c"])
    const failures = [
      await called((callback) => server.sendText("none", "x", callback)),
      await called((callback) => server.startListening(callback)),
      await called((callback) => server.sendFile(id, "/no such file", callback))
    ]
    expect(failures).toMatchObject([[{ code: 126 }], [{ code: 104 }], [{ code: timeout === 0 ? 135 : 4202 }]])
  }
})

it("SendBytes, SendText, Send, Ping, 10022: with what is no signal nothing is sent", async () => {
  for (const timeout of [0, 5]) {
    await using serving = await Serving.start((server) => (server.defaultTimeout = timeout))
    const { client, id } = await serving.raw()
    const { server } = serving
    // as a caller without types gives it
    const signal = {} as AbortSignal
    for (const call of [
      server.sendBytes(id, new Uint8Array(1), signal),
      server.sendText(id, "x", signal),
      server.send(id, "x", signal),
      server.ping(id, signal)
    ]) {
      expect((await failure(call)).code).toBe(10022)
    }
    await server.sendText(id, "the only one")
    await until("it", () => client.frames.length > 0)
    expect(await client.texts(1)).toEqual(["the only one"])
    expect(client.frames).toHaveLength(1)
  }
})
