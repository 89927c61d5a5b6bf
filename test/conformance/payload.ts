/**
 * Payloads that are the same in every run, and in which a lost, doubled or displaced octet shows.
 */

/** A small generator of numbers below `bound`, from a seed (xorshift32). */
export const numbers = (seed: number): ((bound: number) => number) => {
  let state = (seed * 2654435761 + 0x9e3779b9) >>> 0 || 1
  return (bound) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state % bound
  }
}

/** Octets without any structure. */
export const noise = (size: number, seed = 1): Buffer => {
  const next = numbers(seed)
  const out = Buffer.allocUnsafe(size)
  for (let i = 0; i < size; i++) out[i] = next(256)
  return out
}

/** Printable ASCII. */
export const ascii = (size: number, seed = 1): Buffer => {
  const next = numbers(seed)
  const out = Buffer.allocUnsafe(size)
  for (let i = 0; i < size; i++) out[i] = 0x20 + next(0x5f)
  return out
}

/** Exactly `size` octets of well-formed UTF-8 from `corpus`, begun at `from`: a character that is cut becomes spaces. */
export const cutText = (corpus: Buffer, from: number, size: number): Buffer => {
  const out = Buffer.allocUnsafe(size)
  for (let at = 0; at < size;) at += corpus.copy(out, at, at === 0 ? from % corpus.length : 0)
  const isContinuation = (octet: number | undefined): boolean => octet !== undefined && (octet & 0xc0) === 0x80
  for (let i = 0; isContinuation(out[i]); i++) out[i] = 0x20
  let last = size - 1
  while (isContinuation(out[last])) last--
  const lead = out[last] ?? 0
  const length = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
  if (last >= 0 && last + length > size) out.fill(0x20, last)
  return out
}

const LETTERS = "αβγδεζηθικλμνξοπρστυφχψωабвгдежзийклмнопрстуфхцчшщъыьэюя中文字符测试日本語한국어😀🚀𝄞"

/** Text of one to four octets a character. */
export const scripts = (size: number, seed = 1): Buffer => {
  const next = numbers(seed)
  const letters = [...LETTERS, ..."the quick brown fox "]
  let out = ""
  for (let i = 0; i < Math.min(size, 65536); i++) out += letters[next(letters.length)] ?? ""
  const corpus = Buffer.from(out)
  return size === 0 ? Buffer.alloc(0) : cutText(corpus, 0, size)
}

const words = (list: string, seed: number, size: number): string => {
  const next = numbers(seed)
  const all = list.split(" ")
  const out: Array<string> = []
  for (let length = 0; length < size;) {
    const word = all[next(all.length)] ?? ""
    const end = next(9) === 0 ? ".\n" : ""
    out.push(word + end)
    length += word.length + end.length + 1
  }
  return out.join(" ")
}

const ENGLISH =
  "it was the of and to a in that he his with as for at on they which all be were had from one by this when there so"
const GERMAN =
  "über straße größe fräulein müßig und der die das nicht völlig köstlich grüßen zwölf bären hörst daß schön wär für ich"

const CORPUS = 1 << 19

const json = (): Buffer => {
  const next = numbers(7)
  const rows: Array<unknown> = []
  for (let i = 0; i < 4096; i++) {
    rows.push({ id: i, name: `user${next(5000)}`, tags: ["a", "b", "ç"].slice(next(3)), score: next(1e6) / 100 })
  }
  return Buffer.from(JSON.stringify(rows))
}

/** Something like the samples of a picture: smooth, with noise. */
const picture = (): Buffer => {
  const next = numbers(11)
  const out = Buffer.alloc(CORPUS)
  for (let i = 0; i < CORPUS; i++) out[i] = (Math.floor(i / 512) + ((i % 512) >> 3) + next(6)) & 0xff
  return out
}

export interface Corpus {
  readonly title: string
  readonly isText: boolean
  /** The `index`th message of `size` octets. */
  readonly message: (index: number, size: number) => Buffer
}

const corpus = (title: string, isText: boolean, make: () => Buffer): Corpus => {
  let made: Buffer | undefined
  return {
    title,
    isText,
    message: (index, size) => {
      made ??= make()
      const from = (index * 7919 * 3) % made.length
      return isText ? cutText(made, from, size) : cutBinary(made, from, size)
    }
  }
}

const cutBinary = (from: Buffer, at: number, size: number): Buffer => {
  const out = Buffer.allocUnsafe(size)
  for (let done = 0; done < size;) done += from.copy(out, done, done === 0 ? at : 0)
  return out
}

export const JSON_TEXT = corpus("JSON text", true, json)
export const CORPORA: ReadonlyArray<Corpus> = [
  JSON_TEXT,
  corpus("binary samples", false, picture),
  corpus("English text", true, () => Buffer.from(words(ENGLISH, 3, CORPUS))),
  corpus("German text", true, () => Buffer.from(words(GERMAN, 5, CORPUS))),
  corpus("text of many scripts", true, () => scripts(CORPUS, 13))
]
