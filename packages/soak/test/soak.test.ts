/** Every scenario for a moment: the same processes as `npm run soak`, to keep both of them working. */
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, beforeAll, it } from "@effect/vitest"
import { describe } from "../src/report.js"
import { run } from "../src/run.js"
import { scenarios } from "../src/scenarios.js"

const root = fileURLToPath(new URL("../../../", import.meta.url))

// Processes run what is built.
beforeAll(async () => {
  await promisify(execFile)(process.execPath, ["scripts/build.mjs", "packages/soak/tsconfig.src.json"], { cwd: root })
}, 240_000)

for (const { about, name, roundMillis } of scenarios) {
  // Always the same seed: another one would fail for somebody else than who broke something.
  it(`${name}: ${about}`, { timeout: 300_000 }, async ({ skip }) => {
    const result = await run({ scenario: name, seed: 1, millis: roundMillis.short, short: true, rounds: 1 })
    if (result.skipped !== undefined) {
      return skip(result.skipped)
    }
    assert.isAbove(result.rounds, 0, describe(result))
    assert.deepStrictEqual(result.breaches, [], describe(result))
  })
}

it("refuses numbers that are none, an empty one as well", async () => {
  const main = fileURLToPath(new URL("../dist/main.js", import.meta.url))
  for (const word of ["--seed=", "--seed= ", "--seed=x", "--minutes="]) {
    const { code, stderr } = await promisify(execFile)(process.execPath, [main, word, "--help"]).then(
      () => ({ code: 0, stderr: "" }),
      (error: { readonly code: number; readonly stderr: string }) => error
    )
    assert.strictEqual(code, 1)
    assert.match(stderr, /^--(seed|minutes) cannot be "/)
  }
})
