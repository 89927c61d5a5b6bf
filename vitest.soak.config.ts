import { reporters } from "./.ci/reporters.ts"
import { defineConfig } from "vitest/config"

/** Tests that take minutes: the large forms of what `npm test` does in small. */
export default defineConfig({
  test: { reporters, include: ["test/soak/**/*.test.ts"], testTimeout: 1_200_000, hookTimeout: 60_000, maxWorkers: 1 }
})
