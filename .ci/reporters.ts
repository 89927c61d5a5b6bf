/**
 * How tests are reported: to the terminal, and where `VITEST_RESULTS` names a file, there as JSON for `.ci/summary.ts`.
 */
const file = process.env["VITEST_RESULTS"]

export const reporters: Array<"default" | ["json", { outputFile: string }]> = [
  "default",
  ...(file === undefined ? [] : [["json", { outputFile: file }] satisfies ["json", { outputFile: string }]])
]
