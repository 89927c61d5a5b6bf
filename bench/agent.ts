/**
 * Helper processes with typed commands. A helper file calls `serve` with its commands; `start` forks it and gives back
 * an object whose `call` runs one command and fails when the helper fails, dies, or takes longer than it may. A helper
 * ends with its parent (the channel closes), and every child made here or given to `track` is killed when this process
 * exits, whatever the reason.
 */
import { fork } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { fileURLToPath } from "node:url"

export type Commands = Readonly<Record<string, (argument: never) => Promise<unknown>>>

export interface Agent<C extends Commands> extends AsyncDisposable {
  readonly pid: number
  readonly call: <K extends keyof C & string>(
    name: K,
    argument: Parameters<C[K]>[0],
    seconds: number
  ) => Promise<Awaited<ReturnType<C[K]>>>
}

interface Request {
  readonly id: number
  readonly name: string
  readonly argument: never
}
interface Reply {
  readonly id: number
  readonly value?: unknown
  readonly error?: string
}

export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Fails with what is to be said of it when the promise has not settled in time. */
export const within = <A>(seconds: number, what: () => string, promise: Promise<A>): Promise<A> =>
  new Promise<A>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what()} within ${seconds} s`)), seconds * 1000)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })

export const sleep = (seconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, seconds * 1000))

const children = new Set<ChildProcess>()
process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")))

/** Has the child killed when this process exits. */
export const track = <Child extends ChildProcess>(child: Child): Child => {
  children.add(child)
  child.once("exit", () => children.delete(child))
  return child
}

/** Ends a child: politely, and by force after `grace` seconds. */
export const stop = async (child: ChildProcess, grace: number): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()))
  child.kill("SIGTERM")
  const force = setTimeout(() => child.kill("SIGKILL"), grace * 1000)
  await gone
  clearTimeout(force)
}

export const start = <C extends Commands>(file: string): Agent<C> => {
  const child = track(fork(fileURLToPath(new URL(file, import.meta.url)), [], { execArgv: [] }))
  const pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  let calls = 0
  child.on("message", (message) => {
    const reply = message as Reply
    const call = pending.get(reply.id)
    pending.delete(reply.id)
    if (reply.error === undefined) call?.resolve(reply.value)
    else call?.reject(new Error(reply.error))
  })
  const fail = (reason: string) => {
    for (const call of pending.values()) call.reject(new Error(`${file}: ${reason}`))
    pending.clear()
  }
  child.on("error", (error) => fail(error.message))
  child.on("exit", (code, signal) => fail(`exited with ${signal ?? code}`))
  return {
    pid: child.pid ?? 0,
    call: (name, argument, seconds) => {
      const id = calls++
      const reply = new Promise<unknown>((resolve, reject) => {
        pending.set(id, { resolve, reject })
        child.send({ id, name, argument }, (error) => {
          if (error !== null) reject(error)
        })
      })
      return within(seconds, () => `${file} did not finish "${name}"`, reply) as Promise<
        Awaited<ReturnType<C[typeof name]>>
      >
    },
    [Symbol.asyncDispose]: () => stop(child, 1)
  }
}

/** Runs in the helper: answers the parent's commands until the channel closes. */
export const serve = (commands: Commands): void => {
  process.on("message", (message) => {
    const { id, name, argument } = message as Request
    const command = commands[name]
    const result = command === undefined ? Promise.reject(new Error(`unknown command ${name}`)) : command(argument)
    result.then(
      (value) => process.send?.({ id, value } satisfies Reply),
      (error: unknown) => process.send?.({ id, error: reasonOf(error) } satisfies Reply)
    )
  })
  process.on("disconnect", () => process.exit())
}
