#!/usr/bin/env node
// The command. It is a file of its own, and not a part of what is built, because npm links commands when it installs: in a
// fresh clone nothing has been built by then. There the first call builds what it needs, which takes a minute.
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"

const program = new URL("../dist/bin.js", import.meta.url)
const build = fileURLToPath(new URL("../../../scripts/build.mjs", import.meta.url))

if (!existsSync(program) && existsSync(build)) {
  process.stderr.write("Building the server, for the first time…\n")
  execFileSync(process.execPath, [build, fileURLToPath(new URL("../tsconfig.src.json", import.meta.url))], {
    stdio: "inherit"
  })
}

await import(program.href)
