/** The catalogue against an echo server written with the Effect API. */
import { conformance } from "./suite.ts"
import { startEffect } from "./targets/effect.ts"

conformance("Effect API", () => startEffect())
