/**
 * An echo server written with the component `WSServer`, in the process of the tests.
 */
import { WSServer } from "../../../src/component/index.ts"
import type { Target } from "../suite.ts"

export const startComponent = async (): Promise<Target> => {
  const server = new WSServer()
  server.localHost = "127.0.0.1"
  server.config("BufferMessage=true")
  server.config(`MaxMessageSize=${64 * 1024 * 1024}`)
  // the catalogue has messages of more than the default of 128 KiB, and wants each back as one
  server.config(`MaxFrameSize=${64 * 1024 * 1024}`)
  // and clients that send much before they read
  server.config(`OutBufferSize=${256 * 1024 * 1024}`)
  server.on("DataIn", (e) =>
    e.dataFormat === 1 ? server.sendText(e.connectionId, e.text) : server.sendBytes(e.connectionId, e.textB)
  )
  await server.startListening()
  return { host: server.localHost, port: server.localPort, stop: () => server.dispose() }
}
