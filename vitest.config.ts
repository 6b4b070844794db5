import { availableParallelism } from "node:os"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const packages = fileURLToPath(new URL("./packages/", import.meta.url))

// Tests run on the sources. The worker entry alone is a built file (vitest.setup.ts builds it), because a worker
// thread runs outside vitest's transforms.
export default defineConfig({
  resolve: {
    alias: [
      { find: /^@sluice\/([^/]+)$/, replacement: packages + "$1/src/index.ts" },
      { find: /^@sluice\/([^/]+)\/(.+)$/, replacement: packages + "$1/src/$2.ts" }
    ]
  },
  test: {
    include: ["packages/*/test/**/*.test.ts"],
    globalSetup: ["./vitest.setup.ts"],
    // Many tests start threads and processes of their own: more files at once would only wait for each other.
    maxWorkers: availableParallelism(),
    minWorkers: 1,
    testTimeout: 120_000,
    coverage: { provider: "v8", include: ["packages/*/src/**"] }
  }
})
