/**
 * websockify's arguments as ours, without running anything; and the page that is made of the same table.
 */
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { readFileSync } from "node:fs"
import { translate } from "../../src/cli/websockify.ts"
import { rows, table } from "../../src/cli/websockifyOptions.ts"

const commands = ["proxy", "echo"]
const translated = (line: string) => translate(line.split(" "), commands)
const argv = (line: string): string => Result.getOrThrow(translated(line)).argv.join(" ")
const notes = (line: string): ReadonlyArray<string> => Result.getOrThrow(translated(line)).notes
const refusal = (line: string): string =>
  Result.match(translated(line), { onFailure: (message) => message, onSuccess: () => assert.fail(line) })

describe("arguments that are ours", () => {
  for (const line of [
    "proxy 6080 localhost:5900 --idle-timeout 30",
    "echo 8080",
    "--log-level debug proxy 6080 localhost:5900",
    "echo 0 --cert x.pem",
    "--help",
    "-h",
    "--version",
    "-v",
    "frobnicate",
    "--frobnicate",
    // who mistypes a command is to hear of it, and not of addresses
    "prox 6080 localhost:5900",
    "tunel 6379 ws://a:80 --web x"
  ]) {
    it(`stay as they are: ${line}`, () => {
      assert.strictEqual(argv(line), line)
      assert.deepStrictEqual(notes(line), [])
    })
  }

  it("none are none", () => {
    assert.deepStrictEqual(Result.getOrThrow(translate([], commands)), { argv: [], notes: [] })
  })
})

describe("arguments that are websockify's", () => {
  const cases: ReadonlyArray<readonly [line: string, ours: string]> = [
    ["0.0.0.0:6080 localhost:5900", "proxy 0.0.0.0:6080 localhost:5900"],
    ["[::]:6080 [::1]:5900", "proxy [::]:6080 [::1]:5900"],
    // that it is none, the command says
    [":6080 localhost:5900", "proxy :6080 localhost:5900"],
    ["-v 1:1 a:2", "proxy --log-level=debug 1:1 a:2"],
    ["1:1 a:2 -v6", "proxy --log-level=debug --prefer-ipv6=true 1:1 a:2"],
    ["--verbose 1:1 a:2", "proxy --log-level=debug 1:1 a:2"],
    ["1:1 --web /usr/share/novnc a:2", "proxy --web=/usr/share/novnc 1:1 a:2"],
    ["1:1 --web=/usr/share/novnc a:2", "proxy --web=/usr/share/novnc 1:1 a:2"],
    ["1:1 --web --odd a:2", "proxy --web=--odd 1:1 a:2"],
    ["1:1 --web= a:2", "proxy --web= 1:1 a:2"],
    ["1:1 --web a --web=b=c a:2", "proxy --web=b=c 1:1 a:2"],
    ["1:1 a:2 --web proxy", "proxy --web=proxy 1:1 a:2"],
    ["1:1 a:2 --heartbeat 30", "proxy --ping-interval=30 1:1 a:2"],
    ["1:1 a:2 --heartbeat 0 --timeout 0 --idle-timeout=00", "proxy --ping-interval=infinity 1:1 a:2"],
    ["1:1 a:2 --timeout 5 --idle-timeout 6 --run-once", "proxy --run-once=true --run-for=5 --run-until-idle=6 1:1 a:2"],
    ["1:1 a:2 --cert c", "proxy --cert=c --also-plain=true 1:1 a:2"],
    ["1:1 a:2 --ssl-only --cert c --key k", "proxy --cert=c --key=k 1:1 a:2"],
    ["1:1 a:2 --cert c --verify-client", "proxy --cert=c --client-ca-system=true 1:1 a:2"],
    ["1:1 a:2 --cert c --verify-client --cafile f", "proxy --cert=c --client-ca=f 1:1 a:2"],
    ["1:1 a:2 --cert c --ssl-only --ssl-version tlsv1_3", "proxy --cert=c --tls-min=1.3 1:1 a:2"],
    ["1:1 a:2 --ssl-version default", "proxy 1:1 a:2"],
    ["1:1 a:2 --ssl-ciphers HIGH:!aNULL", "proxy --ciphers=HIGH:!aNULL 1:1 a:2"],
    ["--unix-listen /run/a.sock a:2", "proxy unix:/run/a.sock a:2"],
    ["--unix-listen=/a --unix-listen-mode=750 --unix-target /b", "proxy --unix-listen-mode=750 unix:/a unix:/b"],
    ["1:1 --ssl-target a:2", "proxy --target-tls=true 1:1 a:2"],
    [
      "1:1 a:2 --auth-plugin BasicHTTPAuth --auth-source u:p",
      "proxy --auth-plugin=BasicHTTPAuth --auth-source=u:p 1:1 a:2"
    ],
    ["6080 unix:/run/b.sock", "proxy 6080 unix:/run/b.sock"],
    ["1:1 --token-plugin TokenFile --token-source f", "proxy --token-plugin=TokenFile --token-source=f 1:1"],
    ["1:1 --target-config f", "proxy --target-config=f 1:1"],
    ["1:1 --route /a=a:2", "proxy 1:1 --route /a=a:2"],
    ["1:1 --target-from-client --allow-target *:5432", "proxy 1:1 --target-from-client --allow-target *:5432"],
    ["--inetd a:2", "proxy fd:0 a:2"],
    ["1:1 --unix-target /run/b.sock", "proxy 1:1 unix:/run/b.sock"],
    ["1:1 a:2 --libserver --file-only --no-parent", "proxy 1:1 a:2"],
    // flags of ours among them, whatever their values look like
    ["1:1 a:2 --origin any --max-connections 5", "proxy 1:1 a:2 --origin any --max-connections 5"],
    ["--compress 1:1 a:2", "proxy --compress 1:1 a:2"]
  ]
  it.for(cases)("%s", ([line, ours]) => {
    assert.strictEqual(argv(line), ours)
  })

  it("are refused with a line that has the option and what to do", () => {
    const refused: ReadonlyArray<readonly [line: string, ...words: ReadonlyArray<string>]> = [
      ["1:1 a:2 -D", "--daemon", "service manager"],
      ["1:1 a:2 --daemon", "--daemon", "service manager"],
      ["1:1 -- Xvnc :1", "-- COMMAND", "target"],
      ["1:1 a:2 --wrap-mode respawn", "--wrap-mode", "target"],
      ["1:1 a:2 --syslog /dev/log", "--syslog", "logger"],
      ["1:1 a:2 --legacy-syslog", "--legacy-syslog", "logger"],
      ["1:1 a:2 --cert c --key-password hush", "--key-password", "--cert-password-env"],
      ["1:1 a:2 --password hush", "--password", "--cert-password-env"],
      ["1:1 a:2 --ssl-only", "--ssl-only", "--cert"],
      ["1:1 a:2 --verify-client", "--verify-client", "--cert"],
      ["1:1 a:2 --cert c --cafile f", "--cafile", "--verify-client"],
      ["1:1 a:2 --ssl-version sslv3", "--ssl-version", "tlsv1_2", "sslv3"],
      ["1:1 a:2 --timeout soon", "--timeout", "seconds", "soon"],
      ["1:1 a:2 --idle-timeout -5", "--idle-timeout", "seconds", "-5"],
      ["1:1 a:2 --heartbeat 1.5", "--heartbeat", "seconds", "1.5"],
      ["1:1 a:2 --web", "--web", "DIR"],
      ["0 --token-source x", "--token-source", "--token-plugin"],
      ["0 --host-token", "--host-token", "--token-plugin"],
      ["6080", "6080 alone", "target"],
      ["0.0.0.0:6080 --run-once", "0.0.0.0:6080 alone"],
      ["--unix-listen /run/a.sock", "unix:/run/a.sock alone"],
      ["--unix-target /run/b.sock", "unix:/run/b.sock alone"],
      ["--inetd", "fd:0 alone"]
    ]
    for (const [line, ...words] of refused) {
      const told = refusal(line)
      for (const word of words) assert.include(told, word)
      assert.notInclude(told, "hush")
      assert.notInclude(told, "\n")
    }
  })

  it("are noted where they are less than they were", () => {
    assert.match(notes("6080 a:2").join(), /0\.0\.0\.0:6080/)
    assert.match(notes("-6 6080 a:2").join(), /\[::\]:6080/)
    assert.match(notes("--max-connections 5 6080 a:2").join(), /0\.0\.0\.0:6080/)
    assert.match(notes("1:1 a:2 --traffic").join(), /--traffic/)
    assert.match(notes("1:1 a:2 --cert c --verify-client").join(), /--verify-client/)
    for (const line of [
      "1:1 a:2",
      "127.0.0.1:6080 a:2",
      "--unix-listen /a --unix-target /b",
      "1:1 a:2 --cert c --ssl-only"
    ]) {
      assert.deepStrictEqual(notes(line), [])
    }
  })
})

describe("docs/websockify.md", () => {
  const page = readFileSync(new URL("../../docs/websockify.md", import.meta.url), "utf8")
  /** The cells, whatever their padding is. */
  const cells = (text: string) =>
    text
      .split("\n")
      .filter((line) => line.startsWith("|") && !/^\|[\s|-]+$/.test(line))
      .map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim()))

  it("has the table of the code; `npm run tables` makes it", () => {
    assert.deepStrictEqual(cells(page), cells(table()))
    assert.strictEqual(cells(page).length, rows.length + 1)
  })
})
