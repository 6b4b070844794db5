/** What strangers are told: rows, that there were more, or why not. */
import { execFile } from "node:child_process"
import { join } from "node:path"
import { assert, beforeAll, it } from "@effect/vitest"
import { built, root } from "./built.js"

beforeAll(built, 240_000)

it("answers what it may, and refuses the rest", { timeout: 60_000 }, async () => {
  const said = await new Promise<string>((resolve) => {
    execFile(process.execPath, [join(root, "packages/examples/dist/console.js")], (_error, stdout, stderr) =>
      resolve(stdout + stderr)
    )
  })
  const answers = said
    .trim()
    .split("\n\n")
    .map((part) => part.split("\n").slice(1))
  assert.deepStrictEqual(answers[0], ["name", "nail", "nut"])
  assert.deepStrictEqual(answers[1]?.slice(3), ["bolt", "(cut off: too many rows)"])
  assert.deepStrictEqual(
    answers.slice(2).map(([line]) => line?.split(":")[0]),
    ["Authorization", "Authorization", "Authorization", "StatementTimeout"]
  )
})
