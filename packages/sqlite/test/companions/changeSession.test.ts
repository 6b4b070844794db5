import { afterAll, assert, it } from "@effect/vitest"
import type { SqlError } from "@effect/sql/SqlError"
import { Changeset, type SqliteClient } from "@sluice/sqlite"
import { Chunk, Effect, Exit, Fiber, Scope, Stream } from "effect"
import { assertIdle, open } from "../conformance/stopping.js"
import { leftovers, onEngines, reasonOf, tempFile } from "../support.js"
import { dump, edits, reference, schema, sorted } from "./changesets.js"

afterAll(() => Effect.runPromise(leftovers))

const create = (sql: SqliteClient.SqliteClient) => Effect.forEach(schema, (text) => sql.unsafe(text))

/** Statements that may fail; a text of several runs on a session of its own. */
const run = (sql: SqliteClient.SqliteClient, text: string) =>
  text.startsWith("begin")
    ? Effect.ignore(sql.withTransaction(Effect.zipRight(sql.unsafe(text.slice(6, -10)), Effect.fail("undone"))))
    : Effect.ignore(sql.unsafe(text))

onEngines("changes of a session", (engine) => {
  it.scopedLive("what SQLite's own session extension records of the same random edits", () =>
    Effect.gen(function* () {
      for (const seed of [1, 2, 3, 4]) {
        const sql = yield* open(engine)
        const sqlite = yield* reference
        yield* create(sql)
        sqlite.exec(schema.join(";"))
        const before = edits(100 + seed, 30)
        const during = edits(seed, 120)
        const exec = (text: string) => {
          try {
            sqlite.exec(text)
          } catch {
            // Both refuse it.
          }
        }
        for (const text of before) {
          yield* run(sql, text)
          exec(text)
        }
        const session = yield* sql.changeSession()
        const theirs = sqlite.createSession()
        for (const text of during) {
          yield* run(sql, text)
          exec(text)
        }
        assert.deepStrictEqual(yield* sorted(yield* session.changeset), yield* sorted(theirs.changeset()))
        assert.deepStrictEqual(yield* sorted(yield* session.patchset), yield* sorted(theirs.patchset()))
        assert.deepStrictEqual(
          yield* sql.unsafe(dump),
          sqlite
            .prepare(dump)
            .all()
            .map((row) => ({ ...(row as object) }))
        )
      }
    })
  )

  it.scopedLive("row 91: the changeset is what its stream gives in blocks of one byte", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile, readers: 1 })
      yield* sql`create table t (id integer primary key, v)`
      yield* sql`insert into t values (1, 'one'), (2, 'two')`
      const session = yield* sql.changeSession()
      assert.isTrue(yield* session.isEmpty)
      assert.strictEqual((yield* session.changeset).length, 0)
      yield* sql`insert into t values (3, zeroblob(300))`
      yield* sql`update t set v = 1.5 where id = 1`
      yield* sql`delete from t where id = 2`
      assert.isFalse(yield* session.isEmpty)
      for (const [whole, stream] of [
        [session.changeset, session.changesetStream],
        [session.patchset, session.patchsetStream]
      ] as const) {
        const bytes = yield* whole
        const parts = Chunk.toReadonlyArray(yield* Stream.runCollect(stream({ blockSize: 1 })))
        assert.strictEqual(parts.length, bytes.length)
        assert.deepStrictEqual(new Uint8Array(Buffer.concat(parts)), bytes)
        assert.strictEqual((yield* Stream.runCollect(stream())).length, 1)
        assert.strictEqual((yield* Stream.runCollect(stream({ blockSize: 100 }))).length, Math.ceil(bytes.length / 100))
        for (const blockSize of [0, -1, 1.5, NaN, Infinity]) {
          const failure = yield* reasonOf(Stream.runDrain(stream({ blockSize })))
          assert.strictEqual(failure.reason, "InvalidParameter")
        }
      }
      assert.deepStrictEqual(
        (yield* Changeset.changes(yield* session.changeset)).map((change) => [
          change.operation,
          change.old,
          change.new
        ]),
        [
          ["insert", [], [3n, new Uint8Array(300)]],
          ["update", [1n, "one"], [undefined, 1.5]],
          ["delete", [2n, "two"], []]
        ]
      )
      // All put back: nothing has changed.
      yield* sql`delete from t`
      yield* sql`insert into t values (1, 'one'), (2, 'two')`
      assert.isTrue(yield* session.isEmpty)
      // Its triggers do not keep reads from the readers.
      assert.deepStrictEqual(yield* sql`select count(*) as n from t`, [{ n: 2 }])
      assert.deepStrictEqual(yield* sql`select count(*) as n from t`, [{ n: 2 }])
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("some tables, another database, the mark of indirect changes", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql.attach(":memory:", "other")
      for (const name of ["a", "b", "c", "other.a"]) {
        yield* sql.unsafe(`create table ${name} (id integer primary key, v)`)
      }
      const some = yield* sql.changeSession({ tables: ["A", "c"] })
      const other = yield* sql.changeSession({ schema: "other", indirect: true })
      const all = yield* sql.changeSession()
      for (const name of ["a", "b", "c", "other.a"]) {
        yield* sql.unsafe(`insert into ${name} values (1, 'x')`)
      }
      const told = (session: SqliteClient.ChangeSession) =>
        Effect.map(Effect.flatMap(session.changeset, Changeset.changes), (changes) =>
          changes.map(({ indirect, table }) => [table.name, indirect])
        )
      assert.deepStrictEqual(yield* told(some), [
        ["a", false],
        ["c", false]
      ])
      assert.deepStrictEqual(yield* told(other), [["a", true]])
      assert.deepStrictEqual(yield* told(all), [
        ["a", false],
        ["b", false],
        ["c", false]
      ])
      yield* sql`create table keyless (n)`
      assert.strictEqual((yield* reasonOf(sql.changeSession({ tables: ["nothing"] }))).reason, "SqlSyntax")
      assert.strictEqual((yield* reasonOf(sql.changeSession({ tables: ["keyless"] }))).reason, "Unsupported")
      const names = Array.from({ length: 125 }, (_, i) => `c${i}`).join()
      yield* sql.unsafe(`create table wide (id integer primary key, ${names})`)
      assert.strictEqual((yield* reasonOf(sql.changeSession({ tables: ["wide"] }))).reason, "Unsupported")
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("begins and ends inside transactions, whatever becomes of them", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql`create table t (id integer primary key, v)`
      const kept = yield* sql.changeSession()
      yield* Effect.ignore(
        sql.withTransaction(
          Effect.gen(function* () {
            const inner = yield* sql.changeSession()
            yield* sql`insert into t values (1, 'x')`
            assert.isFalse(yield* inner.isEmpty)
            return yield* Effect.fail(inner)
          })
        )
      )
      assert.isTrue(yield* kept.isEmpty)
      const undone = yield* Effect.flip(
        sql.withTransaction(Effect.flatMap(sql.changeSession(), (inner) => Effect.fail({ inner })))
      ).pipe(Effect.map((failure) => ("inner" in failure ? failure.inner : assert.fail())))
      assert.strictEqual((yield* reasonOf(undone.changeset)).reason, "Unsupported")
      // Ended in a transaction that is undone: the triggers are back, and harmless.
      const scope = yield* Scope.make()
      const ended = yield* Scope.extend(sql.changeSession(), scope)
      yield* Effect.ignore(sql.withTransaction(Effect.zipRight(Scope.close(scope, Exit.void), Effect.fail("undone"))))
      yield* sql`insert into t values (2, 'y')`
      assert.strictEqual((yield* reasonOf(ended.changeset)).reason, "Closed")
      assert.strictEqual((yield* Changeset.changes(yield* kept.changeset)).length, 1)
      const again = yield* sql.changeSession()
      const triggers = yield* sql`select name from temp.sqlite_schema`
      assert.strictEqual(triggers.length, 10)
      yield* sql`insert into t values (3, 'z')`
      assert.strictEqual((yield* Changeset.changes(yield* again.changeset)).length, 1)
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("leaves nothing behind: with its scope, interrupted, beside an open stream", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql`create table t (id integer primary key, v)`
      yield* sql`insert into t values (1, 'x'), (2, 'y'), (3, 'z')`
      const recording = yield* Effect.fork(Effect.scoped(Effect.zipRight(sql.changeSession(), Effect.never)))
      yield* Effect.sleep(50)
      const triggers = sql<{ n: number }>`select count(*) as n from temp.sqlite_schema`
      assert.deepStrictEqual(yield* triggers, [{ n: 5 }])
      yield* Fiber.interrupt(recording)
      assert.deepStrictEqual(yield* triggers, [{ n: 0 }])
      yield* Stream.runForEach(sql`select * from t`.stream, () =>
        Effect.scoped(
          Effect.flatMap(sql.changeSession(), (session) =>
            Effect.zipRight(sql`update t set v = v || '!' where id = 1`, session.changeset)
          )
        )
      ).pipe(sql.withTransaction)
      assert.deepStrictEqual(yield* triggers, [{ n: 0 }])
      yield* sql`insert into t values (4, 'w')`
      yield* assertIdle(sql)
    })
  )

  it.scopedLive("what cannot be recorded any more is told", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine, { filename: yield* tempFile })
      yield* sql`create table t (id integer primary key, v)`
      const session = yield* sql.changeSession()
      yield* sql`insert into t values (1, 'x')`
      assert.strictEqual((yield* Changeset.changes(yield* session.changeset))[0]?.operation, "insert")
      const module = yield* sql.workerModule<{ readonly end: () => void }>(
        new URL("data:text/javascript,export const end = () => process.exit(1)")
      )
      yield* Effect.ignore(module.runInWorker("end"))
      assert.strictEqual((yield* reasonOf(session.changeset)).reason, "SessionLost")
      yield* assertIdle(sql)
    })
  )

  const altered = {
    "is made anew": [
      "create table n (k text primary key, v text)",
      "insert into n select k, v from t",
      "drop table t",
      "alter table n rename to t",
      "delete from t"
    ],
    "is dropped": ["drop table t"],
    "gets a column": ["alter table t add column w default 5", "update t set w = 9"],
    "gets another name": ["alter table t rename to u", "insert into u values ('q', 'r')"],
    "gets another name for a column": ["alter table t rename column v to w", "insert into t values ('q', 'r')"],
    "gets a unique index": ["create unique index u on t (v)", "insert or replace into t values ('q', 'b')"]
  }

  for (const [what, texts] of Object.entries(altered)) {
    it.scopedLive(`of several tables one ${what}: the recording fails and names it, statements do not`, () =>
      Effect.gen(function* () {
        const sql = yield* open(engine)
        yield* sql`create table o (k text primary key, v text)`
        yield* sql`create table t (k text primary key, v text)`
        yield* sql`insert into t values ('a', 'b')`
        const session = yield* sql.changeSession()
        yield* sql`update t set v = 'b' || v`
        yield* sql`update t set v = 'b'`
        // What is undone does not matter.
        yield* Effect.ignore(
          sql.withTransaction(
            Effect.zipRight(
              Effect.forEach(texts, (text) => sql.unsafe(text)),
              Effect.fail("undone")
            )
          )
        )
        assert.isTrue(yield* session.isEmpty)
        yield* Effect.forEach([...texts, "insert into o values ('x', 'y')"], (text) => sql.unsafe(text))
        for (const ask of [session.changeset, session.patchset, session.isEmpty]) {
          const failure = yield* reasonOf(ask as Effect.Effect<unknown, SqlError>)
          assert.strictEqual(failure.reason, "Unsupported")
          assert.include(failure.message, "nothing is recorded any more of t:")
        }
        yield* assertIdle(sql)
      })
    )
  }

  it.scopedLive("texts that no string can tell, with NUL, and keys that NEW does not tell as they are stored", () =>
    Effect.gen(function* () {
      const tables = [
        "create table t (k text primary key, v)",
        "create table parent (id text primary key, v)",
        "create table child (id integer primary key references parent deferrable initially deferred) without rowid",
        "insert into t values (cast(x'61ff' as text), 1), ('a', 'keep'), ('a' || char(0) || 'b', 'one'), (x'6161', 'blob')"
      ]
      const edit = [
        "insert into t values (cast(x'61fe' as text), 'two'), ('z', cast(x'80' as text)), ('q' || char(0) || 'x', char(0)), ('b', char(65533))",
        "update t set v = cast(x'f09f98' as text) where k = cast(x'61ff' as text)",
        "update t set v = cast(x'f09f98' as blob) where k = 'a'",
        "delete from t where k = 'a' || char(0) || 'b'",
        "begin; insert into child values (1); insert into parent values ('1', 2); commit",
        "update parent set v = 3"
      ]
      const [source, target] = [yield* open(engine), yield* open(engine)]
      const sqlite = yield* reference
      for (const text of tables) {
        yield* source.unsafe(text)
        yield* target.unsafe(text)
        sqlite.exec(text)
      }
      const content = (sql: SqliteClient.SqliteClient) =>
        sql`select typeof(k), hex(k), typeof(v), hex(v) from t union all select 'parent', id, typeof(id), v from parent order by 1, 2`
          .values
      const start = yield* content(source)
      const session = yield* source.changeSession()
      const theirs = sqlite.createSession({ table: "t" })
      for (const text of edit) {
        sqlite.exec(text)
        yield* text.startsWith("begin") ? source.withTransaction(source.unsafe(text.slice(6, -8))) : source.unsafe(text)
      }
      const [changeset, patchset] = [yield* session.changeset, yield* session.patchset]
      const ofT = (rows: ReadonlyArray<string>) => rows.filter((row) => row.startsWith('["t"'))
      assert.deepStrictEqual(ofT(yield* sorted(changeset)), yield* sorted(theirs.changeset()))
      assert.deepStrictEqual(ofT(yield* sorted(patchset)), yield* sorted(theirs.patchset()))
      assert.deepStrictEqual(yield* sorted(yield* Changeset.concat(changeset)), yield* sorted(changeset))
      assert.deepStrictEqual(
        (yield* Changeset.changes(changeset))
          .filter(({ table }) => table.name !== "t")
          .map(({ new: after, operation, table }) => [table.name, operation, ...after]),
        [
          ["child", "insert", 1n],
          ["parent", "insert", "1", 3n]
        ]
      )
      yield* target.applyChangeset(changeset)
      assert.deepStrictEqual(yield* content(target), yield* content(source))
      yield* target.applyChangeset(yield* Changeset.invert(changeset))
      assert.deepStrictEqual(yield* content(target), start)
      yield* target.applyChangeset(patchset)
      assert.deepStrictEqual(yield* content(target), yield* content(source))
      yield* assertIdle(source)
    })
  )

  it.scopedLive("a database of UTF-16", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      yield* sql`pragma encoding = 'UTF-16'`
      yield* sql`create table t (k text primary key, v)`
      const session = yield* sql.changeSession()
      yield* sql`insert into t values ('é😀' || char(0) || 'b', 'x'), ('b', x'41')`
      assert.deepStrictEqual(
        (yield* Changeset.changes(yield* session.changeset)).map((change) => change.new),
        [
          ["é😀\0b", "x"],
          ["b", new Uint8Array([0x41])]
        ]
      )
      const other = yield* open(engine)
      yield* other`create table t (k text primary key, v text)`
      yield* other`insert into t values (cast(x'ff' as text), 'x')`
      const raw = yield* other.changeSession()
      yield* other`delete from t`
      assert.strictEqual((yield* reasonOf(sql.applyChangeset(yield* raw.changeset))).reason, "InvalidParameter")
      yield* assertIdle(sql)
    })
  )

  const hidden: ReadonlyArray<{
    readonly what: string
    readonly before: ReadonlyArray<string>
    readonly edit: string
  }> = [
    {
      what: "a key that is another one, but the same for its collation",
      before: ["create table t (k text collate nocase primary key, v)", "insert into t values ('A', 1), ('b', 2)"],
      edit: "update t set k = 'a' where k = 'A'; delete from t where k = 'b'; insert into t values ('B', 2)"
    },
    {
      what: "the same without rowid",
      before: ["create table t (k text collate nocase primary key, v) without rowid", "insert into t values ('A', 1)"],
      edit: "update t set k = 'a', v = 2"
    },
    {
      what: "a key that is the same as a number",
      before: ["create table t (k primary key, v)", "insert into t values (1, 1)"],
      edit: "update t set k = 1.0"
    },
    {
      what: "a row displaced for an index over an expression",
      before: [
        "create table t (id integer primary key, e text)",
        "create unique index u on t (lower(e))",
        "insert into t values (1, 'A'), (2, 'B'), (3, 'C')"
      ],
      edit: "insert or replace into t values (4, 'a'); update or replace t set e = 'b' where id = 3"
    },
    {
      what: "a row displaced for an index over columns and expressions, with all that may stand between",
      before: [
        "create table t (id integer primary key, e text, f, g as (f + 1))",
        `create unique index u on t (replace(lower(e), ',', '(') /* , ( */ || 'x)' collate nocase desc, "g" asc) where f > 0`,
        "insert into t (id, e, f) values (1, 'A', 1), (3, 'A', 2)"
      ],
      edit: "update or replace t set f = 1 where id = 3"
    },
    {
      what: "a row displaced for a default that takes the place of NULL",
      before: [
        "create table t (id integer primary key, u text not null default 'x' unique)",
        "insert into t values (1, 'x'), (2, 'y')"
      ],
      edit: "insert or replace into t values (3, null)"
    },
    {
      what: "a row displaced for what is computed of a default",
      before: [
        "create table t (id integer primary key, u text not null default 'x', g as (upper(u)) unique)",
        "create unique index v on t (u || '!')",
        "insert into t (id, u) values (1, 'x'), (2, 'y')"
      ],
      edit: "update or replace t set u = null where id = 2"
    }
  ]

  for (const { before, edit, what } of hidden) {
    it.scopedLive(`${what} is in the changeset`, () =>
      Effect.gen(function* () {
        const [source, target] = [yield* open(engine), yield* open(engine)]
        for (const sql of [source, target]) {
          yield* Effect.forEach(before, (text) => sql.unsafe(text))
        }
        // The type of the first column, too.
        const rows = (sql: SqliteClient.SqliteClient) =>
          sql`select *, typeof(${sql(before[0]!.includes("(k ") ? "k" : "id")}) from t order by 1`.values
        const start = yield* rows(source)
        const session = yield* source.changeSession()
        yield* source.unsafe(edit)
        const changeset = yield* session.changeset
        yield* target.applyChangeset(changeset)
        assert.deepStrictEqual(yield* rows(target), yield* rows(source))
        assert.notDeepEqual(yield* rows(target), start)
        yield* target.applyChangeset(yield* Changeset.invert(changeset))
        assert.deepStrictEqual(yield* rows(target), start)
        yield* target.applyChangeset(yield* session.patchset)
        assert.deepStrictEqual(yield* rows(target), yield* rows(source))
      })
    )
  }
})
