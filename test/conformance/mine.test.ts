import { conformance } from "./suite.ts"
import { startCommandLine } from "./targets/command-line.ts"
import { startEffect } from "./targets/effect.ts"

conformance("command line", startCommandLine)
conformance("Effect API", startEffect)
