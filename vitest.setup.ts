import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { TestProject } from "vitest/node"

const root = fileURLToPath(new URL(".", import.meta.url))

const build = () => {
  execFileSync(process.execPath, ["scripts/build.mjs", "packages/sqlite/tsconfig.src.json"], {
    cwd: root,
    stdio: "inherit"
  })
}

/** Builds the worker before the tests, and again on every rerun in watch mode. */
export default (project: TestProject) => {
  build()
  project.onTestsRerun(async () => build())
}
