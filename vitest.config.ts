import { reporters } from "./.ci/reporters.ts"
import { missing } from "./test/installed.ts"
import { defineConfig } from "vitest/config"

/** Starts several processes for each test, each as large as a whole server: others beside it would wait for seconds. */
const alone = "test/cli/workers.test.ts"

/** What makes its certificates with `openssl`: left out, with a word, where that is missing. */
const tls = ["test/tls/**", "test/{cli,client,docs}/tls*.test.ts", "test/component/{certificate,tls}*.test.ts"]
const noOpenssl = missing("openssl")
if (noOpenssl !== undefined) process.stderr.write(`${noOpenssl}: ${tls.join(", ")} are skipped\n`)

export default defineConfig({
  // the examples and the tests of the package import it by its name, and get its sources
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source"], externalConditions: ["source"] } },
  test: {
    reporters,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // the tests of processes and of throughput want the two cores for themselves
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: "side by side",
          include: ["test/**/*.test.ts", "examples/*.test.ts"],
          exclude: ["test/e2e/**", "test/soak/**", alone, ...(noOpenssl === undefined ? [] : tls)]
        }
      },
      { extends: true, test: { name: "alone", include: [alone], sequence: { groupOrder: 1 } } }
    ]
  }
})
