/**
 * `node .ci/serve.ts COMMAND [PORT] [CODE]`: runs a shell command of the README that stays, as a reader would: waits until it
 * says where its WebSocket is, sends a line through it and gets it back, ends it with SIGTERM, and expects the exit code CODE,
 * or 0. With PORT, there is a TCP service on that port that sends everything back.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync } from "node:fs"
import * as Net from "node:net"

const deadline = 120_000

/** The program itself, below npm and its shell: npm does not pass a signal on to it. */
const programOf = (pid: number): number => {
  const children = `/proc/${pid}/task/${pid}/children`
  const child = existsSync(children) ? readFileSync(children, "utf8").trim().split(" ")[0] : ""
  return child ? programOf(Number(child)) : pid
}

const roundTrip = (url: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const line = `hello ${process.pid}\n`
    const socket = new WebSocket(url)
    const decoder = new TextDecoder()
    let came = ""
    socket.binaryType = "arraybuffer"
    socket.addEventListener("open", () => socket.send(line))
    socket.addEventListener("message", ({ data }: MessageEvent<string | ArrayBuffer>) => {
      came += typeof data === "string" ? data : decoder.decode(data, { stream: true })
      if (came.endsWith(line)) socket.close()
    })
    socket.addEventListener("close", ({ code }) =>
      came.endsWith(line) ? resolve() : reject(new Error(`${url}: closed with ${code} after ${JSON.stringify(came)}`))
    )
  })

const [command, port = "", expected = "0"] = process.argv.slice(2)
if (command === undefined) throw new Error("usage: serve.ts COMMAND [PORT] [CODE]")

const service = Net.createServer((socket) => socket.on("error", () => {}).pipe(socket))
if (port !== "") await once(service.listen(Number(port), "localhost"), "listening")

console.log(`$ ${command}`)
const shell = spawn("bash", ["-c", command], { stdio: ["ignore", "pipe", "inherit"], timeout: deadline })
const exited = once(shell, "exit")
const url = new Promise<string>((resolve, reject) => {
  let output = ""
  shell.stdout.setEncoding("utf8").on("data", (text: string) => {
    process.stdout.write(text)
    output += text
    const match = /ws:\/\/[^\s]+:\d+/.exec(output)
    if (match !== null && output.endsWith("\n")) resolve(match[0])
  })
  shell.stdout.on("end", () => reject(new Error("it ended before it said where it listens")))
})
await roundTrip(await url)
process.kill(programOf(shell.pid!), "SIGTERM")
const [code, signal] = await exited
if (code !== Number(expected)) throw new Error(`expected exit code ${expected} after SIGTERM, got ${code ?? signal}`)
console.log(`a line came back, and SIGTERM ended it with exit code ${code}`)
service.close()
