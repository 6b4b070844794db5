// Types, lint and format of everything, all three at once: each of them keeps one processor busy. What one of them has
// to say comes in one piece, when it is done.
//
//     npm run check
import { spawn } from "node:child_process"
import { npmCommand, root } from "./lib/workspace.mjs"

/** Runs a script of package.json; answers whether it was content. */
const run = (script) =>
  new Promise((resolve) => {
    const [command, ...before] = npmCommand()
    const options = { cwd: root, stdio: ["ignore", "pipe", "pipe"] }
    const child = spawn(command, [...before, "run", "--silent", script], options)
    const said = []
    child.stdout.on("data", (data) => said.push(data))
    child.stderr.on("data", (data) => said.push(data))
    child.on("close", (code) => {
      process.stdout.write(`${code === 0 ? "passed" : "failed"}: npm run ${script}\n${Buffer.concat(said)}`)
      resolve(code === 0)
    })
  })

const passed = await Promise.all(["types", "lint", "format:check"].map(run))
process.exitCode = passed.every(Boolean) ? 0 : 1
