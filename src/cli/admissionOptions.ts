/**
 * Who may come in, as the flags of `admission.ts` say.
 *
 * All of them have to pass. Passwords and tokens count as one of these, since a request has one of them: `--htpasswd` and
 * `--jwt-key` together let in whoever has either. With `--satisfy any` a certificate is one more of those.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Bcrypt from "../node/internal/bcrypt.ts"
import * as NodeBearerTokens from "../node/NodeBearerTokens.ts"
import * as NodeHtpasswd from "../node/NodeHtpasswd.ts"
import * as NodeJwtKeys from "../node/NodeJwtKeys.ts"
import type * as NodeWebSocketServer from "../node/NodeWebSocketServer.ts"
import * as AccessList from "../server/AccessList.ts"
import { isToken } from "../protocol/internal/token.ts"
import * as Origin from "../protocol/Origin.ts"
import * as AccessPolicy from "../server/AccessPolicy.ts"
import type { TokenPlace } from "../server/Credentials.ts"
import * as Htpasswd from "../server/Htpasswd.ts"
import * as Jwt from "../server/Jwt.ts"
import * as JwtKeys from "../server/JwtKeys.ts"
import type { UsageError } from "./Address.ts"
import type { Flags } from "./admission.ts"
import * as HangUp from "./hangUp.ts"
import { usage } from "./typed.ts"

/** Reports an error of a file or a key after the flag that names it. */
const toldBy = (flag: string) => (error: { readonly message: string }) => usage(`--${flag}: ${error.message}`)

const list = (
  flag: string,
  texts: ReadonlyArray<string>
): Effect.Effect<AccessList.AccessList | undefined, UsageError> => {
  if (texts.length === 0) return Effect.succeed(undefined)
  const parsed = AccessList.parse(texts)
  if (Result.isFailure(parsed)) return Effect.fail(usage(`--${flag}: ${parsed.failure.message}`))
  return parsed.success.entries.length === 0
    ? Effect.fail(
        usage(`--${flag} expects an address, network or name; there is none in ${JSON.stringify(texts.join())}`)
      )
    : Effect.succeed(parsed.success)
}

const clientsOf = Effect.fnUntraced(function* (
  flags: Flags
): Effect.fn.Return<AccessList.Policy | undefined, UsageError> {
  const allowed = yield* list("allow-client", flags.allowClient)
  const blocked = yield* list("deny-client", flags.denyClient)
  return allowed === undefined && blocked === undefined ? undefined : { allowed, blocked }
})

const sourceOf = (text: string): Effect.Effect<TokenPlace, UsageError> => {
  if (text === "header") return Effect.succeed(text)
  const query = /^query:(.+)$/.exec(text)?.[1]
  if (query !== undefined) return Effect.succeed({ query })
  const subprotocol = /^subprotocol:(.+)$/.exec(text)?.[1]
  return subprotocol !== undefined && isToken(subprotocol)
    ? Effect.succeed({ subprotocol })
    : Effect.fail(
        usage(
          `--bearer-from expects header, query:NAME or subprotocol:PREFIX, such as subprotocol:bearer.; got ${JSON.stringify(text)}`
        )
      )
}

/** The keys of signed tokens, of which one place may be named. */
const keysOf = Effect.fnUntraced(function* (
  flags: Flags
): Effect.fn.Return<JwtKeys.Keys | undefined, UsageError, Scope.Scope> {
  const { jwtJwks, jwtKey, jwtSecret } = flags
  if ([jwtJwks, jwtKey, jwtSecret].filter(Option.isSome).length > 1) {
    return yield* usage("--jwt-key, --jwt-secret and --jwt-jwks are three places for the keys; name one of them")
  }
  if (Option.isSome(jwtKey)) {
    return yield* Effect.mapError(NodeJwtKeys.make({ file: jwtKey.value }), toldBy("jwt-key"))
  }
  if (Option.isSome(jwtSecret)) {
    return yield* Effect.mapError(NodeJwtKeys.make({ file: jwtSecret.value, kind: "secret" }), toldBy("jwt-secret"))
  }
  if (Option.isSome(jwtJwks)) return yield* Effect.mapError(JwtKeys.fromUrl(jwtJwks.value), toldBy("jwt-jwks"))
  const stray = (["jwtIssuer", "jwtAudience"] as const).find((name) => flags[name].length > 0)
  if (stray === undefined) return undefined
  return yield* usage(
    `--${stray === "jwtIssuer" ? "jwt-issuer" : "jwt-audience"} is for signed tokens, and needs --jwt-key, --jwt-secret or --jwt-jwks`
  )
})

const credentials = Effect.fnUntraced(function* (
  flags: Flags
): Effect.fn.Return<Array<AccessPolicy.Policy>, UsageError, Scope.Scope> {
  const { bearerFile, htpasswd, jwtAudience, jwtIssuer, tokenFrom } = flags
  const realm = Option.getOrUndefined(flags.realm)
  const from = tokenFrom.length === 0 ? undefined : yield* Effect.forEach(tokenFrom, sourceOf)
  const policies: Array<AccessPolicy.Policy> = []
  const keys = yield* keysOf(flags)
  if (keys !== undefined) {
    const jwt = yield* Jwt.make({
      keys,
      issuer: jwtIssuer.length === 0 ? undefined : jwtIssuer,
      audience: jwtAudience.length === 0 ? undefined : jwtAudience
    })
    policies.push(AccessPolicy.jwt({ verify: Jwt.facts(jwt), realm, from }))
  }
  if (Option.isSome(bearerFile)) {
    const tokens = yield* Effect.mapError(NodeBearerTokens.make({ file: bearerFile.value }), toldBy("bearer-file"))
    yield* HangUp.reads(tokens.reload)
    policies.push(AccessPolicy.bearer({ verify: tokens.verify, realm, from }))
  }
  if (from !== undefined && policies.length === 0) {
    return yield* usage("--bearer-from is for tokens, and needs --bearer-file or one of the --jwt flags")
  }
  if (Option.isSome(htpasswd)) {
    const users = yield* Effect.mapError(NodeHtpasswd.make({ file: htpasswd.value }), toldBy("htpasswd"))
    yield* HangUp.reads(users.reload)
    policies.push(AccessPolicy.basic({ verify: users.verify, realm }))
  }
  return policies
})

/** A plugin of websockify's: a policy, and what kind of thing it is. */
type Plugin = (
  source: string,
  flags: Flags
) => Effect.Effect<
  { readonly kind: "credentials" | "certificate" | "page"; readonly policy: AccessPolicy.Policy },
  UsageError,
  Scope.Scope
>

const plugins: Readonly<Record<string, Plugin>> = {
  BasicHTTPAuth: Effect.fnUntraced(function* (source, flags) {
    const colon = source.indexOf(":")
    if (colon < 1) return yield* usage("--auth-source expects user:password for BasicHTTPAuth")
    yield* Effect.logWarning(
      "--auth-source: a password on the command line can be read by every user of this machine; --htpasswd takes it from a file"
    )
    const users = yield* Htpasswd.fromPlain(source.slice(0, colon), Redacted.make(source.slice(colon + 1)))
    const { verify } = yield* Htpasswd.make(() => users, { compare: yield* Bcrypt.make })
    const policy = AccessPolicy.basic({ verify, realm: Option.getOrUndefined(flags.realm) })
    return { kind: "credentials", policy } as const
  }),
  // there a request without an origin is refused, too
  ExpectOrigin: Effect.fnUntraced(function* (source) {
    const pages = words(source)
    const stray = pages.find((page) => !Origin.isOrigin(page))
    if (stray !== undefined) {
      return yield* usage(
        `--auth-source expects origins, such as https://app.example, for ExpectOrigin; got ${JSON.stringify(stray)}`
      )
    }
    return { kind: "page", policy: AccessPolicy.origin(pages, { required: true }) } as const
  }),
  ClientCertCNAuth: (source) => {
    const names = new Set(words(source))
    // to the letter, as there: a * is no pattern
    const policy = AccessPolicy.clientCertificate({
      accept: ({ subjectAttributes }) => subjectAttributes.some(({ type, value }) => type === "CN" && names.has(value))
    })
    return Effect.succeed({ kind: "certificate", policy })
  }
}

const words = (text: string): ReadonlyArray<string> => text.split(/\s+/).filter((word) => word !== "")

const pluginOf = Effect.fnUntraced(function* (flags: Flags) {
  const { authPlugin, authSource } = flags
  if (Option.isNone(authPlugin)) {
    return Option.isSome(authSource) ? yield* usage("--auth-source is for --auth-plugin, which is missing") : undefined
  }
  // websockify takes the path of a Python class, too, of which only its own can be known here
  const name = authPlugin.value.replace(/^(?:websockify\.)?auth_plugins\./, "")
  const plugin = Object.hasOwn(plugins, name) ? plugins[name] : undefined
  if (plugin === undefined) {
    return yield* usage(
      `--auth-plugin expects ${Object.keys(plugins).join(", ")}; got ${JSON.stringify(authPlugin.value)}`
    )
  }
  if (Option.isNone(authSource)) return yield* usage(`--auth-plugin ${name} needs --auth-source`)
  return yield* plugin(authSource.value, flags)
})

const certificateOf = (subjects: ReadonlyArray<string>) =>
  Effect.try({
    try: () => AccessPolicy.clientCertificate({ subjects }),
    catch: (wrong) => usage(String(wrong).replace(/^.*: expected/, "--client-cert-subject expects"))
  })

/** The server's options: who may come in, and TLS as it has to be for that. */
export const serverOptions = Effect.fnUntraced(function* (
  flags: Flags & { readonly origin: ReadonlyArray<string> },
  { host, origin, tls }: Pick<NodeWebSocketServer.Options, "host" | "origin" | "tls">
): Effect.fn.Return<
  Pick<NodeWebSocketServer.Options, "clients" | "access" | "origin" | "tls">,
  UsageError,
  Scope.Scope
> {
  const clients = yield* clientsOf(flags)
  const satisfy = Option.getOrElse(flags.satisfy, () => "all")
  if (satisfy !== "all" && satisfy !== "any") {
    return yield* usage(`--satisfy expects all or any; got ${JSON.stringify(satisfy)}`)
  }
  const plugin = yield* pluginOf(flags)
  const secrets = yield* credentials(flags)
  if (plugin?.kind === "credentials") secrets.push(plugin.policy)
  if (Option.isSome(flags.realm) && secrets.length === 0) {
    return yield* usage(
      "--auth-realm is told to who is asked for a password or token, and needs what asks, such as --htpasswd"
    )
  }
  const subjects = flags.clientCertSubject
  const certificates = [
    ...(subjects.length === 0 ? [] : [yield* certificateOf(subjects)]),
    ...(plugin?.kind === "certificate" ? [plugin.policy] : [])
  ]
  const asked = tls?.clientCertificates
  if (certificates.length > 0 && asked === undefined) {
    const flag = subjects.length > 0 ? "--client-cert-subject" : "--auth-plugin ClientCertCNAuth"
    return yield* usage(`${flag} needs --cert and --client-ca: whose certificates are believed`)
  }
  if (satisfy === "any" && (secrets.length === 0 || asked === undefined)) {
    return yield* usage("--satisfy any is for a certificate (--client-ca) or a password or token, and needs both")
  }
  if (secrets.length > 0 && tls === undefined && !/^(?:127\.|localhost$|::1$)/.test(host ?? "127.0.0.1")) {
    yield* Effect.logWarning(
      "Passwords and tokens travel as they are without TLS: use --cert, or have something in front that speaks it"
    )
  }

  const page = plugin?.kind === "page" ? [plugin.policy] : []
  // a certificate of any subject is one, too, where none is named
  const certificate = certificates.length > 0 ? AccessPolicy.allOf(...certificates) : AccessPolicy.clientCertificate()
  const needed =
    satisfy === "any"
      ? [...page, AccessPolicy.anyOf(certificate, ...secrets)]
      : [...page, ...certificates, ...(secrets.length === 0 ? [] : [AccessPolicy.anyOf(...secrets)])]
  return {
    clients,
    // the plugin's pages are in place of those that may connect by default
    origin: page.length > 0 && flags.origin.length === 0 ? "any" : origin,
    access: needed.length === 0 ? undefined : AccessPolicy.allOf(...needed),
    tls:
      tls === undefined || asked === undefined || satisfy === "all"
        ? tls
        : { ...tls, clientCertificates: { ...asked, required: false } }
  }
})
