// Builds TypeScript projects and what they refer to, and the worker's bundle: `node scripts/build.mjs [tsconfig.json …]`;
// without projects all of them. Test files that start processes run at the same time: one builds, the others wait and
// find it done.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { build } from "esbuild"
import { require, root } from "./lib/workspace.mjs"

const lock = join(root, ".build", "processes.lock")
/** Whoever holds the lock says so again and again; who has not for so long was killed. */
const stale = 60_000

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

/**
 * The worker's modules as one file, beside them, so that paths relative to them are right: a thread starts in two thirds
 * of the time when it need not find and link thirty. Another thread may be starting from it now: it changes at once, and
 * only when it is another one.
 */
const bundleWorker = async () => {
  const dist = join(root, "packages/sqlite/dist")
  const entry = join(dist, "worker.js")
  if (!existsSync(entry)) return
  const outfile = join(dist, "internal/worker/bundle.js")
  const { outputFiles } = await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    packages: "external",
    write: false
  })
  const [{ text }] = outputFiles
  if (!existsSync(outfile) || readFileSync(outfile, "utf8") !== text) {
    writeFileSync(`${outfile}.new`, text)
    renameSync(`${outfile}.new`, outfile)
  }
}

mkdirSync(join(root, ".build"), { recursive: true })
while (!take()) {
  await new Promise((resolve) => setTimeout(resolve, 200))
}
const holding = setInterval(() => utimesSync(lock, new Date(), new Date()), stale / 12)
try {
  const tsc = require.resolve("typescript/bin/tsc")
  const compiler = spawn(process.execPath, [tsc, "-b", ...process.argv.slice(2)], { cwd: root, stdio: "inherit" })
  const [code] = await once(compiler, "exit")
  process.exitCode = code ?? 1
  if (code === 0) {
    await bundleWorker()
  }
} finally {
  clearInterval(holding)
  rmSync(lock, { recursive: true, force: true })
}
