/** Files that are written at their end. Each write opens the file anew, so that it can be rotated at any time. */
import { constants, openSync } from "node:fs"

// Windows does not have the last
const { O_APPEND, O_CREAT, O_NONBLOCK = 0, O_WRONLY } = constants

/** Opens a file to write at its end; a pipe that nobody reads is an error, and not waited for. It is made for its user alone. */
export const openToAppend = (path: string): number => openSync(path, O_APPEND | O_CREAT | O_WRONLY | O_NONBLOCK, 0o600)
