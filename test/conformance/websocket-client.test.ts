/** The catalogue against an echo client written with the Effect API. */
import { conformance } from "./suite.ts"
import { clientOmissions, startClient } from "./targets/client.ts"

conformance("WebSocketClient", startClient, { omissions: clientOmissions })
