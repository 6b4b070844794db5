// Makes the package in the current folder ready for `npm pack`: builds dist and, where there is a native part, puts this
// machine's pump into prebuilds/, for people do not compile what they install. `--undo` (npm's postpack) takes the pump
// out again: in the repository the freshly compiled one must be found, not a copy from the last time.
import { execFileSync } from "node:child_process"
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmdirSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"

const here = process.cwd()
const node = (...parameters) => execFileSync(process.execPath, parameters, { cwd: here, stdio: "inherit" })

/** The pump's name among prebuilds. Linux has two C libraries, and a pump for the other one cannot be loaded. */
const prebuild = () => {
  const isMusl = process.platform === "linux" && process.report.getReport().header.glibcVersionRuntime === undefined
  return join(here, "prebuilds", `${process.platform}-${process.arch}${isMusl ? ".musl" : ""}.node`)
}

/** The compiler leaves the output of sources that have been renamed or removed; it must not be published. */
const removeStale = () => {
  const dist = join(here, "dist")
  for (const name of existsSync(dist) ? readdirSync(dist, { recursive: true }) : []) {
    const source = name.replace(/\.(d\.ts|js)(\.map)?$/, ".ts")
    if (source !== name && !existsSync(join(here, "src", source))) rmSync(join(dist, name))
  }
}

const addPump = () => {
  node(join("native", "build.mjs"))
  const pump = join(here, "native", "build", "pump.node")
  if (existsSync(pump)) {
    mkdirSync(join(here, "prebuilds"), { recursive: true })
    copyFileSync(pump, prebuild())
  } else {
    process.stderr.write("No pump was built here: the package will have none for this platform.\n")
  }
}

if (process.argv.includes("--undo")) {
  rmSync(prebuild(), { force: true })
  const folder = join(here, "prebuilds")
  if (existsSync(folder) && readdirSync(folder).length === 0) rmdirSync(folder)
} else {
  removeStale()
  node(createRequire(import.meta.url).resolve("typescript/bin/tsc"), "-b", "tsconfig.src.json")
  if (existsSync(join(here, "native"))) addPump()
}
