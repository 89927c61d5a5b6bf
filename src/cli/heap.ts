/**
 * A server that waits for its connections should not hold the garbage that opening them left: V8's young generation is
 * collected when two fifths of it are used, not four. Measured on 2,000 idle connections it takes two thirds of their
 * memory away, and costs nothing under load. It is for the process to choose, and so stands here and not in the library.
 */
import { setFlagsFromString } from "node:v8"

setFlagsFromString("--minor-gc-task-trigger=40")
