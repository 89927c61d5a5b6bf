/**
 * How V8 runs a server: the code that it compiles, and the memory that it gives to what comes and goes. It is set as the first thing of
 * the process, since hundreds of functions are compiled with the first thousand connections.
 */
import * as V8 from "node:v8"

const flags = [
  // What V8's middle compiler took for a function it gives back in a thread of its own, some time later. By then the allocator of
  // glibc, which has an arena for each thread, has taken so much that 12 MB stay with the process for good. Given back where it
  // was taken from, by the thread that asked for it, it is used again; that takes a few milliseconds in the life of a process.
  "--no-maglev-destroy-on-background",
  // Where V8 finds that what a piece of code makes lives for long, as it does while the first connections come, it has that made
  // in the old generation from then on. There it is garbage until the next full collection, and keeps what it refers to: of each
  // connection that comes and goes 3 KB were copied twice, which was a fifth of the time for its handshakes.
  "--no-allocation-site-pretenuring",
  // What is called 3,000 times is compiled for good, says V8, and from version 13 on has it called two or three times as often all the
  // same, unless it is told once more. A server was at its full speed after 17,000 connections, and is after 6,000.
  "--invocation-count-for-turbofan=3000"
]

/** They are flags of V8 12 to 14 (Node 22 to 26); another V8 might say on stderr that it does not know one. */
if (/^1[2-4]\./.test(process.versions.v8)) for (const flag of flags) V8.setFlagsFromString(flag)
