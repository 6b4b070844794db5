// Builds a TypeScript project and what it refers to, for tests that start processes: `node scripts/build.mjs tsconfig.json`.
// Test files run at the same time: one builds, the others wait and find it done.
import { spawnSync } from "node:child_process"
import { mkdirSync, rmSync, statSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const lock = join(root, ".build", "processes.lock")
/** Whoever holds the lock for so long was killed. */
const stale = 180_000

const take = () => {
  try {
    mkdirSync(lock)
    return true
  } catch {
    const since = statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()
    if (Date.now() - since > stale) {
      rmSync(lock, { recursive: true, force: true })
    }
    return false
  }
}

mkdirSync(join(root, ".build"), { recursive: true })
while (!take()) {
  await new Promise((resolve) => setTimeout(resolve, 200))
}
try {
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc")
  process.exitCode =
    spawnSync(process.execPath, [tsc, "-b", ...process.argv.slice(2)], { cwd: root, stdio: "inherit" }).status ?? 1
} finally {
  rmSync(lock, { recursive: true, force: true })
}
