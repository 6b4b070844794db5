// Builds the pump for this machine and puts it into a folder under the name by which an installed package finds it:
// linux-x64.node, linux-x64.musl.node, darwin-arm64.node, … A release collects those of all platforms in
// packages/sqlite/prebuilds; npm pack adds that of its own machine (prepack.mjs).
//
//     npm run prebuild:pump [-- folder]     default: .build/prebuilds
import { execFileSync } from "node:child_process"
import { copyFileSync, existsSync, mkdirSync, statSync } from "node:fs"
import { join, resolve } from "node:path"
import { folderOf, isMain, root } from "./lib/workspace.mjs"

/** Linux has two C libraries, and a pump for the other one cannot be loaded. */
export const pumpName = () => {
  const isMusl = process.platform === "linux" && process.report.getReport().header.glibcVersionRuntime === undefined
  return `${process.platform}-${process.arch}${isMusl ? ".musl" : ""}.node`
}

/** Answers the path of the copy, undefined where no pump could be built (which was said already). */
export const prebuild = (folder) => {
  const native = join(folderOf("sqlite"), "native")
  execFileSync(process.execPath, [join(native, "build.mjs")], { stdio: "inherit" })
  const pump = join(native, "build", "pump.node")
  if (!existsSync(pump)) return undefined
  mkdirSync(folder, { recursive: true })
  copyFileSync(pump, join(folder, pumpName()))
  return join(folder, pumpName())
}

if (isMain(import.meta.filename)) {
  const path = prebuild(resolve(process.argv[2] ?? join(root, ".build", "prebuilds")))
  if (path === undefined) process.exitCode = 1
  else console.log(`${path}: ${statSync(path).size} bytes`)
}
