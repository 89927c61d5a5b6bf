/**
 * The commands of docs/recipes.md, run as they stand there but for what is the reader's own: addresses, origins, files.
 */
import { readFileSync } from "node:fs"
import { type Command, command } from "./command.ts"

const page = readFileSync(new URL("../../docs/recipes.md", import.meta.url), "utf8")

/** The words of the command below the mark `<!-- NAME -->`, from `proxy` on. */
const wordsOf = (name: string): ReadonlyArray<string> => {
  const match = new RegExp(`<!-- ${name} -->\n\n\`\`\`sh\nnpm start -- (proxy .+)\n\`\`\``).exec(page)
  if (match === null) throw new Error(`docs/recipes.md has no command for ${name}`)
  return match[1]!.split(" ")
}

/**
 * Starts the proxy of a recipe on a port that is free, with this test's words in place of the reader's, and with flags that a
 * test has and a reader has not.
 */
export const recipe = (
  name: string,
  own: Readonly<Record<string, string>>,
  ...flags: ReadonlyArray<string>
): Promise<Command> => {
  const [proxy, , ...words] = wordsOf(name)
  for (const word of Object.keys(own)) {
    if (!words.includes(word)) throw new Error(`the command for ${name} in docs/recipes.md has no ${word}`)
  }
  return command(proxy!, "127.0.0.1:0", ...words.map((word) => own[word] ?? word), ...flags)
}

/** The origin of the reader's pages. */
export const origin = "https://app.example"
