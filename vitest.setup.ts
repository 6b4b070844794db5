import { execFileSync } from "node:child_process"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import type { TestProject } from "vitest/node"

const root = fileURLToPath(new URL(".", import.meta.url))
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc")

const build = () => {
  execFileSync(process.execPath, [tsc, "-b", "packages/sqlite/tsconfig.src.json"], { cwd: root, stdio: "inherit" })
}

/** Builds the worker entry before the tests, and again on every rerun in watch mode. */
export default (project: TestProject) => {
  build()
  project.onTestsRerun(async () => build())
}
