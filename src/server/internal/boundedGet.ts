/**
 * A GET whose answer is small and comes soon, or does not come. The address may have a secret in it: no message names it, no
 * redirect carries it elsewhere, and no span has it.
 */
import * as Effect from "effect/Effect"
import type * as Duration from "effect/Duration"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Stream from "effect/Stream"

export interface Options {
  readonly timeout: Duration.Input
  /** In bytes. */
  readonly maxSize: number
}

export interface Fault {
  /** A few words on what was wrong. */
  readonly message: string
  /** Why it could not be reached, as the system says it: for whoever has no secret in the address. */
  readonly cause?: string
}

export interface Answer {
  readonly status: number
  /** What came with 200; of other answers the body is not read. */
  readonly text: string
}

const read = Effect.fnUntraced(function* (
  { headers, stream }: HttpClientResponse.HttpClientResponse,
  maxSize: number
): Effect.fn.Return<string, Fault> {
  const tooLarge: Fault = { message: `it answers with more than ${maxSize} bytes` }
  if (Number(headers["content-length"] ?? 0) > maxSize) return yield* Effect.fail(tooLarge)
  const decoder = new TextDecoder()
  let size = 0
  let text = ""
  yield* Stream.runForEach(
    Stream.catch(stream, ({ reason }) =>
      reason._tag === "EmptyBodyError" ? Stream.empty : Stream.fail({ message: "its answer ended too soon" })
    ),
    (chunk) => {
      size += chunk.length
      if (size > maxSize) return Effect.fail(tooLarge)
      text += decoder.decode(chunk, { stream: true })
      return Effect.void
    }
  )
  return text + decoder.decode()
})

/** What `fetch` says of what it could not do is in the cause of its error: of several addresses that were tried, only a code. */
const unreachable = ({ reason }: HttpClientError.HttpClientError): Fault => {
  const failure = "cause" in reason && reason.cause instanceof Error ? reason.cause.cause : undefined
  const code = failure instanceof Error && "code" in failure ? String(failure.code) : undefined
  const cause = failure instanceof Error && failure.message !== "" ? failure.message : code
  return { message: "it cannot be reached", ...(cause !== undefined && { cause }) }
}

export const get = (
  client: HttpClient.HttpClient,
  url: URL,
  { maxSize, timeout }: Options
): Effect.Effect<Answer, Fault> =>
  HttpClient.withScope(client)
    .get(url, { acceptJson: true })
    .pipe(
      Effect.mapError(unreachable),
      Effect.flatMap((response) =>
        Effect.map(response.status === 200 ? read(response, maxSize) : Effect.succeed(""), (text) => ({
          status: response.status,
          text
        }))
      ),
      Effect.scoped,
      Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail({ message: "it does not answer in time" }) }),
      Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
      Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" })
    )

/** The same with the platform's `fetch`. */
export const fetch = (url: URL, options: Options): Effect.Effect<Answer, Fault> =>
  Effect.provide(
    HttpClient.HttpClient.use((client) => get(client, url, options)),
    FetchHttpClient.layer
  )
