/**
 * Writes `src/component/README.md`: the list of everything in the documents of the originals, and what becomes of it, made of
 * the tables in the code; and the table of `docs/websockify.md`. `npm run tables` after a change of one of them; a test says if
 * that was forgotten.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Websockify from "../src/cli/websockifyOptions.ts"
import { type Item, items, type Kind } from "../src/component/Catalogue.ts"

const titles: Readonly<Record<Kind, string>> = {
  property: "Properties",
  method: "Methods",
  event: "Events",
  "event field": "Fields of events (`*`: for the listener to set)",
  setting: "Settings",
  WSConnection: "Fields of WSConnection",
  WebSocketProxyConnection: "Fields of WebSocketProxyConnection",
  Certificate: "Fields of Certificate",
  Firewall: "Fields of Firewall",
  constructor: "Constructors",
  "enum value": "Values of enumerations",
  "error code": "Error codes"
}

const documents = { server: "WSServer", proxy: "WebSocketProxy", both: "both", none: "–" } as const

const cell = (text: string) => text.replaceAll("|", "\\|")

const table = (rows: ReadonlyArray<Item>): string =>
  [
    "| item | document | status | here |",
    "| --- | --- | --- | --- |",
    ...rows.map((item) => `| ${cell(item.name)} | ${documents[item.documents]} | ${item.status} | ${cell(item.note)} |`)
  ].join("\n")

const counts = (): string => {
  const byStatus = Object.groupBy(items, ({ status }) => status)
  return Object.entries(byStatus)
    .map(([status, { length }]) => `${length} ${status}`)
    .join(", ")
}

/** The page. */
export const page = (): string =>
  [
    "<!-- Made by `npm run tables` of the tables in this folder: do not edit. -->",
    "",
    "# The documented components, item by item",
    "",
    "Every property, method, event, setting, field, constructor, enumeration value and error code of the documentation of the two",
    "originals, and what becomes of it here. *works*: as documented, and a test names it. *partly*: what is missing is said. *no",
    "meaning*: accepted, checked and read back, since nothing on this platform can carry it. *with TLS*: not there yet. A dash",
    `marks what is our own. In all: ${counts()}.`,
    "",
    ...Object.entries(titles).flatMap(([kind, title]) => [
      `## ${title}`,
      "",
      table(items.filter((item) => item.kind === kind)),
      ""
    ])
  ].join("\n")

const websockify = new URL("../docs/websockify.md", import.meta.url)

/** The page as it is, with the table of the code. */
export const websockifyPage = (): string =>
  readFileSync(websockify, "utf8").replace(
    /(<!-- the table [^>]* -->\n)[^]*(<!-- end of the table -->)/,
    (_, before: string, after: string) => `${before}\n${Websockify.table()}\n\n${after}`
  )

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL("../src/component/README.md", import.meta.url), page())
  writeFileSync(websockify, websockifyPage())
}
