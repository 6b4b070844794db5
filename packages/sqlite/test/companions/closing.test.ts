import { afterAll, assert, it } from "@effect/vitest"
import { SqlFailure } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import { Context, Effect, Either, Exit, Layer, Option, Scope, Stream } from "effect"
import { layerOf, leftovers, onEngines, openFiles, reasonOf, tempFile, workersAlive } from "../support.js"

afterAll(() => Effect.runPromise(leftovers))

onEngines("closing with companions", (engine) => {
  it.scopedLive("row 34: with an open stream, blob, session and backup: all closed, then usable errors", () =>
    Effect.gen(function* () {
      const filename = yield* tempFile
      const client = yield* Scope.make()
      const context = yield* Layer.buildWithScope(layerOf(engine, { filename, prefetch: 2 }), client)
      const sql = Context.get(context, SqliteClient.SqliteClient)
      yield* sql`create table t (id integer primary key, b blob)`
      yield* sql`insert into t select value, zeroblob(5000) from json_each('[1, 2, 3, 4, 5]')`
      const blob = engine === "native" ? yield* sql.blob({ table: "t", column: "b", rowid: 1, write: true }) : undefined
      const session = yield* sql.changeSession()
      yield* sql`insert into t values (6, null)`
      yield* blob?.write(0, new Uint8Array([1])) ?? Effect.void
      const steps = yield* Stream.toPull(sql.backupStream(yield* tempFile, { pages: 1 }))
      assert.strictEqual((yield* steps).length, 1)
      const rows = yield* Stream.toPull(sql`select * from t`.stream)
      assert.isAbove((yield* rows).length, 0)
      yield* blob?.read(0, 5000) ?? Effect.void

      yield* Scope.close(client, Exit.void)
      assert.strictEqual(workersAlive(), 0)
      assert.deepStrictEqual(openFiles(), [])

      const pulled = <A>(pull: Effect.Effect<A, Option.Option<unknown>>) =>
        Effect.map(Effect.either(pull), (result) =>
          Either.isLeft(result) ? SqlFailure.from(Option.getOrUndefined(result.left)).reason : "an answer"
        )
      assert.strictEqual(yield* pulled(rows), "Closed")
      if (engine === "native") {
        assert.strictEqual(yield* pulled(steps), "Closed")
      }
      const uses: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        session.changeset,
        session.isEmpty,
        Stream.runDrain(session.patchsetStream()),
        sql.applyChangeset(new Uint8Array(0)),
        Effect.scoped(sql.changeSession()),
        ...(blob === undefined
          ? []
          : [
              blob.read(0, 1),
              blob.write(0, new Uint8Array(1)),
              blob.reopen(2),
              Stream.runDrain(blob.stream()),
              Stream.run(Stream.make(new Uint8Array(1)), blob.sink()),
              Effect.scoped(sql.blob({ table: "t", column: "b", rowid: 1 }))
            ])
      ]
      for (const use of uses) {
        assert.strictEqual((yield* reasonOf(use)).reason, "Closed")
      }
      // All of it was committed, and nothing is locked.
      const again = yield* Layer.build(layerOf(engine, { filename }))
      const other = Context.get(again, SqliteClient.SqliteClient)
      assert.deepStrictEqual(yield* other`select count(*) as n from t`, [{ n: 6 }])
      yield* other`drop table t`
    })
  )
})
