import { reporters } from "./.ci/reporters.ts"
import { defineConfig } from "vitest/config"

/** Tests that need more than npm: a browser, and peers in other languages. `.ci/run` installs them. */
export default defineConfig({
  test: { reporters, include: ["test/e2e/**/*.test.ts"], testTimeout: 60_000, hookTimeout: 60_000, maxWorkers: 1 }
})
