/**
 * Who may come in, as values that compose: by address, page, certificate, token or password, all of several or any of them. A
 * policy looks at the head of a request, whether it wants to upgrade or not, and gives what was found out about the client
 * (`Identity`) or why it is not admitted (`Denial`).
 *
 * Cheap policies are always asked before expensive ones, whatever order they are written in: address, origin, certificate, opaque
 * token, JWT, password, names of addresses, the application's own. So a client that one refuses costs nothing of the later ones.
 *
 * The client is told a status and nothing else: 401 with a challenge where credentials are missing or wrong (RFC 9110 section
 * 15.5.2), 503 where they could not be checked, 429 where too many passwords were wrong, 403 otherwise; the body is always the
 * same. The reason, the address and the policy go to the log, and the kind of reason to `Telemetry.denials`.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Certificate from "../tls/Certificate.ts"
import type { Request } from "../protocol/OpeningHandshake.ts"
import * as Origin from "../protocol/Origin.ts"
import { wrong } from "../protocol/internal/option.ts"
import * as DistinguishedName from "../protocol/internal/distinguishedName.ts"
import * as AccessList from "./AccessList.ts"
import type { ClientNames } from "./ClientNames.ts"
import * as Credentials from "./Credentials.ts"
import { Denial, type Kind } from "./Denial.ts"
import * as Identity from "./Identity.ts"
import type { Peer } from "./UpgradeListener.ts"

/**
 * What a policy sees of a client. An `OpenRequest` and an `Upgrade` are one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Client {
  readonly request: Request
  readonly remoteAddress: string | undefined
  readonly peer?: Peer | undefined
  /** Adds to what the access log says of its request. */
  annotate?(key: string, value: string): void
}

/**
 * See the head of this module.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy<out R = never> {
  /** As the log names it. */
  readonly name: string
  /** Its place in the order: the smaller, the earlier. */
  readonly cost: number
  /** The prefixes of subprotocols that are tokens, and never agreed on. */
  readonly tokenProtocols: ReadonlyArray<string>
  readonly judge: (client: Client) => Effect.Effect<Identity.Identity, Denial, R>
  /** What an `allOf` is made of. */
  readonly parts?: ReadonlyArray<Policy<R>> | undefined
}

/**
 * What credentials say about their owner. The subject is the user of `basic` if it is left out.
 *
 * @category models
 * @since 0.1.0
 */
export interface Facts {
  readonly subject?: string | undefined
  readonly claims?: Readonly<Record<string, unknown>> | undefined
}

/**
 * Why credentials are not good. The reason is for the log: no password and no token may be in it.
 *
 * @category errors
 * @since 0.1.0
 */
export interface Fault {
  readonly kind: Kind
  readonly reason: string
  /** When to come back, in whole seconds, if it is for a while that they are not. */
  readonly retryAfter?: number | undefined
}

const costs = { address: 0, origin: 1, clientCertificate: 2, bearer: 3, jwt: 4, basic: 5, names: 6, custom: 7 }

const nobodyKnown = Effect.succeed(Identity.anonymous)

const deny = (kind: Kind, policy: string, reason: string, challenges: ReadonlyArray<string> = []) =>
  Effect.fail(new Denial({ kind, policy, reason, challenges }))

/**
 * Admits everyone, as `Identity.anonymous`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const everyone: Policy = { name: "everyone", cost: 0, tokenProtocols: [], judge: () => nobodyKnown }

const denials: Record<AccessList.Denial, string> = {
  blocked: "the address is on the list of those that are kept out",
  notAllowed: "the address is not on the list of those that are let in"
}

/**
 * By the client's address. Host names in the lists match nobody here: see {@link addressOrName}. A listener can decide this
 * earlier, before it reads a byte: `NodeUpgradeListener.Options.clients`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const address = (lists: AccessList.Policy): Policy => ({
  name: "address",
  cost: costs.address,
  tokenProtocols: [],
  judge: ({ remoteAddress }) => {
    const denial = AccessList.decide(lists, remoteAddress)
    return denial === undefined ? nobodyKnown : deny("address", "address", denials[denial])
  }
})

/**
 * By the client's address and names, which are looked up where addresses do not decide.
 *
 * @category constructors
 * @since 0.1.0
 */
export const addressOrName = (lists: AccessList.Policy): Policy<ClientNames> => ({
  name: "address",
  cost: costs.names,
  tokenProtocols: [],
  judge: ({ remoteAddress }) =>
    Effect.flatMap(AccessList.decideEffect(lists, remoteAddress), (denial) =>
      denial === undefined ? nobodyKnown : deny("address", "address", denials[denial])
    )
})

/**
 * By the page that connects (RFC 6455 section 10.2). A client that names no page is no browser and comes in, unless a page is
 * `required`. Throws for a list with what is no origin.
 *
 * @category constructors
 * @since 0.1.0
 */
export const origin = (pages: Origin.Policy, options: { readonly required?: boolean | undefined } = {}): Policy => {
  const stray = typeof pages === "string" ? undefined : pages.find((page) => !Origin.isOrigin(page))
  if (stray !== undefined)
    throw wrong("origin", 'origins, such as "https://app.example", or "any" for all pages', stray)
  return {
    name: "origin",
    cost: costs.origin,
    tokenProtocols: [],
    judge: ({ request }) => {
      const came = request.headers["origin"]
      if (came === undefined && options.required === true) return deny("origin", "origin", "no Origin came")
      return Origin.isAllowed(request.headers, pages)
        ? nobodyKnown
        : deny("origin", "origin", `pages of ${JSON.stringify(came?.slice(0, 200))} may not connect`)
    }
  }
}

/**
 * The realm of a challenge (RFC 9110 section 11.5): printable ASCII without quotes and backslashes, others are left out.
 */
const realmOf = (realm = "effect-websocket"): string => `realm="${realm.replace(/[^ !#-[\]-~]/g, "")}"`

/** What is wrong with what came, and the same challenge whatever it is. */
const judgeCredentials = <A, R>(
  method: string,
  challenge: string,
  given: Result.Result<A, Credentials.Fault>,
  verify: (given: A) => Effect.Effect<Identity.Proof, Fault, R>
): Effect.Effect<Identity.Identity, Denial, R> => {
  if (Result.isSuccess(given)) {
    return Effect.matchEffect(verify(given.success), {
      onSuccess: (proof) => Effect.succeed(Identity.make(proof)),
      onFailure: ({ kind, reason, retryAfter }) =>
        Effect.fail(new Denial({ kind, policy: method, reason, challenges: [challenge], retryAfter }))
    })
  }
  return given.failure === "missing"
    ? deny("credentialsMissing", method, "no credentials came", [challenge])
    : deny("credentialsMalformed", method, "the credentials that came cannot be read", [challenge])
}

/**
 * By user and password (RFC 7617). `verify` has to take as long for a user that it does not know as for one that it does:
 * `Htpasswd` does.
 *
 * @category constructors
 * @since 0.1.0
 */
export const basic = <R = never>(options: {
  /** What the password is for, as a browser shows it. Default: `effect-websocket`. */
  readonly realm?: string | undefined
  readonly verify: (user: string, password: Redacted.Redacted<string>, client: Client) => Effect.Effect<Facts, Fault, R>
}): Policy<R> => {
  const challenge = `Basic ${realmOf(options.realm)}, charset="UTF-8"`
  return {
    name: "basic",
    cost: costs.basic,
    tokenProtocols: [],
    judge: (client) =>
      judgeCredentials("basic", challenge, Credentials.basic(client.request), ({ password, user }) =>
        Effect.map(options.verify(user, password, client), ({ claims = {}, subject = user }) => ({
          method: "basic",
          subject,
          claims
        }))
      )
  }
}

/**
 * What `bearer` and `jwt` have in common.
 *
 * @category models
 * @since 0.1.0
 */
export interface BearerOptions<R = never> {
  /** Default: `effect-websocket`. */
  readonly realm?: string | undefined
  /** Where the token may be; more than one token is refused. Default: the header alone. */
  readonly from?: ReadonlyArray<Credentials.TokenPlace> | undefined
  readonly verify: (token: Redacted.Redacted<string>) => Effect.Effect<Facts, Fault, R>
}

const tokenPolicy = <R>(method: "bearer" | "jwt", options: BearerOptions<R>): Policy<R> => {
  const sources = options.from ?? ["header"]
  // RFC 6750 section 3 would tell what is wrong with the token; here nobody is told
  const challenge = `Bearer ${realmOf(options.realm)}`
  return {
    name: method,
    cost: costs[method],
    tokenProtocols: sources.flatMap((source) =>
      typeof source === "object" && "subprotocol" in source ? [source.subprotocol] : []
    ),
    judge: ({ request }) =>
      judgeCredentials(method, challenge, Credentials.bearer(request, sources), (token) =>
        Effect.map(options.verify(token), ({ claims = {}, subject }) => ({ method, subject, claims }))
      )
  }
}

/**
 * By a token that only its list knows (RFC 6750), such as those of `BearerTokens`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const bearer = <R = never>(options: BearerOptions<R>): Policy<R> => tokenPolicy("bearer", options)

/**
 * By a signed token (RFC 7519), which `Jwt.make` verifies. Its claims are those of the identity.
 *
 * @category constructors
 * @since 0.1.0
 */
export const jwt = <R = never>(options: BearerOptions<R>): Policy<R> => tokenPolicy("jwt", options)

/**
 * By the certificate that TLS has verified. One that is not trusted is refused whoever it names.
 *
 * @category constructors
 * @since 0.1.0
 */
export const clientCertificate = (
  options: {
    /**
     * One of these must fit. A text without `=` is the common name; others are parts of the subject, all of which it must have:
     * `O="Example, Inc.", OU=Ops`, written as the log does or as OpenSSL does. A `*` stands for any text: `CN=*.example.com`.
     * Case counts. Default: any trusted certificate.
     */
    readonly subjects?: ReadonlyArray<string> | undefined
    /** Decides about a trusted certificate on top of that. */
    readonly accept?: ((certificate: Certificate.Certificate) => boolean) | undefined
  } = {}
): Policy => {
  const method = "clientCertificate"
  const subjects = options.subjects?.map(subjectPattern)
  return {
    name: method,
    cost: costs.clientCertificate,
    tokenProtocols: [],
    judge: ({ peer }) => {
      const certificate = peer?.tls?.clientCertificate
      if (certificate === undefined) return deny("certificateMissing", method, "no certificate came")
      const status = peer?.tls?.clientCertificateStatus
      if (status !== "OK") return deny("certificateRefused", method, `the certificate is not trusted: ${status}`)
      const { subjectAttributes } = certificate
      if (
        (subjects !== undefined && !subjects.some((fits) => fits(subjectAttributes))) ||
        options.accept?.(certificate) === false
      ) {
        const subject = JSON.stringify(certificate.subject.slice(0, 200))
        return deny("certificateRefused", method, `a certificate of ${subject} is not let in`)
      }
      const { issuer, fingerprintSha256, subject } = certificate
      return Effect.succeed(
        Identity.make({
          method,
          subject: subjectAttributes.find(({ type }) => type === "CN")?.value,
          claims: { subject, issuer, fingerprintSha256 }
        })
      )
    }
  }
}

type Attributes = Certificate.Certificate["subjectAttributes"]

const subjectPattern = (text: string): ((attributes: Attributes) => boolean) => {
  const wanted = text.includes("=") ? DistinguishedName.parse(text) : [{ type: "CN", value: text.trim() }]
  if (wanted === undefined || text.trim() === "") {
    throw wrong("subjects", 'a common name, or parts of a subject such as O="Example, Inc.", OU=Ops', text)
  }
  const parts = wanted.map(({ type, value }) => {
    const escaped = value.split("*").map((piece) => piece.replace(/[.+?^${}()|[\]\\]/g, "\\$&"))
    return { type, value: new RegExp(`^${escaped.join(".*")}$`, "su") }
  })
  return (attributes) =>
    parts.every(({ type, value }) => attributes.some((one) => one.type === type && value.test(one.value)))
}

/**
 * By whatever an application wants. It is asked last, and fails with a {@link denied}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const custom = <R = never>(
  name: string,
  judge: (client: Client) => Effect.Effect<Identity.Identity, Denial, R>
): Policy<R> => ({ name, cost: costs.custom, tokenProtocols: [], judge })

/**
 * Why a policy of the application's own refuses: 403, or 401 with challenges. The reason is for the log.
 *
 * @category constructors
 * @since 0.1.0
 */
export const denied = (policy: string, reason: string, challenges: ReadonlyArray<string> = []): Denial =>
  new Denial({ kind: "custom", policy, reason, challenges })

const ordered = <R>(policies: ReadonlyArray<Policy<R>>) => policies.toSorted((a, b) => a.cost - b.cost)
const dearest = (policies: ReadonlyArray<Policy<unknown>>) => Math.max(0, ...policies.map(({ cost }) => cost))
const tokenProtocolsOf = (policies: ReadonlyArray<Policy<unknown>>) =>
  policies.flatMap(({ tokenProtocols }) => tokenProtocols)

/**
 * Admits a client that all of these admit. Cheap ones are asked before expensive ones, and the first that refuses decides. The
 * identity is what all of them found out.
 *
 * @category combining
 * @since 0.1.0
 */
export const allOf = <R = never>(...policies: ReadonlyArray<Policy<R>>): Policy<R> => {
  // those of an allOf inside have their places in the order of the whole
  const parts = ordered(policies.flatMap((policy) => policy.parts ?? [policy]))
  if (parts.length === 1) return parts[0]!
  return {
    name: `allOf(${parts.map(({ name }) => name).join(", ")})`,
    cost: dearest(parts),
    tokenProtocols: tokenProtocolsOf(parts),
    parts,
    judge: (client) =>
      Effect.reduce(
        parts,
        () => Identity.anonymous,
        (identity, { judge }) => Effect.map(judge(client), (more) => Identity.merge(identity, more))
      )
  }
}

/**
 * Admits a client that one of these admits. Cheap ones are asked before expensive ones; the first that admits it decides, and
 * gives the identity. If none does, the client gets the challenges of all, and the log has the reason of each. `anyOf()` admits
 * nobody.
 *
 * @category combining
 * @since 0.1.0
 */
export const anyOf = <R = never>(...policies: ReadonlyArray<Policy<R>>): Policy<R> => {
  const parts = ordered(policies)
  if (parts.length === 1) return parts[0]!
  const name = `anyOf(${parts.map(({ name }) => name).join(", ")})`
  return {
    name,
    cost: dearest(parts),
    tokenProtocols: tokenProtocolsOf(parts),
    judge: (client) => {
      const from = (index: number, before: ReadonlyArray<Denial>): Effect.Effect<Identity.Identity, Denial, R> =>
        index === parts.length
          ? Effect.fail(Denial.all(name, before))
          : Effect.catch(parts[index]!.judge(client), (denial) => from(index + 1, [...before, denial]))
      return from(0, [])
    }
  }
}

/**
 * A policy with the services that it needs.
 *
 * @category combining
 * @since 0.1.0
 */
export const provideContext = <R>(policy: Policy<R>, context: Context.Context<R>): Policy => ({
  name: policy.name,
  cost: policy.cost,
  tokenProtocols: policy.tokenProtocols,
  judge: (client) => Effect.provideContext(policy.judge(client), context),
  parts: policy.parts?.map((part) => provideContext(part, context))
})
