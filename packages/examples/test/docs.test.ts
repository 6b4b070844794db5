import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, expect, it } from "vitest"
import { built, root } from "./built.js"

const script = join(root, "scripts/docs.mjs")

beforeAll(built, 240_000)

// The README's first program is src/quickstart.ts: the script compares them, and runs it.
it("every code block of the documentation compiles, and those marked to be run do", { timeout: 300_000 }, async () => {
  const said = await new Promise<string>((resolve) => {
    execFile(process.execPath, [script], (error, stdout, stderr) => {
      resolve(error === null ? "" : stdout + stderr)
    })
  })
  expect(said).toBe("")
})

it("the commands that read declarations build them first", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    readonly scripts: Readonly<Record<string, string>>
  }
  for (const name of ["docs", "docs:check"]) expect(scripts[name]).toMatch(/^npm run --silent build && /)
})
