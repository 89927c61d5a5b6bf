import { conformance } from "./suite.ts"
import { startWs, wsDifferences } from "./targets/ws.ts"

conformance("ws", startWs, { differences: wsDifferences })
