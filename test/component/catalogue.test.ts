/**
 * The list of everything in the documents: it is complete, it is true of the code, and what it says works has a test that
 * names it.
 */
import { assert, describe, it } from "@effect/vitest"
import { globSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { page } from "../../.ci/tables.ts"
import { inCode, type Item, items, type Kind } from "../../src/component/Catalogue.ts"
import * as Component from "../../src/component/index.ts"
import * as documents from "./documents.ts"

const lists = { server: documents.server, proxy: documents.proxy }

const here = fileURLToPath(new URL(".", import.meta.url))

const find = (kind: Kind, name: string): Item => {
  const item = items.find((item) => item.kind === kind && item.name === name)
  assert.isDefined(item, `${kind} ${name} has no row`)
  return item
}

const inDocument = (item: Item, document: "server" | "proxy") =>
  assert.include([document, "both"], item.documents, `${item.kind} ${item.name}`)

describe("every item of the documents has a row", () => {
  for (const document of ["server", "proxy"] as const) {
    const { events, methods, properties, settings } = lists[document]
    it(`of the ${document}`, () => {
      const rows = (kind: Kind, names: ReadonlyArray<string>) => {
        for (const name of names) {
          const found = items.filter((item) => item.kind === kind && item.name === name)
          assert.isTrue(
            found.some((item) => item.documents === document || item.documents === "both"),
            `${kind} ${name}`
          )
        }
        // and nothing is said to be documented that is not
        for (const item of items.filter((item) => item.kind === kind && [document, "both"].includes(item.documents))) {
          assert.include(names, item.name)
        }
      }
      rows("property", properties)
      rows("method", methods)
      rows("event", events)
      rows("setting", settings)
    })
  }

  it("of types, enumerations and errors", () => {
    for (const [event, names] of Object.entries(documents.parameters)) {
      for (const name of names) find("event field", `${event}.${name}`)
    }
    for (const name of documents.forwardParameters) {
      inDocument(find("event field", `WebSocketOpenRequest.${name}`), "proxy")
    }
    for (const name of documents.fields["Certificate"]!) find("Certificate", name.replace("*", ""))
    for (const name of documents.fields["WSConnection"]!) find("WSConnection", name.replace("*", ""))
    for (const name of documents.constructors) find("constructor", name)
    for (const [, values] of Object.entries(documents.enums)) {
      for (const [name, value] of Object.entries(values))
        assert.match(find("enum value", name).note, new RegExp(`^${value}:`))
    }
    for (const code of Object.keys(documents.errors)) find("error code", code)
  })
})

/** What the titles of the tests of this folder name. */
const titles = globSync("*.test.ts", { cwd: here })
  .filter((file) => file !== "catalogue.test.ts")
  .flatMap((file) => {
    const text = readFileSync(new URL(file, import.meta.url), "utf8")
    const plain = [...text.matchAll(/\bit(?:\.\w+)*\(\s*(["'`])((?:(?!\1)[^\\]|\\.)*)\1/g)].map((match) => match[2]!)
    const each = [...text.matchAll(/\bit(?:\.\w+)*\.each\(\s*\[([\s\S]*?)\n?\s*\]\)\(/g)].flatMap((match) =>
      [...match[1]!.matchAll(/["'`]([^"'`\n]*)["'`]|\b(\d{3,5})\b/g)].map((text) => `${text[1] ?? text[2]}: `)
    )
    return [...plain, ...each]
  })
  // what comes before the colon names items
  .flatMap((title) => (title.includes(":") ? [title.slice(0, title.lastIndexOf(": ") + 1 || title.length)] : []))

const names = new Set(titles.flatMap((title) => title.match(/[A-Za-z_][\w.]*|\d+/g) ?? []))

/** Whether a title names an item: by its name, or its event's with its own. */
const isNamed = ({ kind, name }: Item): boolean => {
  const plain = name.replace("*", "").replace(/\(.*/, "")
  if (kind !== "event field") return names.has(plain) || names.has(`${kind}.${plain}`)
  const [event = "", field = ""] = plain.split(".")
  return (
    names.has(plain) ||
    titles.some((title) => {
      const words: ReadonlyArray<string> = title.match(/\w+/g) ?? []
      return words.includes(event) && words.includes(field)
    })
  )
}

describe("what works", () => {
  it("is named by the title of a test", () => {
    const untested = items.filter((item) => item.status === "works" && item.documents !== "none" && !isNamed(item))
    assert.deepStrictEqual(
      untested.map(({ kind, name }) => `${kind} ${name}`),
      []
    )
  })

  it("is in the code", () => {
    const server = new Component.WSServer()
    const proxy = new Component.WebSocketProxy()
    for (const { documents, kind, name } of items.filter(({ status }) => status !== "with TLS")) {
      const owners = documents === "server" ? [server] : documents === "proxy" ? [proxy] : [server, proxy]
      for (const owner of documents === "none" ? [] : owners) {
        if (kind === "property") {
          assert.isTrue(inCode(name) in owner, name)
          assert.isTrue(`get${name}` in owner, name)
        }
        if (kind === "method") assert.isFunction(Reflect.get(owner, inCode(name)), name)
      }
    }
    for (const { kind, name, status } of items) {
      if (kind === "WSConnection") assert.isTrue(inCode(name) in new Component.WSConnection(), name)
      if (kind === "Firewall") assert.isTrue(inCode(name) in new Component.Firewall(), name)
      if (kind === "error code")
        assert.isTrue(Number(name) in Component.ErrorCode.documented || Number(name) < 1000, name)
      if (kind === "setting" && status !== "with TLS") assert.match(name, /^\w+$/)
    }
    void Promise.all([server.dispose(), proxy.dispose()])
  })

  it("has the documented texts and numbers", () => {
    for (const [code, text] of Object.entries(documents.errors)) {
      const codes: Readonly<Record<string, { readonly text: string }>> = Component.ErrorCode.documented
      assert.strictEqual(codes[code]?.text, text)
    }
    assert.deepStrictEqual({ ...Component.CertStoreTypes }, { ...documents.enums["CertStoreTypes"] } as never)
    assert.deepStrictEqual({ ...Component.DataFormats }, { ...documents.enums["DataFormats"] } as never)
    assert.deepStrictEqual({ ...Component.WSServerSSLProviders }, {
      ...documents.enums["WSServerSSLProviders"]
    } as never)
  })
})

it("the page is made of the tables as they are", () => {
  assert.strictEqual(
    readFileSync(new URL("../../src/component/README.md", import.meta.url), "utf8"),
    page(),
    "run `npm run tables`"
  )
})
