/**
 * {@link Revocation} that fetches with `node:http`: one connection for each fetch, nothing but what was asked for, and no
 * redirect to another host.
 *
 * The addresses are what certificates name, so a certificate can make this process send a GET, or a POST of OCSP, to any
 * address that it can reach. Only certificates of trusted authorities should get as far as to be checked.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Http from "node:http"
import * as Revocation from "../tls/Revocation.ts"
import type { RevocationError } from "../tls/RevocationError.ts"

/** The most redirects that are followed. */
const maxRedirects = 3

/** The most that the head of an answer may be. */
const maxHead = 16 * 1024

type Fetched = Effect.Effect<Uint8Array, Revocation.FetchError>

const failed = (message: string, rest: { readonly status?: number; readonly cause?: unknown } = {}) =>
  Effect.fail(new Revocation.FetchError({ message, ...rest }))

/** Where an answer of 3xx leads, if it may be followed. */
const redirection = (request: Revocation.Request, response: Http.IncomingMessage): URL | undefined => {
  const { location } = response.headers
  const { statusCode = 0 } = response
  if (location === undefined || statusCode < 300 || statusCode > 399 || request.body !== undefined) return undefined
  if (!URL.canParse(location, request.url)) return undefined
  const to = new URL(location, request.url)
  return to.protocol === "http:" && to.host === request.url.host ? to : undefined
}

const read = (response: Http.IncomingMessage, maxSize: number, resume: (fetched: Fetched) => void) => {
  const tooLarge = () => {
    response.destroy()
    resume(failed(`it has more than ${maxSize} bytes`))
  }
  if (Number(response.headers["content-length"] ?? 0) > maxSize) return tooLarge()
  const chunks: Array<Buffer> = []
  let size = 0
  response.on("data", (chunk: Buffer) => {
    size += chunk.length
    if (size > maxSize) return tooLarge()
    chunks.push(chunk)
  })
  response.once("end", () => resume(Effect.succeed(Buffer.concat(chunks, size))))
}

const fetchOnce = (request: Revocation.Request, redirects: number): Fetched =>
  Effect.callback<Fetched, never>((resume) => {
    const { accept, body, maxSize, url } = request
    const sent = Http.request(url, {
      agent: false,
      method: body === undefined ? "GET" : "POST",
      maxHeaderSize: maxHead,
      headers: {
        accept,
        ...(body !== undefined && { "content-type": body.type, "content-length": body.bytes.length })
      }
    })
    const done = (fetched: Fetched) => {
      sent.destroy()
      resume(Effect.succeed(fetched))
    }
    // it stays: an end by us is an error here too, and only what comes first counts
    sent.on("error", (cause: NodeJS.ErrnoException) =>
      done(failed(`it cannot be fetched (${cause.code ?? cause.message})`, { cause }))
    )
    sent.once("response", (response) => {
      response.on("error", () => {})
      response.once("close", () => done(failed("the connection ended in the midst of the answer")))
      const { statusCode: status = 0 } = response
      if (status === 200) return read(response, maxSize, done)
      const to = redirection(request, response)
      if (to !== undefined && redirects > 0) return done(fetchOnce({ ...request, url: to }, redirects - 1))
      const leads = status >= 300 && status <= 399 ? ", which is not followed" : ""
      done(failed(`it answers with HTTP status ${status}${leads}`, { status }))
    })
    sent.end(body?.bytes)
    return Effect.sync(() => void sent.destroy())
  }).pipe(Effect.flatten)

/**
 * Fetches over HTTP.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fetch: Revocation.Fetch = (request) => fetchOnce(request, maxRedirects)

/**
 * Checks revocation, with lists and answers fetched over HTTP. Fails if one of `crls` cannot be used.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Revocation.Options): Effect.Effect<Revocation.Revocation["Service"], RevocationError> =>
  Revocation.make(options, fetch)

/**
 * {@link make} as a layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Revocation.Options): Layer.Layer<Revocation.Revocation, RevocationError> =>
  Layer.effect(Revocation.Revocation)(make(options))
