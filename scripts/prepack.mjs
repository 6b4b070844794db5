// Makes the package in the current folder ready for `npm pack`: builds dist, leaves declarations out that no program can
// come to, and, where there is a native part, puts this machine's pump into prebuilds/, for people do not compile what
// they install. `--undo` (npm's postpack) takes the pump out again: in the repository the freshly compiled one must be
// found, not a copy from the last time.
import { execFileSync } from "node:child_process"
import { existsSync, readdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { declarationsOf } from "./lib/declarations.mjs"
import { root } from "./lib/workspace.mjs"
import { prebuild, pumpName } from "./prebuild.mjs"

const here = process.cwd()
const prebuilds = join(here, "prebuilds")
const node = (...parameters) => execFileSync(process.execPath, parameters, { cwd: here, stdio: "inherit" })

/** The compiler leaves the output of sources that have been renamed or removed; it must not be published. */
const removeStale = () => {
  const dist = join(here, "dist")
  for (const name of existsSync(dist) ? readdirSync(dist, { recursive: true }) : []) {
    const source = name.replace(/\.(d\.ts|js)(\.map)?$/, ".ts")
    if (source !== name && !existsSync(join(here, "src", source))) rmSync(join(dist, name))
  }
}

/** What the exports' declarations do not mention is of use to nobody: npm leaves out what this file in dist names. */
const leaveOut = () => {
  const dist = join(here, "dist")
  const reached = new Set(declarationsOf(here))
  const unused = readdirSync(dist, { recursive: true }).filter(
    (name) => name.endsWith(".d.ts") && !reached.has(join(dist, name))
  )
  writeFileSync(join(dist, ".npmignore"), unused.flatMap((name) => [`/${name}`, `/${name}.map`]).join("\n"))
}

if (process.argv.includes("--undo")) {
  rmSync(join(prebuilds, pumpName()), { force: true })
  if (existsSync(prebuilds) && readdirSync(prebuilds).length === 0) rmdirSync(prebuilds)
} else {
  removeStale()
  node(join(root, "scripts/build.mjs"), join(here, "tsconfig.src.json"))
  leaveOut()
  if (existsSync(join(here, "native")) && prebuild(prebuilds) === undefined) {
    process.stderr.write("No pump was built here: the package will have none for this platform.\n")
  }
}
