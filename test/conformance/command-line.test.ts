/** The catalogue against `effect-websocket echo`. */
import { conformance } from "./suite.ts"
import { startCommandLine } from "./targets/command-line.ts"

conformance("command line", startCommandLine)
