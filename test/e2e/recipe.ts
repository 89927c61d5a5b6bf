/**
 * The commands of docs/recipes.md, run as they stand there but for the addresses, which are this test's.
 */
import { readFileSync } from "node:fs"
import { type Command, command } from "./command.ts"

const page = readFileSync(new URL("../../docs/recipes.md", import.meta.url), "utf8")

/** The origin of the reader's pages. */
const origin = "https://app.example"

/** The arguments of the command below the mark `<!-- NAME -->`. */
const argumentsOf = (name: string): ReadonlyArray<string> => {
  const match = new RegExp(`<!-- ${name} -->\n\n\`\`\`sh\nnpm start -- (proxy .+)\n\`\`\``).exec(page)
  if (match === null) throw new Error(`docs/recipes.md has no command for ${name}`)
  return match[1]!.split(" ")
}

export interface Changes {
  /** The origin of the test's pages. */
  readonly origin?: string
  /** What a test wants sooner than a reader. */
  readonly flags?: ReadonlyArray<string>
}

/** Starts the proxy of a recipe in front of `target`. */
export const recipe = (name: string, target: { readonly port: number }, changes: Changes = {}): Promise<Command> => {
  const [proxy, , , ...flags] = argumentsOf(name)
  return command(
    proxy!,
    "127.0.0.1:0",
    `127.0.0.1:${target.port}`,
    ...flags.map((flag) => (flag === origin ? (changes.origin ?? flag) : flag)),
    ...(changes.flags ?? [])
  )
}
