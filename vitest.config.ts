import { reporters } from "./.ci/reporters.ts"
import { defineConfig } from "vitest/config"

export default defineConfig({
  // the examples and the tests of the package import it by its name, and get its sources
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source"], externalConditions: ["source"] } },
  test: {
    reporters,
    include: ["test/**/*.test.ts"],
    exclude: ["test/e2e/**", "test/soak/**"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // the tests of processes and of throughput want the two cores for themselves
    maxWorkers: 2
  }
})
