/** The tour as people run it: the same program on two databases, in one process. */
import { assert, beforeAll, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { readdirSync, rmSync } from "node:fs"
import { dirname, join } from "node:path"
import { built, root } from "./built.js"

beforeAll(built, 240_000)

const run = (...parameters: ReadonlyArray<string>) =>
  new Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }>((resolve) => {
    const child = execFile(
      process.execPath,
      [join(root, "packages/examples/dist/tour.js"), ...parameters],
      { timeout: 100_000 },
      (_error, stdout, stderr) => resolve({ code: child.exitCode ?? -1, stdout, stderr })
    )
  })

/** The lines that do not tell how long something took. */
const facts = (part: string): ReadonlyArray<string> =>
  part.split("\n").filter((line) => /^ {10}(airports|trips|flights|what they said|savepoint)|^ {50,}/.test(line))

/** What was answered, without the time that it took. */
const answers = (part: string): ReadonlyArray<string> =>
  [...part.matchAll(/^ {10}(When|Which).*?(?:ms|s) {3}(.*)$/gm)].map(([, , answer]) => answer!)

it("runs on SQLite, then on Mapepire, with the same answers", { timeout: 120_000 }, async () => {
  const { code, stderr, stdout } = await run("--keep")
  assert.deepStrictEqual([code, stderr], [0, ""])
  const kept = /The databases are (\S+) and (\S+)\.\n/.exec(stdout)!.slice(1)
  const left = readdirSync(dirname(kept[0]!)).sort()
  rmSync(dirname(kept[0]!), { recursive: true })
  assert.deepStrictEqual(left, ["flights.db", "mapepire.db"])

  const [, sqlite, mapepire] = stdout.split(/^ {2}(?=SQLite {3}|Db2 for i)/m)
  assert.match(sqlite!, /^SQLite {3}SQLite 3\.\d+\.\d+ · (native|portable) engine/)
  assert.match(mapepire!, /^Db2 for i, through Mapepire {3}wss:\/\/127\.0\.0\.1:\d+/)

  assert.lengthOf(facts(sqlite!), 6)
  assert.deepStrictEqual(facts(mapepire!), facts(sqlite!))
  assert.lengthOf(answers(sqlite!), 3)
  assert.deepStrictEqual(answers(mapepire!), answers(sqlite!))
  for (const part of [sqlite!, mapepire!]) {
    assert.match(part, /deadline of 250 ms .* failed with StatementTimeout$/m)
    assert.match(part, /transaction committed .* 2 inserts/)
    // None or all, never some; on a busy machine perhaps nobody came to look.
    assert.match(part, /rows of the write seen:(?: 0)?(?:, 600000)?$/m)
    assert.match(part, /600,000 rows written/)
  }
})

it("says how it is used", { timeout: 60_000 }, async () => {
  const wrong = await run("--kept")
  assert.strictEqual(wrong.code, 1)
  assert.match(wrong.stderr, /Unknown option '--kept'[^]*npm start \[-- --keep\]/)
  const { code, stdout } = await run("--help")
  assert.strictEqual(code, 0)
  assert.match(stdout, /--keep/)
})
