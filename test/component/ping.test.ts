/**
 * Ping: with a Timeout it waits for the pong; with Timeout 0 the Ping event alone tells of it.
 */
import { getEventListeners } from "node:events"
import { expect, it } from "vitest"
import { binary, PING, ping, PONG, pong } from "../conformance/wire/frame.ts"
import { Serving } from "./serving.ts"
import { codeOf, failure, isSettled, until } from "./until.ts"

const start = (timeout: number) =>
  Serving.start((server) => {
    server.defaultTimeout = timeout
  })

const pingsOf = (frames: ReadonlyArray<{ readonly opcode: number; readonly payload: Buffer }>) =>
  frames.filter(({ opcode }) => opcode === PING)

it("Ping, Timeout: with a Timeout it waits for the pong, whose event comes too", async () => {
  await using serving = await start(20)
  const { client, id } = await serving.raw({ pongs: false })
  const call = serving.server.ping(id)
  const [frame] = await until("the ping", () => pingsOf(client.frames).length === 1 && client.frames)
  expect(await isSettled(call)).toBe(false)
  // neither data nor another pong is the answer
  client.send(binary("data"), pong("another"))
  await until("the other pong", () => serving.pings.length === 1)
  expect(await isSettled(call)).toBe(false)
  client.send(pong(frame?.payload ?? ""))
  await call
  expect(serving.pings.map(({ connectionId, response }) => [connectionId, response])).toEqual([
    [id, true],
    [id, true]
  ])
})

it("Ping: of a client of another make", async () => {
  await using serving = await start(20)
  for (const deflate of [false, true]) {
    const { id } = await serving.ws(deflate)
    await serving.server.ping(id)
  }
  expect(serving.pings.map(({ response }) => response)).toEqual([true, true])
})

it("Ping, Timeout: with 0 it returns at once, and the Ping event tells of the pong", async () => {
  await using serving = await start(0)
  const { client, id } = await serving.raw({ pongs: false })
  await serving.server.ping(id)
  const [frame] = await until("the ping", () => pingsOf(client.frames).length === 1 && client.frames)
  expect(serving.pings).toEqual([])
  client.send(pong(frame?.payload ?? ""))
  await until("the event", () => serving.pings.length === 1)
  expect(serving.pings[0]).toMatchObject({ connectionId: id, response: true })
})

it("Ping, Timeout, 301: when no pong comes in time, and nothing else", async () => {
  await using serving = await start(1)
  const { client, connection, id } = await serving.raw({ pongs: false })
  const error = await failure(serving.server.ping(id))
  expect([error.code, error.message]).toEqual([301, "Operation interrupted (or timeout)."])
  // the connection goes on, and a late pong is an event and nothing else
  client.send(pong(client.frames[0]?.payload ?? ""))
  await until("the event", () => serving.pings.length === 1)
  connection.timeout = 20
  const call = serving.server.ping(id)
  await until("the ping", () => pingsOf(client.frames).length === 2)
  expect(await isSettled(call)).toBe(false)
  client.send(pong(client.frames[1]?.payload ?? ""))
  await call
  await serving.server.sendText(id, "after")
  expect(await client.texts(1)).toEqual(["after"])
})

it("Ping, Timeout: extended by what the client sends meanwhile", async () => {
  await using serving = await start(1)
  const { client, id } = await serving.raw({ pongs: false })
  const call = serving.server.ping(id)
  const talking = setInterval(() => client.send(binary("busy")), 100)
  const began = performance.now()
  await until("more than the Timeout to pass", () => performance.now() - began > 2500)
  clearInterval(talking)
  expect(await isSettled(call)).toBe(false)
  client.send(pong(client.frames[0]?.payload ?? ""))
  await call
})

it("Ping: several at once, each answered by its own pong", async () => {
  await using serving = await start(20)
  const { client, id } = await serving.raw({ pongs: false })
  const calls = [serving.server.ping(id), serving.server.ping(id), serving.server.ping(id)]
  await until("the pings", () => pingsOf(client.frames).length === 3)
  const [first, second, third] = client.frames.map(({ payload }) => payload)
  client.send(pong(first ?? ""))
  await calls[0]
  expect(await isSettled(Promise.race(calls.slice(1)))).toBe(false)
  // RFC 6455 section 5.5.3: the pong of the latest may answer those before it
  client.send(pong(third ?? ""))
  await Promise.all(calls)
  expect(second).not.toEqual(third)
})

it("Ping, 301: a signal during the wait and before it", async () => {
  await using serving = await start(20)
  const { client, id } = await serving.raw({ pongs: false })
  const aborter = new AbortController()
  const call = failure(serving.server.ping(id, aborter.signal))
  await until("the ping", () => client.frames.length === 1)
  aborter.abort(new Error("never mind"))
  const { cause, code } = await call
  expect([code, cause]).toEqual([301, aborter.signal.reason])
  expect(getEventListeners(aborter.signal, "abort")).toEqual([])
  expect(await codeOf(serving.server.ping(id, aborter.signal))).toBe(301)
  await serving.server.sendText(id, "after")
  expect(await client.texts(1)).toEqual(["after"])
  expect(pingsOf(client.frames)).toHaveLength(1)
})

it("Interrupt, Ping, 301: ends the wait for a pong", async () => {
  await using serving = await start(20)
  const { client, id } = await serving.raw({ pongs: false })
  const call = codeOf(serving.server.ping(id))
  await until("the ping", () => client.frames.length === 1)
  await serving.server.interrupt(id)
  expect(await call).toBe(301)
})

it("Ping, 4202: the connection ends before the pong comes, and a ping after that", async () => {
  await using serving = await start(20)
  for (const end of ["destroy", "reset"] as const) {
    const { client, id } = await serving.raw({ pongs: false })
    const call = codeOf(serving.server.ping(id))
    await until("the ping", () => client.frames.length === 1)
    if (end === "destroy") client.destroy()
    else client.socket.resetAndDestroy()
    expect(await call).toBe(4202)
    await until("the end", () => serving.log.includes(`Disconnected ${id}`))
  }
})

it("Ping, 126: after the connection has ended", async () => {
  await using serving = await start(20)
  const { client, id } = await serving.raw()
  client.destroy()
  await until("the end", () => !serving.server.connections.has(id))
  expect(await codeOf(serving.server.ping(id))).toBe(126)
})

it("Ping, SendText: goes behind what was sent before", async () => {
  for (const timeout of [0, 20]) {
    await using serving = await start(timeout)
    const { client, id } = await serving.raw()
    void serving.server.sendText(id, "1")
    const call = serving.server.ping(id)
    void serving.server.sendText(id, "2")
    await call
    await client.texts(2)
    expect(client.frames.map(({ opcode, payload }) => (opcode === PING ? "ping" : payload.toString()))).toEqual([
      "1",
      "ping",
      "2"
    ])
  }
})

it("Ping.Response, Ping.Payload: a ping that comes is answered by itself, and is no response", async () => {
  await using serving = await start(0)
  const { client, id } = await serving.raw()
  client.send(ping("are you there? é"))
  await until("the pong", () => client.frames.length === 1)
  expect(client.frames.map(({ opcode, payload }) => [opcode, payload.toString()])).toEqual([[PONG, "are you there? é"]])
  await until("the event", () => serving.pings.length === 1)
  expect(serving.pings[0]).toMatchObject({ connectionId: id, payload: "are you there? é", response: false })
})

it("Ping: from a listener of the connection, which must not wait for it", async () => {
  const log: Array<unknown> = []
  await using serving = await Serving.start((server) => {
    server.defaultTimeout = 20
    const listener = (name: string) => (e: { readonly connectionId: string }) => {
      log.push(name)
      void server.ping(e.connectionId).then(() => log.push(`${name} ponged`))
    }
    server.on("Connected", listener("Connected"))
    server.on("DataIn", listener("DataIn"))
  })
  const { client } = await serving.ws()
  await until("the pong", () => log.length === 2)
  client.send("x")
  await until("the other", () => log.length === 4)
  expect(log).toEqual(["Connected", "Connected ponged", "DataIn", "DataIn ponged"])
})
