/**
 * How V8 compiles the code of a server. It is set as the first thing of the process, since hundreds of functions are compiled
 * with the first thousand connections.
 */
import * as V8 from "node:v8"

/**
 * What V8's middle compiler took for a function it gives back in a thread of its own, some time later. By then the allocator of
 * glibc, which has an arena for each thread, has taken so much that 12 MB stay with the process for good. Given back where it
 * was taken from, by the thread that asked for it, it is used again; that takes a few milliseconds in the life of a process.
 * The flag is one of V8 12 to 14 (Node 22 to 26); another V8 might say on stderr that it does not know it.
 */
if (/^1[2-4]\./.test(process.versions.v8)) V8.setFlagsFromString("--no-maglev-destroy-on-background")
