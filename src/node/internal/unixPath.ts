/**
 * How long the path of a unix socket may be. Node before 26 cuts off what is more, and so takes another socket for it: who listens or
 * connects asks here first.
 */

/** The size of `sun_path`, in bytes. */
const space = process.platform === "linux" ? 108 : 104

/** Whether no socket can be connected to by this path. */
export const isTooLong = (path: string): boolean => Buffer.byteLength(path) > space

/** Whether no socket can be put there. That of a file has a NUL behind it, and a name in Linux' abstract namespace one in front. */
export const isTooLongToListen = (path: string): boolean =>
  Buffer.byteLength(path) > (path.startsWith("\0") ? space : space - 1)
