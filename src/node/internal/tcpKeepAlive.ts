/** TCP keep-alive of a connection: probes of the system, where a connection is silent. */
import type * as Net from "node:net"

/** `interval` is of Node 26; before, it is not looked at. What is no whole number of seconds, Node would cut to one. */
export const setKeepAlive = (socket: Net.Socket, time: number | undefined, interval: number | undefined): void => {
  const set: (enable: boolean, time?: number, interval?: number) => Net.Socket = socket.setKeepAlive.bind(socket)
  set(true, wholeSeconds(time), wholeSeconds(interval))
}

/** What the system takes: at least one second, or it would take none of it, and at most what Linux does. */
const wholeSeconds = (millis: number | undefined): number | undefined =>
  millis === undefined || millis === 0 ? millis : Math.min(32_767, Math.ceil(millis / 1000)) * 1000
