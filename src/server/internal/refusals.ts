/** What a client is told for whom the server itself is the reason. */
import { Refusal } from "../../protocol/OpeningHandshake.ts"

export const undecided = new Refusal({ status: 500, reason: "The server made no decision." })
export const internalError = new Refusal({ status: 500, reason: "The server failed to handle the request." })
export const shuttingDown = new Refusal({ status: 503, reason: "The server is shutting down." })
