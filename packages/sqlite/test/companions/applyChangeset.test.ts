import { afterAll, assert, it } from "@effect/vitest"
import { SqlClient, SqlFailure } from "@sluice/sql"
import { Changeset, type SqliteClient } from "@sluice/sqlite"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Option, Stream } from "effect"
import { assertIdle, open, random } from "../conformance/stopping.js"
import { leftovers, onEngines, reasonOf, tempFile } from "../support.js"
import { dump, edits, reference, schema, sorted } from "./changesets.js"

afterAll(() => Effect.runPromise(leftovers))

const run = (sql: SqliteClient.SqliteClient, texts: ReadonlyArray<string>) =>
  Effect.forEach(texts, (text) => (text.startsWith("begin") ? Effect.void : Effect.ignore(sql.unsafe(text))), {
    discard: true
  })

/** Without the trigger: what it does is in the changeset already. */
const quiet = schema.filter((text) => !text.startsWith("create trigger"))

const exec = (database: { readonly exec: (text: string) => void }, text: string) => {
  try {
    database.exec(text)
  } catch {
    // Refused there as here.
  }
}

/** What `edit` changes in a table `t (id, v, w unique)`. */
const changesetOf = (
  sql: SqliteClient.SqliteClient,
  edit: Effect.Effect<unknown, unknown>,
  kind: "changeset" | "patchset" = "changeset"
) => Effect.scoped(Effect.flatMap(sql.changeSession(), (session) => Effect.zipRight(Effect.orDie(edit), session[kind])))

const create = (sql: SqliteClient.SqliteClient) =>
  Effect.zipRight(
    sql`create table t (id integer primary key, v text, w unique)`,
    sql`insert into t values (1, 'one', 10), (2, 'two', 20), (3, 'three', 30)`
  )

const rows = (sql: SqliteClient.SqliteClient) => sql`select * from t order by id`.values

class Policy extends Context.Tag("Policy")<Policy, SqliteClient.Resolution>() {}

onEngines("applying changesets", (engine) => {
  it.scopedLive("random edits: the same as by SQLite itself, there and back again", () =>
    Effect.gen(function* () {
      for (const seed of [11, 12, 13]) {
        const before = edits(200 + seed, 40)
        const [source, target] = [yield* open(engine), yield* open(engine)]
        const [ours, theirs] = [yield* reference, yield* reference]
        yield* run(source, [...schema, ...before])
        for (const text of [...schema, ...before]) {
          exec(ours, text)
          exec(theirs, text)
        }
        const start = yield* source.unsafe(dump)
        yield* run(target, quiet)
        const all = Effect.forEach(["people", "pairs", "words", "log"], (name) =>
          Effect.map(source.unsafe(`select * from ${name}`).values, (rows) => ({ name, rows }))
        )
        for (const { name, rows } of yield* Effect.provideService(all, SqlClient.SafeIntegers, true)) {
          for (const row of rows) {
            const places = row.map((value) => (typeof value === "number" ? "cast(? as real)" : "?"))
            yield* target.unsafe(`insert into ${name} values (${places.join()})`, row)
          }
        }
        assert.deepStrictEqual(yield* target.unsafe(dump), start)
        const session = yield* source.changeSession()
        yield* run(source, edits(seed, 80))
        const [first, patchset] = [yield* session.changeset, yield* session.patchset]
        const end = yield* source.unsafe(dump)
        exec(ours, "drop trigger audit")
        exec(theirs, "drop trigger audit")
        assert.isTrue(ours.applyChangeset(first))
        assert.deepStrictEqual(
          ours
            .prepare(dump)
            .all()
            .map((row) => ({ ...(row as object) })),
          end
        )
        assert.isTrue(theirs.applyChangeset(patchset))
        assert.deepStrictEqual(
          theirs
            .prepare(dump)
            .all()
            .map((row) => ({ ...(row as object) })),
          end
        )
        const applied = yield* target.applyChangeset(Stream.fromIterable([first.slice(0, 7), first.slice(7)]))
        assert.strictEqual(applied.applied, (yield* Changeset.changes(first)).length)
        assert.deepStrictEqual(yield* target.unsafe(dump), end)
        // Back by the inverse, here and in SQLite.
        const inverse = yield* Changeset.invert(first)
        yield* target.applyChangeset(inverse)
        assert.deepStrictEqual(yield* target.unsafe(dump), start)
        assert.isTrue(ours.applyChangeset(inverse))
        assert.deepStrictEqual(
          ours
            .prepare(dump)
            .all()
            .map((row) => ({ ...(row as object) })),
          start
        )
        assert.deepStrictEqual(yield* sorted(yield* Changeset.invert(inverse)), yield* sorted(first))
        yield* target.applyChangeset(patchset)
        assert.deepStrictEqual(yield* target.unsafe(dump), end)
      }
    }).pipe(Effect.timeout("60 seconds"))
  )

  it.scopedLive("foreign keys that act on rows of the changeset: their actions are in it already", () =>
    Effect.gen(function* () {
      const tables = [
        "create table authors (id integer primary key, code text unique collate nocase)",
        "create table books (id integer primary key, author integer references authors on update cascade on delete cascade," +
          " code text references authors (code) on update cascade on delete set null," +
          " next integer references books on update cascade on delete cascade)",
        "create table pages (book integer default 1 references books on update cascade on delete set default, n integer, primary key (n)) without rowid"
      ]
      const fill = [
        "insert into authors values (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')",
        "insert into books values (1, null, null, null), (2, 1, 'B', null), (3, 1, 'a', 2), (4, 2, 'b', 3), (5, 3, 'A', 4), (6, 3, 'c', 6)",
        "insert into pages values (1, 1), (2, 2), (2, 3), (4, 4), (5, 5), (6, 6)"
      ]
      const content = (sql: SqliteClient.SqliteClient) =>
        Effect.forEach(
          ["authors", "books", "pages"],
          (name) => sql.unsafe(`select * from ${name} order by 1, 2`).values
        )
      const fixed = [
        ["delete from authors where id = 1"],
        ["update authors set id = 9 where id = 3"],
        ["delete from books where id = 2"],
        ["update books set id = 20 where id = 2"],
        // What an action would look for is at another row by then.
        ["update authors set code = 'x' where id = 1", "update authors set code = 'a' where id = 2"],
        [
          "delete from authors where code = 'a'",
          "insert into authors values (7, 'a')",
          "insert into books values (8, 7, 'a', 8)"
        ],
        ["update books set next = 5 where id = 2", "delete from books where id = 5"]
      ]
      const below = (
        (next) => (n: number) =>
          Math.floor(next() * n)
      )(random(71))
      const kinds = [
        () => `delete from authors where id = ${below(6)}`,
        () => `update or ignore authors set id = ${below(9)} where id = ${below(6)}`,
        () => `update or ignore authors set code = '${"abcdef"[below(6)]}' where id = ${below(6)}`,
        () => `insert or ignore into authors values (${below(9)}, '${"abcdef"[below(6)]}')`,
        () => `delete from books where id = ${below(9)}`,
        () => `update or ignore books set id = ${below(9)}, next = ${below(9)} where id = ${below(9)}`,
        () => `insert or ignore into books values (${below(12)}, ${below(6)}, '${"abcdef"[below(6)]}', ${below(9)})`,
        () => `insert or ignore into pages values (${below(9)}, ${below(12)})`
      ]
      const rounds = Array.from({ length: 12 }, () => Array.from({ length: 8 }, () => kinds[below(kinds.length)]!()))
      for (const edit of [...fixed, ...rounds]) {
        const [source, target] = [yield* open(engine), yield* open(engine)]
        for (const text of [...tables, ...fill]) {
          yield* source.unsafe(text)
          yield* target.unsafe(text)
        }
        const start = yield* content(source)
        const session = yield* source.changeSession()
        yield* run(source, edit)
        const end = yield* content(source)
        const [changeset, patchset] = [yield* session.changeset, yield* session.patchset]
        assert.strictEqual((yield* target.applyChangeset(changeset)).omitted, 0, edit.join())
        assert.deepStrictEqual(yield* content(target), end, edit.join())
        yield* target.applyChangeset(yield* Changeset.invert(changeset))
        assert.deepStrictEqual(yield* content(target), start, edit.join())
        // Beside an open stream in a transaction.
        yield* target.withTransaction(
          Stream.runForEach(Stream.take(target`select 1`.stream, 1), () => target.applyChangeset(patchset))
        )
        assert.deepStrictEqual(yield* content(target), end, edit.join())
        assert.deepStrictEqual(yield* target`select name from temp.sqlite_schema where type = 'trigger'`, [])
        yield* assertIdle(target)
      }
    }).pipe(Effect.timeout("120 seconds"))
  )

  it.scopedLive("foreign keys act for everything else, and are looked at when the changeset is committed", () =>
    Effect.gen(function* () {
      const [source, target] = [yield* open(engine), yield* open(engine)]
      for (const sql of [source, target]) {
        yield* sql`create table authors (id integer primary key, name)`
        yield* sql`create table books (id integer primary key, author integer references authors on delete cascade)`
        yield* sql`insert into authors values (1, 'a'), (2, 'b'), (3, 'c')`
        yield* sql`insert into books values (10, 1), (20, 2), (30, 3)`
      }
      const changeset = yield* changesetOf(source, source`delete from authors where id = 1`)
      yield* target`update authors set name = 'mine' where id = 1`
      // What is the receiver's own: its triggers, its handler's statements, and rows that are in the way.
      yield* target`create trigger mine after delete on authors when old.id = 1 begin delete from books where id = 20; end`
      yield* target`create table notes (author integer references authors on delete cascade)`
      yield* target`insert into notes values (1), (3)`
      const apply = target.applyChangeset(changeset, {
        onConflict: () => Effect.as(Effect.orDie(target`delete from authors where id = 3`), "replace" as const)
      })
      assert.strictEqual((yield* reasonOf(apply)).reason, "Constraint")
      assert.strictEqual((yield* target`select * from books`).length, 3)
      assert.deepStrictEqual(yield* target`select name from temp.sqlite_schema`, [])
      yield* target.withTransaction(Effect.zipRight(apply, target`delete from notes where author = 1`))
      assert.deepStrictEqual(yield* target`select * from authors`.values, [[2, "b"]])
      assert.deepStrictEqual(yield* target`select * from books`.values, [])
      assert.deepStrictEqual(yield* target`select * from notes`.values, [])
      assert.deepStrictEqual(yield* target`select name from temp.sqlite_schema`, [])
      yield* assertIdle(target)
    })
  )

  it.scopedLive("foreign keys of two tables whose names differ in the case of a letter beyond ASCII", () =>
    Effect.gen(function* () {
      const [source, target] = [yield* open(engine), yield* open(engine)]
      for (const sql of [source, target]) {
        yield* sql.unsafe('create table "Ä" (id integer primary key, up references "Ä" on delete cascade)')
        yield* sql.unsafe('create table "ä" (id integer primary key, up references "Ä" on delete cascade)')
        yield* sql.unsafe('insert into "Ä" values (1, null)')
      }
      const changeset = yield* changesetOf(source, source.unsafe('delete from "Ä"'))
      // With the same key as the row that goes, which it refers to.
      yield* target.unsafe('insert into "ä" values (1, 1)')
      assert.strictEqual((yield* reasonOf(target.applyChangeset(changeset))).reason, "Constraint")
      assert.deepStrictEqual(yield* target.unsafe('select * from "ä"').values, [[1, 1]])
    })
  )

  it.scopedLive("foreign keys that act cost no readers", () =>
    Effect.gen(function* () {
      const source = yield* open(engine)
      const target = yield* open(engine, { filename: yield* tempFile, readers: 1 })
      for (const sql of [source, target]) {
        yield* run(sql, [
          "create table author (id integer primary key)",
          "create table book (id integer primary key, author references author on delete cascade)",
          "insert into author values (1), (2)",
          "insert into book values (1, 1), (2, 2)"
        ])
      }
      const count = target`select count(*) from book`.values
      assert.deepStrictEqual(yield* count, [[2]])
      yield* target.applyChangeset(yield* changesetOf(source, source`delete from author where id = 1`))
      const [begun, seen] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const writing = yield* Effect.fork(
        target.withTransaction(
          target`delete from book`.pipe(
            Effect.zipRight(Deferred.succeed(begun, undefined)),
            Effect.zipRight(Deferred.await(seen))
          )
        )
      )
      yield* Deferred.await(begun)
      assert.deepStrictEqual(yield* Effect.timeout(count, "5 seconds"), [[1]])
      yield* Deferred.succeed(seen, undefined)
      yield* Fiber.join(writing)
    })
  )

  it.scopedLive("an insert that a trigger passes over is made, as SQLite has it", () =>
    Effect.gen(function* () {
      const [source, target] = [yield* open(engine), yield* open(engine)]
      yield* create(source)
      yield* create(target)
      yield* target`create trigger passes before insert on t when new.id = 4 begin select raise(ignore); end`
      const changeset = yield* changesetOf(source, source`insert into t values (4, 'four', 40), (5, 'five', 50)`)
      assert.deepStrictEqual(yield* target.applyChangeset(changeset), { applied: 2, replaced: 0, omitted: 0 })
      assert.deepStrictEqual(yield* target`select id from t where id > 3`.values, [[5]])
      yield* assertIdle(target)
    })
  )

  it.scopedLive("thousands of changes, of all sizes, with conflicts here and there", () =>
    Effect.gen(function* () {
      const count = 1_500
      const [source, target] = [yield* open(engine), yield* open(engine)]
      for (const sql of [source, target]) {
        yield* sql`create table t (id integer primary key, v, w real)`
      }
      // Texts of such lengths that buffers of any size end within a number.
      const values = (i: number) => [i, i % 7 === 0 ? 2n ** 60n + BigInt(i) : "x".repeat(i % 61), i + 0.5]
      const recorded = (edit: Effect.Effect<unknown, unknown>) =>
        Effect.scoped(
          Effect.flatMap(source.changeSession(), (session) => Effect.zipRight(Effect.orDie(edit), session.changeset))
        )
      const inserts = yield* recorded(
        source.many(
          "insert into t values (?, ?, ?)",
          Array.from({ length: count }, (_, i) => values(i))
        )
      )
      assert.deepStrictEqual(yield* target.applyChangeset(inserts), { applied: count, replaced: 0, omitted: 0 })
      const all = (sql: SqliteClient.SqliteClient) =>
        Effect.provideService(sql`select id, v, w, typeof(w) from t order by id`.values, SqlClient.SafeIntegers, true)
      assert.deepStrictEqual(yield* all(target), yield* all(source))
      const mixed = yield* recorded(
        source.batch([
          "update t set v = v || 'y' where id % 3 = 0",
          "delete from t where id % 3 = 1",
          "update t set w = w + 1 where id % 3 = 2"
        ])
      )
      yield* target`update t set v = 'other' where id % 300 = 0`
      yield* target`delete from t where id % 300 = 1`
      const asked: Array<string> = []
      const applied = yield* target.applyChangeset(mixed, {
        onConflict: ({ old, type }) =>
          Effect.sync(() => {
            asked.push(`${type} ${String(old.id)}`)
            return type === "data" ? ("replace" as const) : ("omit" as const)
          })
      })
      const conflicts = [0, 300, 600, 900, 1200]
      assert.sameMembers(
        asked,
        conflicts.flatMap((id) => [`data ${id}`, `notFound ${id + 1}`])
      )
      assert.deepStrictEqual(applied, { applied: count - 5, replaced: 5, omitted: 5 })
      assert.deepStrictEqual(yield* all(target), yield* all(source))
      // All of it again meets a conflict each time; the first one that aborts undoes the others.
      let [answers, before] = [0, yield* all(target)]
      const aborted = yield* reasonOf(
        target.applyChangeset(mixed, {
          onConflict: () => Effect.sync(() => (++answers < 100 ? ("omit" as const) : ("abort" as const)))
        })
      )
      assert.strictEqual(aborted.reason, "Constraint")
      assert.strictEqual(answers, 100)
      assert.deepStrictEqual(yield* all(target), before)
      // A trigger that ends the transaction in their middle.
      yield* target`create trigger ends before insert on t when new.id = 1200 begin select raise(rollback, 'ended'); end`
      yield* target`delete from t`
      before = yield* all(target)
      const gone = yield* reasonOf(target.applyChangeset(inserts, { onConflict: () => Effect.succeed("omit") }))
      assert.include(["TransactionGone", "Constraint"], gone.reason)
      assert.deepStrictEqual(yield* all(target), before)
      const late = yield* reasonOf(target.applyChangeset(inserts).pipe(SqlClient.withDeadline("1 millis")))
      assert.strictEqual(late.reason, "StatementTimeout")
      assert.deepStrictEqual(yield* all(target), before)
      yield* assertIdle(target)
    })
  )

  it.scopedLive("concatenated changesets do what they do one after the other", () =>
    Effect.gen(function* () {
      for (const seed of [21, 22, 23]) {
        const source = yield* open(engine)
        const sqlite = yield* reference
        yield* run(source, [...schema, ...edits(300 + seed, 30)])
        for (const text of [...schema, ...edits(300 + seed, 30)]) {
          exec(sqlite, text)
        }
        exec(sqlite, "drop trigger audit")
        const whole = yield* source.changeSession()
        const parts: Array<readonly [Uint8Array, Uint8Array]> = []
        for (let part = 0; part < 4; part++) {
          const session = yield* source.changeSession()
          yield* run(source, edits(seed * 10 + part, 25))
          parts.push([yield* session.changeset, yield* session.patchset])
        }
        const end = yield* source.unsafe(dump)
        const together = yield* Changeset.concat(...parts.map(([changeset]) => changeset))
        assert.deepStrictEqual(yield* sorted(together), yield* sorted(yield* whole.changeset))
        assert.isTrue(sqlite.applyChangeset(together))
        assert.deepStrictEqual(
          sqlite
            .prepare(dump)
            .all()
            .map((row) => ({ ...(row as object) })),
          end
        )
        const back = yield* Changeset.invert(together)
        assert.isTrue(sqlite.applyChangeset(back))
        assert.isTrue(sqlite.applyChangeset(yield* Changeset.concat(...parts.map(([, patchset]) => patchset))))
        assert.deepStrictEqual(
          sqlite
            .prepare(dump)
            .all()
            .map((row) => ({ ...(row as object) })),
          end
        )
        assert.strictEqual((yield* Changeset.concat(together, back)).length, 0)
      }
    }).pipe(Effect.timeout("60 seconds"))
  )

  it.scopedLive(
    "row 92: conflicts answered with omit, replace and abort, by an Effect with the caller's services",
    () =>
      Effect.gen(function* () {
        const [source, target] = [yield* open(engine), yield* open(engine)]
        yield* create(source)
        const changeset = yield* changesetOf(
          source,
          Effect.all([
            source`update t set v = 'ONE' where id = 1`,
            source`delete from t where id = 2`,
            source`update t set v = 'THREE' where id = 3`,
            source`insert into t values (4, 'four', 40)`,
            source`insert into t values (5, 'five', 50)`
          ])
        )
        const divergent = Effect.all([
          target`drop table if exists t`,
          create(target),
          target`update t set v = 'mine' where id in (1, 2)`,
          target`delete from t where id = 3`,
          target`insert into t values (4, 'mine', 41), (9, 'mine', 50)`
        ])
        const apply = (seen: Array<SqliteClient.Conflict>) =>
          target.applyChangeset(changeset, {
            onConflict: (conflict) =>
              Effect.gen(function* () {
                seen.push(conflict)
                yield* Effect.sleep(5)
                // In the same transaction, so it sees what has been done so far.
                yield* target`select count(*) from t`
                const policy = yield* Policy
                return conflict.type === "notFound" || conflict.type === "constraint" ? "omit" : policy
              })
          })

        yield* divergent
        const conflicts: Array<SqliteClient.Conflict> = []
        assert.deepStrictEqual(yield* Effect.provideService(apply(conflicts), Policy, "omit"), {
          applied: 0,
          replaced: 0,
          omitted: 5
        })
        const before = [
          [1, "mine", 10],
          [2, "mine", 20],
          [4, "mine", 41],
          [9, "mine", 50]
        ]
        assert.deepStrictEqual(yield* rows(target), before)
        assert.deepStrictEqual(
          conflicts.map(({ operation, type }) => [type, operation]),
          [
            ["data", "update"],
            ["data", "delete"],
            ["notFound", "update"],
            ["conflict", "insert"],
            ["constraint", "insert"]
          ]
        )
        assert.deepStrictEqual(conflicts[0], {
          type: "data",
          table: "t",
          operation: "update",
          indirect: false,
          old: { id: 1, v: "one" },
          new: { v: "ONE" },
          current: { id: 1, v: "mine", w: 10 }
        })

        yield* divergent
        assert.deepStrictEqual(yield* Effect.provideService(apply([]), Policy, "replace"), {
          applied: 3,
          replaced: 3,
          omitted: 2
        })
        assert.deepStrictEqual(yield* rows(target), [
          [1, "ONE", 10],
          [4, "four", 40],
          [9, "mine", 50]
        ])

        yield* divergent
        const aborted = yield* reasonOf(Effect.provideService(apply([]), Policy, "abort"))
        assert.strictEqual(aborted.reason, "Constraint")
        assert.strictEqual(aborted.code, 4)
        assert.deepStrictEqual(yield* rows(target), before)
        // Without a handler, too.
        assert.strictEqual((yield* reasonOf(target.applyChangeset(changeset))).reason, "Constraint")
        assert.deepStrictEqual(yield* rows(target), before)
        yield* assertIdle(target)
      })
  )

  it.scopedLive("row 92: a handler that fails, dies or is interrupted undoes all, and is told as it is", () =>
    Effect.gen(function* () {
      const [source, target] = [yield* open(engine), yield* open(engine)]
      yield* create(source)
      const changeset = yield* changesetOf(
        source,
        Effect.all([source`insert into t values (4, 'four', 40)`, source`update t set v = 'x' where id = 1`])
      )
      yield* create(target)
      yield* target`update t set v = 'mine' where id = 1`
      const before = yield* rows(target)
      const failure = { _tag: "Mine" as const }
      const failed = yield* Effect.flip(target.applyChangeset(changeset, { onConflict: () => Effect.fail(failure) }))
      assert.strictEqual(failed, failure)
      assert.deepStrictEqual(yield* rows(target), before)
      const defect = new Error("defect")
      const died = yield* Effect.exit(target.applyChangeset(changeset, { onConflict: () => Effect.die(defect) }))
      assert.strictEqual(Exit.isFailure(died) ? Option.getOrUndefined(Cause.dieOption(died.cause)) : undefined, defect)
      assert.deepStrictEqual(yield* rows(target), before)
      const wrong = yield* reasonOf(
        target.applyChangeset(yield* changesetOf(source, source`delete from t where id = 4`), {
          onConflict: () => Effect.succeed("replace" as const)
        })
      )
      assert.strictEqual(wrong.reason, "InvalidParameter")
      const waiting = yield* Effect.fork(target.applyChangeset(changeset, { onConflict: () => Effect.never }))
      yield* Effect.sleep(50)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(waiting)))
      assert.deepStrictEqual(yield* rows(target), before)
      const torn = target.applyChangeset(Stream.concat(Stream.make(changeset), Stream.fail("torn" as const)))
      assert.strictEqual(yield* Effect.flip(torn), "torn")
      assert.deepStrictEqual(yield* rows(target), before)
      // A part of a larger transaction goes with it, and only with it.
      yield* target.withTransaction(
        Effect.gen(function* () {
          yield* target`insert into t values (7, 'outer', 70)`
          yield* Effect.exit(target.applyChangeset(changeset))
          yield* target.applyChangeset(changeset, { onConflict: () => Effect.succeed("omit" as const) })
        })
      )
      assert.deepStrictEqual(
        (yield* rows(target)).map(([id]) => id),
        [1, 2, 3, 4, 7]
      )
      yield* assertIdle(target)
    })
  )

  it.scopedLive("unique values that change places, foreign keys against the order, whole reals, added columns", () =>
    Effect.gen(function* () {
      const [source, target] = [
        yield* open(engine, { filename: yield* tempFile }),
        yield* open(engine, { filename: yield* tempFile })
      ]
      const tables = [
        "create table child (id integer primary key, parent integer references parent)",
        "create table parent (id integer primary key, w unique, any)"
      ]
      for (const sql of [source, target]) {
        yield* run(sql, [...tables, "insert into parent values (1, 1, 1), (2, 2, 2)"])
      }
      yield* target`alter table parent add column more default 7`
      const changeset = yield* changesetOf(
        source,
        source.withTransaction(
          Effect.all([
            source`update parent set w = 3 where id = 1`,
            source`update parent set w = 1, any = 2.0 where id = 2`,
            source`insert into parent values (3, 2, 9007199254740993)`,
            source`insert into child values (1, 3)`
          ])
        )
      )
      yield* target.applyChangeset(changeset)
      assert.deepStrictEqual(
        yield* target`select id, w, cast(any as text) as any, more from parent order by id`.values,
        [
          [1, 3, "1", 7],
          [2, 1, "2.0", 7],
          [3, 2, "9007199254740993", 7]
        ]
      )
      assert.deepStrictEqual(yield* target`select * from child`.values, [[1, 3]])
      const orphan = yield* changesetOf(
        source,
        Effect.zipRight(source`delete from child`, source`delete from parent where id = 3`)
      )
      yield* target`insert into child values (8, 3)`
      const refused = yield* reasonOf(target.applyChangeset(orphan))
      assert.strictEqual(refused.reason, "Constraint")
      assert.deepStrictEqual(yield* target`select id from child`.values, [[1], [8]])
      yield* assertIdle(target)
    })
  )

  it.scopedLive("a filter, another database, and tables that are not as they were", () =>
    Effect.gen(function* () {
      const [source, target] = [yield* open(engine), yield* open(engine)]
      yield* run(source, ["create table a (id integer primary key, v)", "create table b (id integer primary key, v)"])
      const changeset = yield* changesetOf(
        source,
        Effect.zipRight(source`insert into a values (1, 1)`, source`insert into b values (1, 1)`)
      )
      const reason = Effect.map(reasonOf(target.applyChangeset(changeset)), (failure) => failure.reason)
      assert.strictEqual(yield* reason, "InvalidParameter")
      yield* run(target, ["create table a (id integer primary key, v)", "create table b (id integer, v primary key)"])
      assert.strictEqual(yield* reason, "InvalidParameter")
      assert.deepStrictEqual(yield* target`select * from a`, [])
      assert.strictEqual((yield* target.applyChangeset(changeset, { filter: (table) => table === "a" })).applied, 1)
      assert.deepStrictEqual(yield* target`select * from a`.values, [[1, 1]])
      yield* target.attach(":memory:", "other")
      yield* run(target, [
        "create table other.a (id integer primary key, v)",
        "create table other.b (id integer primary key, v)"
      ])
      assert.strictEqual((yield* target.applyChangeset(changeset, { schema: "other" })).applied, 2)
      yield* assertIdle(target)
    })
  )

  it.scopedLive("bytes that are no changeset change nothing", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* create(sql)
      const good = yield* changesetOf(sql, sql`insert into t values (4, 'four', 40)`)
      yield* sql`delete from t where id = 4`
      const before = yield* rows(sql)
      const broken: Array<Uint8Array> = [
        new Uint8Array([1, 2, 3]),
        new Uint8Array([0x54]),
        new Uint8Array([0x54, 0xff])
      ]
      for (let length = 1; length < good.length; length++) {
        // Cut behind the table's header it is a changeset without changes.
        if (length !== 7) {
          broken.push(good.slice(0, length))
        }
      }
      for (const bytes of broken) {
        assert.strictEqual((yield* reasonOf(sql.applyChangeset(bytes))).reason, "InvalidParameter")
        assert.strictEqual((yield* reasonOf(Changeset.invert(bytes))).reason, "InvalidParameter")
        assert.strictEqual((yield* reasonOf(Changeset.concat(good, bytes))).reason, "InvalidParameter")
      }
      assert.deepStrictEqual(yield* rows(sql), before)
      const patchset = yield* changesetOf(sql, sql`delete from t where id = 3`, "patchset")
      assert.strictEqual((yield* reasonOf(Changeset.invert(patchset))).reason, "InvalidParameter")
      assert.strictEqual((yield* reasonOf(Changeset.concat(good, patchset))).reason, "InvalidParameter")
      assert.isTrue(SqlFailure.is("InvalidParameter")(yield* Effect.flip(Changeset.changes(broken[0]!))))
      assert.strictEqual((yield* sql.applyChangeset(new Uint8Array(0))).applied, 0)
      yield* assertIdle(sql)
    })
  )
})
