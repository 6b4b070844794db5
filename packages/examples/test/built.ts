/** Processes run what is built, not what vitest transforms. */
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

export const root = fileURLToPath(new URL("../../../", import.meta.url))

/** Builds the examples and the packages. Not in one piece with the test runner's own work: it may take a minute. */
export const built = async (): Promise<void> => {
  await promisify(execFile)(process.execPath, ["scripts/build.mjs", "packages/examples/tsconfig.src.json"], {
    cwd: root
  })
}
