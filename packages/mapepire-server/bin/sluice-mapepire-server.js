#!/usr/bin/env node
// The command. It is a file of its own, and not a part of what is built, because npm links commands when it installs: in a
// fresh clone nothing has been built by then. There the first call builds what it needs, which takes a minute.
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"

const program = new URL("../dist/bin.js", import.meta.url)
const sources = fileURLToPath(new URL("../tsconfig.src.json", import.meta.url))

if (!existsSync(program) && existsSync(sources)) {
  process.stderr.write("Building the server, for the first time…\n")
  const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc")
  execFileSync(process.execPath, [compiler, "-b", sources], { stdio: "inherit" })
}

await import(program.href)
