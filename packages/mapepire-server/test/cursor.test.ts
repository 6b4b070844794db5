/** An open result keeps what was fetched and not taken, and nothing else. */
import { assert, it } from "@effect/vitest"
import { SqlTransport } from "@sluice/sql"
import { Effect } from "effect"
import { ResultCursor } from "../src/internal/cursor.js"
import { spoolFull } from "../src/internal/db2/failures.js"
import { Spool } from "../src/internal/spool.js"

const pageSize = 10

/** Rows without end, in pages of ten. */
const endless = (): Pick<SqlTransport.Session, "open"> => {
  let last = 0
  const page = (): SqlTransport.Page => {
    const rows = Array.from({ length: pageSize }, () => [++last])
    return {
      columns: [{ name: "n" }],
      length: pageSize,
      objects: () => [],
      arrays: () => rows,
      error: undefined,
      done: false,
      inTransaction: false,
      changes: undefined,
      queueNanos: 0,
      engineNanos: 0,
      routable: false,
      private: false
    }
  }
  return { open: () => Effect.sync(() => ({ first: page(), columns: [], next: Effect.sync(page) })) }
}

for (const count of [3, 7, 10, 25]) {
  it.effect(`${count} rows at a time of pages of ${pageSize}: in order, and what was taken is not kept`, () =>
    Effect.gen(function* () {
      const session = endless() as SqlTransport.Session
      const cursor = yield* ResultCursor.open(session, SqlTransport.request("endless"), () => {})
      for (let taken = 0; taken < 1_000; taken += count) {
        const rows = yield* cursor.take(count)
        assert.deepStrictEqual(
          rows.map(([n]) => n),
          Array.from({ length: count }, (_, i) => taken + i + 1)
        )
        assert.isAtMost(cursor.fetched.length, count + 2 * pageSize)
      }
    })
  )
}

const opened = Effect.suspend(() =>
  ResultCursor.open(endless() as SqlTransport.Session, SqlTransport.request("endless"), () => {})
)

it.effect(
  "what is read because of another statement is bounded; beyond that nothing is kept, and the reader is told",
  () =>
    Effect.gen(function* () {
      const cursor = yield* opened
      const spool = new Spool(10_000)
      yield* cursor.readInto(spool)
      assert.deepStrictEqual([cursor.complete, cursor.fetched.length, [...spool.results]], [true, 0, []])
      for (let i = 0; i < 2; i++) {
        assert.strictEqual(yield* Effect.flip(cursor.take(1)), spoolFull)
      }
    })
)

it.effect("a result that nobody can ask for is not read because of another statement", () =>
  Effect.gen(function* () {
    const cursor = yield* opened
    cursor.forget()
    yield* cursor.readInto(new Spool(Infinity))
    assert.isTrue(cursor.complete)
  })
)
