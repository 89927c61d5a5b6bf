/** The catalogue against an echo server over HTTP/2 (RFC 8441), whose client side makes streams of the suite's connections. */
import { conformance } from "./suite.ts"
import { startEffect } from "./targets/effect.ts"
import { overHttp2 } from "./targets/http2.ts"

conformance("HTTP/2", () => overHttp2(() => startEffect({ http2: { maxStreams: 1000 } })), {
  omissions: [
    {
      ids: ["0.1.20", "0.2.*", "0.3.*", "0.4.*", "0.5.*"],
      reason: "the opening handshake of HTTP/1.1 is the client's side of this target"
    }
  ]
})
