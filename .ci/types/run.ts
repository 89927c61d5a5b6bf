/**
 * `npm run test:types`: tstyche over every `*.tst.ts`, on this folder's TypeScript. (Left alone, tstyche would look for
 * one it can use in its own store and download it.)
 */
process.env["TSTYCHE_TYPESCRIPT_MODULE"] = import.meta.resolve("typescript")
const { Cli } = await import("tstyche/api")
await new Cli().run(process.argv.slice(2))
