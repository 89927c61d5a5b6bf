/**
 * Runs an example as a reader of it would, in a process of its own, and talks to it with a WebSocket client that is not ours.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { type ClientOptions, WebSocket } from "ws"

const root = fileURLToPath(new URL("../..", import.meta.url))

export interface Program extends AsyncDisposable {
  /** `ws://HOST:PORT`, or with another scheme: `wss`, `tcp` */
  readonly url: string
}

const start = (example: string, env: Record<string, string>) =>
  spawn(process.execPath, ["--conditions=source", `examples/${example}.ts`], {
    cwd: root,
    env: { ...process.env, PORT: "0", ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })

/** Starts a server and waits until it listens. */
export const serve = async (example: string, env: Record<string, string> = {}): Promise<Program> => {
  const child = start(example, env)
  const exited = once(child, "exit")
  const errors: Array<string> = []
  child.stderr.on("data", (chunk: Buffer) => errors.push(chunk.toString()))
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /(?:wss?|tcp):\/\/\S+/.exec(line)?.[0]
    if (url === undefined) continue
    child.stdout.resume()
    return {
      url,
      [Symbol.asyncDispose]: async () => {
        child.kill("SIGTERM")
        await exited
      }
    }
  }
  throw new Error(`${example} ended before it listened: ${errors.join("")}`)
}

export interface Told extends AsyncDisposable {
  /** The next line that it prints. */
  readonly line: () => Promise<string>
  /** Its exit status, once it has ended, and what it wrote to stderr. */
  readonly ended: Promise<{ readonly code: number; readonly stderr: string }>
}

/** Starts a program that connects somewhere. */
export const tell = (example: string, env: Record<string, string>): Told => {
  const child = start(example, env)
  let stderr = ""
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ended = once(child, "close").then(([code]: ReadonlyArray<number>) => ({ code: code!, stderr }))
  return {
    line: async () => {
      const { value } = await lines.next()
      if (value === undefined) throw new Error(`${example} has ended: ${stderr}`)
      return value
    },
    ended,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGTERM")
      await ended
    }
  }
}

/** Runs a program to its end and gives what it printed. */
export const run = async (example: string): Promise<{ readonly code: number; readonly stdout: string }> => {
  const child = start(example, {})
  let stdout = ""
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.resume()
  const [code] = await once(child, "close")
  return { code, stdout }
}

/** A client whose messages are awaited one by one. */
export class Client implements AsyncDisposable {
  readonly #socket: WebSocket
  readonly #messages: Array<string> = []
  readonly #waiting: Array<(message: string) => void> = []

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on("message", (data: Buffer) => {
      const message = data.toString()
      const waiting = this.#waiting.shift()
      if (waiting === undefined) this.#messages.push(message)
      else waiting(message)
    })
  }

  static async connect(url: string, options: ClientOptions = {}, subprotocol?: string): Promise<Client> {
    const socket = new WebSocket(url, subprotocol === undefined ? [] : [subprotocol], options)
    const client = new Client(socket)
    await once(socket, "open")
    return client
  }

  send(message: string): void {
    this.#socket.send(message)
  }

  next(): Promise<string> {
    const message = this.#messages.shift()
    return message === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(message)
  }

  /** The code that the other side closes with. */
  async closed(): Promise<number> {
    // 'close' comes with a code and a reason
    const [code] = (await once(this.#socket, "close")) as [number, Buffer]
    return code
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#socket.readyState === WebSocket.CLOSED) return
    const closed = once(this.#socket, "close")
    this.#socket.close()
    await closed
  }
}
