/** The catalogue against an echo server written with the component `WSServer`, so that it cannot drift from the core. */
import { conformance } from "./suite.ts"
import { startComponent } from "./targets/component.ts"

conformance("component", startComponent)
