/** Processes run what is built, not what vitest transforms. */
import { execFileSync } from "node:child_process"
import { mkdirSync, rmSync, statSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("../../../", import.meta.url))

const lock = join(root, ".build", "examples.lock")
/** Whoever holds the lock for so long was killed. */
const stale = 180_000

const take = (): boolean => {
  try {
    mkdirSync(lock)
    return true
  } catch {
    const since = statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()
    if (Date.now() - since > stale) rmSync(lock, { recursive: true, force: true })
    return false
  }
}

/** Builds the examples and the packages. Test files run at the same time: one builds, the others find it done. */
export const built = async (): Promise<void> => {
  mkdirSync(join(root, ".build"), { recursive: true })
  while (!take()) await new Promise((resolve) => setTimeout(resolve, 200))
  try {
    const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc")
    execFileSync(process.execPath, [tsc, "-b", "packages/examples/tsconfig.src.json"], { cwd: root, stdio: "inherit" })
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
}
