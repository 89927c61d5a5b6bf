/** An HTTP service of the test's own, on a port of the system's choice. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"

export interface Answering {
  readonly url: string
  /** The targets of the requests that came. */
  readonly asked: ReadonlyArray<string>
  readonly headers: ReadonlyArray<Http.IncomingHttpHeaders>
  /** How many it has not answered. */
  readonly waiting: () => number
}

export const answering = (
  answer: (target: string, response: Http.ServerResponse) => void
): Effect.Effect<Answering, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<Answering & { readonly server: Http.Server }>((resume) => {
        const asked: Array<string> = []
        const headers: Array<Http.IncomingHttpHeaders> = []
        let waiting = 0
        const server = Http.createServer((request, response) => {
          asked.push(request.url ?? "")
          headers.push(request.headers)
          waiting++
          response.once("close", () => waiting--)
          answer(request.url ?? "", response)
        }).listen(0, "127.0.0.1", () => {
          // net.Server gives an AddressInfo for a port
          const { port } = server.address() as AddressInfo
          resume(Effect.succeed({ server, url: `http://127.0.0.1:${port}`, asked, headers, waiting: () => waiting }))
        })
      }),
      ({ server }) =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    ),
    ({ asked, headers, url, waiting }) => ({ asked, headers, url, waiting })
  )
