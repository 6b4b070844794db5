/** The part of the engines' suite about stopping: control words, deadlines, and waiting for locks. */
import { join } from "node:path"
import { expect, it } from "vitest"
import { cancelWord, Word } from "../src/internal/boundary.js"
import { Why } from "../src/internal/page.js"
import type { makeHarness } from "./engineHarness.js"

/** As many rows as its parameter says, made as they are asked for. */
export const numbers = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < ?) SELECT x FROM c"

export const controlSuite = (harness: ReturnType<typeof makeHarness>) => {
  const { batch, bind, directory, drain, open, page, prepare, run } = harness

  it("looks at the control words of its request only", () => {
    const at = open()
    at.words[cancelWord + 3] = 41
    at.words[Word.interrupt] = 43
    at.deadlines[3] = 0n
    expect(at.connection.start(42, 3)).toBe(Why.none)
    const select = prepare(at, numbers)
    bind(select, [100])
    expect(drain(select).rows.length).toBe(100)
    at.connection.end()
    expect(at.connection.start(41, 3)).toBe(Why.cancelled)
    expect(at.connection.start(43, 5)).toBe(Why.interrupted)
    at.deadlines[5] = process.hrtime.bigint() - 1n
    expect(at.connection.start(44, 5)).toBe(Why.deadline)
    at.deadlines[5] = process.hrtime.bigint() + 60_000_000_000n
    expect(at.connection.start(44, 5)).toBe(Why.none)
    expect(at.connection.check()).toBe(Why.none)
  })

  it.each([
    ["cancelled", Why.cancelled],
    ["interrupted", Why.interrupted],
    ["past its deadline", Why.deadline]
  ])("stops a statement that is %s between its pages", (_name, why) => {
    const at = open()
    const select = prepare(at, numbers)
    bind(select, [1_000_000])
    expect(at.connection.start(7, 2)).toBe(Why.none)
    expect(page(select, 10).rows.length).toBe(10)
    if (why === Why.cancelled) at.words[cancelWord + 2] = 7
    else if (why === Why.interrupted) at.words[Word.interrupt] = 7
    else at.deadlines[2] = process.hrtime.bigint()
    const stopped = page(select, 100_000)
    expect(stopped).toMatchObject({ code: 9, why, error: "interrupted" })
    // A look at every 64th row is soon enough.
    expect(stopped.rows.length).toBeLessThanOrEqual(64)
    at.connection.end()
    at.deadlines[2] = 0n
    expect(at.connection.start(8, 2)).toBe(Why.none)
    bind(select, [3])
    expect(drain(select)).toMatchObject({ rows: [[1n], [2n], [3n]], code: 0, why: 0 })
  })

  it("waits for a lock as long as it may, and no longer than it is wanted", () => {
    const file = join(directory(), "busy.db")
    const holder = open(file)
    holder.connection.exec("CREATE TABLE t(a); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
    const impatient = open(file, { busyTimeout: 60 })
    const began = performance.now()
    expect(run(impatient, "INSERT INTO t VALUES (2)").code).toBe(5)
    expect(performance.now() - began).toBeGreaterThanOrEqual(50)
    expect(performance.now() - began).toBeLessThan(10_000)
    expect(run(impatient, "INSERT INTO t VALUES (2) RETURNING a").code).toBe(5)
    const patient = open(file, { busyTimeout: 30_000 })
    patient.deadlines[1] = process.hrtime.bigint() + 50_000_000n
    expect(patient.connection.start(5, 1)).toBe(Why.none)
    const insert = prepare(patient, "INSERT INTO t VALUES (?)")
    bind(insert, [3])
    expect(page(insert)).toMatchObject({ code: 9, why: Why.deadline })
    patient.words[cancelWord + 1] = 5
    expect(batch(insert, [[3]])).toMatchObject({ code: 9, why: Why.cancelled })
    patient.connection.end()
    patient.words[cancelWord + 1] = 0
    holder.connection.exec("COMMIT")
    expect(run(patient, "SELECT * FROM t").rows).toStrictEqual([[1n]])
    expect(batch(insert, [[3], [4]])).toMatchObject({ code: 0, changes: 2 })
  })
}
