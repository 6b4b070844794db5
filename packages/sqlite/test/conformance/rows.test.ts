/** The conformance table of asynchronous SQLite has 100 rows; each has a test that names it ("row 12: …"). */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"

const root = join(import.meta.dirname, "..")

const titles = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".test.ts"))
  .flatMap((file) => Array.from(readFileSync(join(root, file), "utf8").matchAll(/["`]rows? ([\d, and–-]+):/g)))

const numbersOf = (text: string) =>
  text.split(/, | and /).flatMap((part) => {
    const [from = NaN, to = from] = part.split(/[–-]/).map(Number)
    return Array.from({ length: to - from + 1 }, (_, i) => from + i)
  })

it("each of the 100 rows has a test", () => {
  const named = new Set(titles.flatMap(([, numbers]) => numbersOf(numbers!)))
  assert.deepStrictEqual(
    Array.from({ length: 100 }, (_, i) => i + 1).filter((row) => !named.has(row)),
    []
  )
})
