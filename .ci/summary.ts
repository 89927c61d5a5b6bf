/**
 * Adds up the results of the test runs and prints them in one line.
 */
import { readFileSync } from "node:fs"

interface Results {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
}

const total = { passed: 0, failed: 0, skipped: 0 }
for (const file of process.argv.slice(2)) {
  const results: Results = JSON.parse(readFileSync(file, "utf8"))
  total.passed += results.numPassedTests
  total.failed += results.numFailedTests
  total.skipped += results.numPendingTests
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
