/**
 * Every option of websockify's, and what becomes of it here. The command line is translated by this table, the page
 * `docs/websockify.md` is made of it, and the tests try each of its rows.
 */

/** What was typed of websockify's options, the last where one came twice. */
export type Typed = ReadonlyMap<string, string>

/** What becomes of an option: arguments of `proxy`, one of its two addresses, something to tell, or that it cannot be. */
export interface Carried {
  readonly flags?: ReadonlyArray<string>
  readonly listen?: string
  readonly target?: string
  readonly note?: string
  readonly refused?: string
}

/** One option of websockify's. */
export interface Row {
  readonly option: string
  readonly short?: string
  /** What its value is called, if it has one. */
  readonly value?: string
  /** What it becomes, for the page. */
  readonly ours: string
  /** What is different, and why, for the page. Default: nothing. */
  readonly difference?: string
  readonly carry: (value: string, typed: Typed) => Carried
}

const nothing: Carried = {}

/** One argument, so that no value is taken for a flag, nor an address for a value. */
const flag = (name: string, value: string): Carried => ({ flags: [`--${name}=${value}`] })

/** The same flag here. */
const same = (option: string, value?: string, difference?: string): Row => ({
  option,
  ...(value === undefined ? {} : { value }),
  ours: `\`--${option}\``,
  ...(difference === undefined ? {} : { difference }),
  carry: (typed) => flag(option, value === undefined ? "true" : typed)
})

/** An option that is nothing without one of some others. */
const needing = (others: ReadonlyArray<string>, row: Row): Row => ({
  ...row,
  carry: (value, typed) =>
    others.some((other) => typed.has(other))
      ? row.carry(value, typed)
      : { refused: `--${row.option} needs ${others.map((other) => `--${other}`).join(" or ")}` }
})

/** Whole seconds, where 0 says that there is no limit. */
const seconds =
  (option: string, name: string, none: Carried = nothing) =>
  (value: string): Carried => {
    if (!/^\d{1,9}$/.test(value)) {
      return { refused: `--${option} expects a number of seconds; got ${JSON.stringify(value)}` }
    }
    return Number(value) === 0 ? none : flag(name, value)
  }

const refuse = (line: string) => (): Carried => ({ refused: line })

const daemon =
  "--daemon is not there: a service manager, such as systemd, keeps it in the background, and gives it a user and a log; in a shell, an & at the end does"
/** Why programs are not wrapped. */
export const wrapping =
  "programs are not started, nor their ports taken over: start yours beside this, and give its address as the target"
const password =
  "a password on the command line is there for all users of this machine to read: put it into an environment variable, and name that with --cert-password-env"
const syslog =
  "syslog is not spoken: the log is on stderr, which systemd's journal keeps, or `2> >(logger -t effect-websocket)` hands on"

/** Every option of websockify's. */
export const rows: ReadonlyArray<Row> = [
  {
    option: "verbose",
    short: "v",
    ours: "`--log-level debug`",
    carry: () => flag("log-level", "debug")
  },
  {
    option: "traffic",
    ours: "–",
    difference: "Accepted and told: there is no print for each frame. `--log-level debug` tells each connection.",
    carry: () => ({ note: "--traffic prints nothing here; -v tells each connection" })
  },
  same(
    "record",
    "FILE",
    "`FILE.1` and so on, as there. The files are their user's alone, never written over, and end at `--record-limit` (64 MiB)."
  ),
  {
    option: "daemon",
    short: "D",
    ours: "–",
    difference: "Refused in one line: a service manager does this, and better.",
    carry: refuse(daemon)
  },
  same("run-once", undefined, "Files of `--web` are served to others meanwhile; a second WebSocket gets 503."),
  {
    option: "timeout",
    value: "SECONDS",
    ours: "`--run-for`",
    difference: "The same: it listens for so long, and ends when those have ended that are connected then.",
    carry: seconds("timeout", "run-for")
  },
  {
    option: "idle-timeout",
    value: "SECONDS",
    ours: "`--run-until-idle`",
    difference: "The same. Behind `proxy`, `--idle-timeout` is another thing: it closes a connection without data.",
    carry: seconds("idle-timeout", "run-until-idle")
  },
  {
    option: "cert",
    value: "FILE",
    ours: "`--cert --also-plain`",
    difference:
      "wss and ws on one port, as there. `self.pem` of the current folder is not taken by itself: which key is used is not to depend on where one stands. PFX is taken, too.",
    carry: (value, typed) => ({
      flags: [`--cert=${value}`, ...(typed.has("ssl-only") || typed.has("verify-client") ? [] : ["--also-plain=true"])]
    })
  },
  same("key", "FILE"),
  {
    option: "key-password",
    value: "PASSWORD",
    ours: "`--cert-password-env NAME`",
    difference: "Refused in one line, since everybody on the machine could read it: the environment has it.",
    carry: refuse(`--key-password: ${password}`)
  },
  {
    option: "password",
    value: "PASSWORD",
    ours: "`--cert-password-env NAME`",
    difference: "Of the editions that have it: as `--key-password`.",
    carry: refuse(`--password: ${password}`)
  },
  {
    option: "ssl-only",
    ours: "`--cert` without `--also-plain`",
    carry: (_, typed) =>
      typed.has("cert")
        ? nothing
        : { refused: "--ssl-only needs --cert: which certificate is spoken with (no self.pem is taken by itself)" }
  },
  {
    option: "verify-client",
    ours: "`--client-ca`, or `--client-ca-system` without `--cafile`",
    difference: "No ws is spoken beside it, which there lets in anybody without a certificate.",
    carry: (_, typed) =>
      typed.has("cert")
        ? {
            ...(typed.has("cafile") ? {} : { flags: ["--client-ca-system=true"] }),
            ...(typed.has("ssl-only")
              ? {}
              : { note: "--verify-client: wss alone is spoken, since ws would let in clients without a certificate" })
          }
        : { refused: "--verify-client needs --cert: certificates of clients are shown in TLS" }
  },
  {
    option: "cafile",
    value: "FILE",
    ours: "`--client-ca`",
    difference: "Needs `--verify-client`, without which it does nothing there.",
    carry: (value, typed) =>
      typed.has("verify-client")
        ? flag("client-ca", value)
        : { refused: "--cafile needs --verify-client: without it no client is asked for a certificate" }
  },
  {
    option: "ssl-version",
    value: "VERSION",
    ours: "`--tls-min`",
    difference: "The default is 1.2, whatever the system's is.",
    carry: (value) => {
      const version = /^tlsv1_([123])$/.exec(value)?.[1]
      if (value === "default") return nothing
      return version === undefined
        ? {
            refused: `--ssl-version expects default, tlsv1_1, tlsv1_2 or tlsv1_3; got ${JSON.stringify(value)}`
          }
        : flag("tls-min", `1.${version}`)
    }
  },
  {
    option: "ssl-ciphers",
    value: "LIST",
    ours: "`--ciphers`",
    carry: (value) => flag("ciphers", value)
  },
  {
    option: "ssl-target",
    ours: "`--target-tls`",
    difference:
      "The certificate is verified for the target's name, as there; `--target-ca` and `--target-name` are new.",
    carry: () => flag("target-tls", "true")
  },
  {
    option: "unix-listen",
    value: "PATH",
    ours: "`unix:PATH` in place of `LISTEN`",
    difference: "What is at the path is replaced only if it is a socket that nobody listens on; there, whatever it is.",
    carry: (value) => ({ listen: `unix:${value}` })
  },
  same("unix-listen-mode", "MODE", "The mode holds from the first moment on, and not from a moment after it."),
  {
    option: "unix-target",
    value: "PATH",
    ours: "`unix:PATH` in place of `TARGET`",
    carry: (value) => ({ target: `unix:${value}` })
  },
  {
    option: "inetd",
    ours: "`fd:0` in place of `LISTEN`",
    difference: "The same; unix sockets and systemd's (`fd:3`) are taken, too.",
    carry: () => ({ listen: "fd:0" })
  },
  same(
    "web",
    "DIR",
    "Folders are not listed, dotfiles and links that lead out are not served. Ranges, ETags and compression are new."
  ),
  {
    option: "file-only",
    ours: "always",
    difference: "Accepted: folders are never listed.",
    carry: () => nothing
  },
  {
    option: "no-parent",
    ours: "always",
    difference: "Of the editions that have it; accepted: nothing outside of the folder is served.",
    carry: () => nothing
  },
  {
    option: "wrap-mode",
    value: "MODE",
    ours: "–",
    difference: "Refused in one line, as is `-- COMMAND`: it takes a library that is loaded into the program.",
    carry: refuse(`--wrap-mode: ${wrapping}`)
  },
  {
    ...same("prefer-ipv6", undefined, "A name's IPv6 address is listened on; with a port alone it is `[::1]`."),
    short: "6"
  },
  {
    option: "libserver",
    ours: "always",
    difference: "Accepted: there is one engine. There it silently lets in everybody, whatever plugin is given.",
    carry: () => nothing
  },
  same("target-config", "FILE", "The same as `--token-plugin TokenFile --token-source FILE`, as there."),
  same(
    "token-plugin",
    "NAME",
    "websockify's names, and ours. No Python is loaded: other classes are refused in one line that has the names."
  ),
  needing(
    ["token-plugin"],
    same(
      "token-source",
      "SOURCE",
      "For `JWTTokenApi` a public key in PEM, a JWK or the address of a JWK set; a shared secret is a JWK of the kind `oct`, and encrypted tokens are not taken."
    )
  ),
  needing(
    ["token-plugin", "target-config"],
    same("host-token", undefined, "The token is the name, or its first label.")
  ),
  same(
    "auth-plugin",
    "NAME",
    "websockify's three. Other classes are refused in one line. The origins of ExpectOrigin are in place of the page's own."
  ),
  same("auth-source", "SOURCE", "A password in it is warned about: `--htpasswd FILE` keeps it off the command line."),
  same("web-auth", undefined, "It asks for whatever a WebSocket is asked for."),
  {
    option: "heartbeat",
    value: "SECONDS",
    ours: "`--ping-interval`",
    difference:
      "A ping is sent after so much silence, and who does not answer (`--pong-timeout`) is given up. Without it: 30 seconds. 0 is none.",
    carry: seconds("heartbeat", "ping-interval", flag("ping-interval", "infinity"))
  },
  same("log-file", "FILE", "It is made for its user alone, and may be rotated at any time."),
  {
    option: "syslog",
    value: "SERVER",
    ours: "–",
    difference: "Refused in one line that says what to do: the log is on stderr.",
    carry: refuse(`--syslog: ${syslog}`)
  },
  {
    option: "legacy-syslog",
    ours: "–",
    difference: "As `--syslog`.",
    carry: refuse(`--legacy-syslog: ${syslog}`)
  }
]

/** The table of the page, in Markdown. */
export const table = (): string => {
  const cell = (text: string) => text.replaceAll("|", "\\|")
  const theirs = ({ option, short, value }: Row) =>
    `\`${short === undefined ? "" : `-${short}, `}--${option}${value === undefined ? "" : ` ${value}`}\``
  return [
    "| websockify | here | what is different, and why |",
    "| --- | --- | --- |",
    ...rows.map((row) => `| ${theirs(row)} | ${cell(row.ours)} | ${cell(row.difference ?? "")} |`)
  ].join("\n")
}
