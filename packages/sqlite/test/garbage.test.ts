/** What is closed is garbage: programs that open one file after the other need no more memory for it. */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { assert, it } from "@effect/vitest"
import { SqlClient } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Effect, Stream } from "effect"
import { open } from "./conformance/stopping.js"
import { countTo, onEngines, tempFile } from "./support.js"

setFlagsFromString("--expose-gc")
const gc = runInNewContext("gc") as () => void

onEngines("garbage", (engine) => {
  it.scopedLive("a client that was closed, each of another file", () =>
    Effect.gen(function* () {
      const closed: Array<WeakRef<SqliteClient.SqliteClient>> = []
      for (let i = 0; i < 4; i++) {
        const filename = yield* tempFile
        yield* Effect.gen(function* () {
          const sql = yield* SqliteClient.SqliteClient
          yield* sql`create table t (n)`
          yield* sql.withTransaction(sql`insert into t values (1)`)
          assert.deepStrictEqual(yield* sql`select n from t`, [{ n: 1 }])
          closed.push(new WeakRef(sql))
        }).pipe(Effect.provide(SqliteClient.layer({ filename, engine, readers: 1 })))
      }
      for (let i = 0; i < 100 && closed.some((client) => client.deref() !== undefined); i++) {
        yield* Effect.sleep(20)
        gc()
      }
      assert.deepStrictEqual(
        closed.map((client) => client.deref() === undefined),
        [true, true, true, true]
      )
    })
  )
})

/** Something to look for, and a number. */
class Kept {
  constructor(readonly sum: number) {}
}

onEngines("what callbacks have gathered", (engine) => {
  it.scopedLive("goes with its statement, however that ends", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const seen: Array<WeakRef<object>> = []
      const noted = <A extends object>(it: A): A => {
        seen.push(new WeakRef(it))
        return it
      }
      const definition = {
        initial: () => new Kept(0),
        final: ({ sum }: Kept) => Effect.succeed(sum)
      }
      const add = ({ sum }: Kept, n: unknown) => noted(new Kept(sum + Number(n)))
      yield* sql.aggregate("failing", {
        ...definition,
        step: (state, n) => (n === 50 ? Effect.fail("enough") : Effect.sync(() => add(state, n)))
      })
      yield* sql.aggregate("stuck", {
        ...definition,
        step: (state, n) => (n === 50 ? Effect.never : Effect.sync(() => add(state, n)))
      })
      const of = (expression: string) =>
        sql.unsafe(countTo(60).replace("select n from up", `select ${expression} from up`))
      for (let i = 0; i < 5; i++) {
        yield* Effect.flip(of("failing(n)"))
        yield* Effect.flip(Stream.runDrain(of("failing(n)").stream))
        yield* Effect.flip(of("stuck(n)").pipe(SqlClient.withDeadline("50 millis")))
        yield* Effect.flip(Effect.timeout(of("stuck(n)"), "50 millis"))
      }
      if (engine === "native") {
        yield* sql.window("moving", {
          ...definition,
          step: (state, n) => Effect.sync(() => add(state, n)),
          inverse: (state, n) => Effect.sync(() => add(state, -Number(n))),
          value: ({ sum }) => Effect.succeed(sum)
        })
        const windows = of("moving(n) over (rows 2 preceding) as sum").pipe(SqlClient.withPrefetch(5))
        const some = yield* Stream.runCollect(Stream.take(windows.stream, 12))
        assert.deepStrictEqual(Array.from(some).at(-1), { sum: 10 + 11 + 12 })
        yield* sql.tableFunction("row_of", { columns: ["v"], parameters: ["n"] }, ({ n }) =>
          Stream.sync(() => noted([n]))
        )
        yield* sql.unsafe(`select sum(v) from (${countTo(100)}) c, row_of(c.n)`)
      }
      assert.isAbove(seen.length, 900)
      const left = () => seen.filter((it) => it.deref() !== undefined).length
      // What the last statement has left behind on the stack is none.
      for (let tries = 0; tries < 50 && left() > 2; tries++) {
        yield* Effect.sleep(20)
        gc()
      }
      assert.isAtMost(left(), 2)
    })
  )
})

const notKept = {
  "that are not kept": (sql: SqliteClient.SqliteClient) => Effect.asVoid(sql`select 1`.unprepared),
  "of the carrier, one for each value that it would change": (sql: SqliteClient.SqliteClient) =>
    Effect.asVoid(sql`select ${"a\0b"} as a`)
}

for (const [what, run] of Object.entries(notKept)) {
  it.scopedLive(
    `statements ${what} leave no memory behind, however many they are`,
    () =>
      Effect.gen(function* () {
        const sql = yield* SqliteClient.SqliteClient
        const runs = (count: number) => Effect.map(Effect.repeatN(run(sql), count - 1), () => process.memoryUsage.rss())
        const before = yield* runs(5_000)
        const after = yield* runs(25_000)
        // About 100 MiB where what is left of them is never freed.
        assert.isBelow((after - before) / 2 ** 20, 75)
      }).pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:", engine: "portable" }))),
    120_000
  )
}
