import { afterAll, assert, describe, it } from "@effect/vitest"
import { Fts5, type SqliteClient } from "@sluice/sqlite"
import { Effect } from "effect"
import * as FastCheck from "effect/FastCheck"
import { open } from "./conformance/stopping.js"
import type { engines } from "./support.js"
import { leftovers, onEngines, reasonOf } from "./support.js"

afterAll(() => Effect.runPromise(leftovers))

const books = Fts5.table("books", { columns: ["title", "body", "shelf"], unindexed: ["shelf"] })

const shelved = [
  { title: "One two three", body: "a sea of words, e-mail and C++", shelf: "a" },
  { title: "Three", body: "one and then two and much later three", shelf: "b" },
  { title: "Sea", body: "nothing else", shelf: "one" }
]

const library = (engine: (typeof engines)[number]) =>
  Effect.gen(function* () {
    const sql = yield* open(engine)
    yield* sql`${Fts5.create(books)}`
    yield* sql`insert into books ${sql.insert(shelved)}`
    return sql
  })

const rowids = (sql: SqliteClient.SqliteClient, wanted: Fts5.Query | string) =>
  Effect.map(
    sql<{ rowid: number }>`select rowid from books where ${Fts5.match(books, wanted)} order by rowid`,
    (rows) => rows.map(({ rowid }) => rowid)
  )

/** Everything that means something to FTS5, SQL or Unicode, between some words. */
const hostile = FastCheck.oneof(
  FastCheck.string({ unit: "binary", maxLength: 40 }),
  FastCheck.array(
    FastCheck.constantFrom(
      ...`" "" ' * ^ + - : ; , ( ) { } [ ] % AND OR NOT NEAR NEAR( one two sea rank title: {title} \0 \ud800 \udfff é 漢字 \u00a0`.split(
        " "
      ),
      " ",
      "\t",
      "\n"
    ),
    { maxLength: 20 }
  ).map((parts) => parts.join("")),
  FastCheck.array(FastCheck.constantFrom("one", "-sea", "OR", '"two three"', "th*", "NEAR", "("), {
    maxLength: 12
  }).map((parts) => parts.join(" "))
)

const queryOf: FastCheck.Arbitrary<Fts5.Query> = FastCheck.letrec<{ query: Fts5.Query }>((tie) => ({
  query: FastCheck.oneof(
    { maxDepth: 4, withCrossShrink: true },
    FastCheck.tuple(hostile, FastCheck.boolean(), FastCheck.boolean()).map(([text, any, prefix]) =>
      Fts5.words(text, { any, prefix })
    ),
    hostile.map(Fts5.search),
    hostile.map(Fts5.phrase),
    hostile.map(Fts5.prefix),
    hostile.map(Fts5.first),
    FastCheck.tuple(FastCheck.array(hostile, { maxLength: 3 }), FastCheck.integer()).map(([phrases, distance]) =>
      Fts5.near(phrases, distance)
    ),
    FastCheck.array(tie("query"), { maxLength: 3 }).map((all) => Fts5.and(...all)),
    FastCheck.array(tie("query"), { maxLength: 3 }).map((all) => Fts5.or(...all)),
    FastCheck.tuple(tie("query"), tie("query")).map(([wanted, unwanted]) => Fts5.not(wanted, unwanted)),
    FastCheck.tuple(FastCheck.subarray(["title", "body"]), tie("query")).map(([columns, of]) =>
      Fts5.inColumns(columns, of)
    ),
    FastCheck.tuple(FastCheck.subarray(["title", "body"]), tie("query")).map(([columns, of]) =>
      Fts5.notInColumns(columns, of)
    )
  )
})).query

onEngines("Fts5", (engine) => {
  it.scopedLive("words, phrases, beginnings, places, columns and what is between them", () =>
    Effect.gen(function* () {
      const sql = yield* library(engine)
      const cases: ReadonlyArray<readonly [Fts5.Query | string, ReadonlyArray<number>]> = [
        ["two ONE", [1, 2]],
        ["one -", [1, 2]],
        ["e-mail", [1]],
        ["c++", [1]],
        ["", []],
        [" - ", []],
        [Fts5.words("thr"), []],
        [Fts5.words("one thr", { prefix: true }), [1, 2]],
        [Fts5.words("later nothing", { any: true }), [2, 3]],
        [Fts5.phrase("two three"), [1]],
        [Fts5.prefix("one tw"), [1]],
        [Fts5.first("three"), [2]],
        [Fts5.near(["one", "two"], 1), [1]],
        [Fts5.near(["one", "two"]), [1, 2]],
        [Fts5.near([]), []],
        [Fts5.and(Fts5.phrase("one"), Fts5.phrase("sea")), [1]],
        [Fts5.or(Fts5.phrase("later"), Fts5.phrase("sea")), [1, 2, 3]],
        [Fts5.and(), []],
        [Fts5.not(Fts5.phrase("sea"), Fts5.or(Fts5.phrase("words"), Fts5.phrase("later"))), [3]],
        [Fts5.inColumns("title", Fts5.phrase("sea")), [3]],
        [Fts5.inColumns(["title", "body"], Fts5.not(Fts5.words("sea"), Fts5.words("one"))), [3]],
        [Fts5.notInColumns("title", Fts5.phrase("sea")), [1]],
        [Fts5.inColumns([], Fts5.phrase("sea")), []],
        [Fts5.notInColumns([], Fts5.phrase("sea")), [1, 3]],
        // Its shelf is not searched.
        [Fts5.phrase("one"), [1, 2]]
      ]
      for (const [wanted, found] of cases) {
        assert.deepStrictEqual(yield* rowids(sql, wanted), found, typeof wanted === "string" ? wanted : wanted.text)
      }
    })
  )

  it.scopedLive("what people type into search engines", () =>
    Effect.gen(function* () {
      const sql = yield* library(engine)
      const cases: ReadonlyArray<readonly [string, ReadonlyArray<number>]> = [
        ["one two", [1, 2]],
        ['"two three"', [1]],
        ['"two three', [1]],
        ["sea -words", [3]],
        ['one -"two three" -later', []],
        ["thr*", [1, 2]],
        ['"one tw"*', [1]],
        ["later OR nothing", [2, 3]],
        ["one later OR sea", [1, 2]],
        ["OR one OR", [1, 2]],
        ["one - * two", [1, 2]],
        ["-one", []],
        ["or", []],
        ["NEAR(one AND", []]
      ]
      for (const [typed, found] of cases) {
        assert.deepStrictEqual(yield* rowids(sql, Fts5.search(typed)), found, typed)
      }
    })
  )

  it.scopedLive("very long texts are bounded in time", () =>
    Effect.gen(function* () {
      const sql = yield* library(engine)
      const long = "one ".repeat(100_000)
      assert.deepStrictEqual(yield* rowids(sql, long), [1, 2])
      assert.deepStrictEqual(yield* rowids(sql, Fts5.words(long, { any: true })), [1, 2])
      assert.deepStrictEqual(yield* rowids(sql, Fts5.search(long.replaceAll("one ", "one OR "))), [1, 2])
      assert.deepStrictEqual(yield* rowids(sql, Fts5.phrase(long)), [])
    })
  )

  it.scopedLive("ranks, weights, marks and snippets; a table under another name", () =>
    Effect.gen(function* () {
      const sql = yield* library(engine)
      const order = (by: ReturnType<typeof Fts5.rank>) =>
        Effect.map(
          sql<{ title: string }>`select title from books where ${Fts5.match(books, "sea")} order by ${by}`,
          (rows) => rows.map(({ title }) => title)
        )
      const seaFirst = ["Sea", "One two three"]
      assert.deepStrictEqual(yield* order(Fts5.rank(books)), seaFirst)
      assert.deepStrictEqual(yield* order(Fts5.bm25(books)), seaFirst)
      assert.deepStrictEqual(yield* order(Fts5.bm25(books, { title: 0, body: 10 })), seaFirst.toReversed())
      yield* sql`${Fts5.rankBy(books, { title: 0 })}`
      assert.deepStrictEqual(yield* order(Fts5.rank(books)), seaFirst.toReversed())

      const b = Fts5.as(books, "b")
      assert.deepStrictEqual(
        yield* sql`
          select ${Fts5.highlight(b, "title")} as title,
            ${Fts5.snippet(b, { column: "body", open: "[", close: "]", tokens: 3 })} as body,
            ${Fts5.snippet(b)} as best, ${Fts5.rank(b)} <= 0 as good
          from books as b join (select 1) where ${Fts5.match(b, "two three")} and ${Fts5.bm25(b)} < 0 and b.rowid = 1`,
        [
          {
            title: "One <b>two</b> <b>three</b>",
            body: "a sea of…",
            best: "One <b>two</b> <b>three</b>",
            good: 1
          }
        ]
      )
    })
  )

  it.scopedLive("external content: triggers keep the index in step; rebuild, check, optimize, merge, delete-all", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const notes = Fts5.table('the "notes" index', {
        columns: ["it's", "body"],
        content: { table: "no'tes", rowid: "id" },
        prefix: [2, 3],
        tokenize: ["porter", "unicode61", "remove_diacritics", "2", "tokenchars", "'_"]
      })
      const found = (typed: string) =>
        Effect.map(
          sql<{ id: number }>`select rowid as id from ${sql('the "notes" index')} where ${Fts5.match(notes, typed)}`,
          (rows) => rows.map(({ id }) => id)
        )
      yield* sql.unsafe(`create table "no'tes" (id integer primary key, "it's" text, body text)`)
      yield* sql.unsafe(`insert into "no'tes" values (7, 'older', 'texts')`)
      yield* sql.withTransaction(sql`${Fts5.create(notes)}`)
      assert.deepStrictEqual(yield* found("older"), [])
      assert.include((yield* reasonOf(sql`${Fts5.integrityCheck(notes)}`)).message, "malformed")
      yield* sql`${Fts5.rebuild(notes)}`
      yield* sql`${Fts5.integrityCheck(notes)}`
      assert.deepStrictEqual(yield* found("older"), [7])

      yield* sql.unsafe(`insert into "no'tes" values (8, 'Café', 'running a_b')`)
      yield* sql.unsafe(`update "no'tes" set body = 'changed' where id = 7`)
      yield* sql.unsafe(`insert into "no'tes" values (9, 'gone', 'soon')`)
      yield* sql.unsafe(`delete from "no'tes" where id = 9`)
      assert.deepStrictEqual(yield* found("cafe run"), [8])
      assert.deepStrictEqual(yield* found("a_b"), [8])
      assert.deepStrictEqual(yield* found("texts"), [])
      assert.deepStrictEqual(yield* found("gone"), [])
      assert.deepStrictEqual(yield* found("changed"), [7])
      for (const upkeep of [
        Fts5.integrityCheck(notes),
        Fts5.configure(notes, "automerge", 4),
        Fts5.merge(notes, -16),
        Fts5.merge(notes, 16),
        Fts5.optimize(notes),
        Fts5.integrityCheck(notes)
      ]) {
        yield* sql`${upkeep}`
      }
      // Also in a batch, where members are single statements.
      yield* sql.batch([Fts5.deleteAll(notes), Fts5.optimize(notes)])
      assert.deepStrictEqual(yield* found("changed"), [])
      yield* sql`${Fts5.create(notes, { ifNotExists: true })}`
      yield* sql`${Fts5.drop(notes)}`
      yield* sql`${Fts5.drop(notes)}`
      yield* sql.unsafe(`insert into "no'tes" values (10, 'without', 'index')`)
      assert.deepStrictEqual(yield* sql`select name from sqlite_schema where name not like 'no''tes'`, [])
    })
  )

  it.scopedLive("contentless tables, details, triggers left out", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const index = Fts5.table("ix", { columns: ["a"], content: "none", contentlessDelete: true, detail: "column" })
      yield* sql`${Fts5.create(index)}`
      yield* sql`insert into ix(rowid, a) values (1, 'one'), (2, 'two')`
      yield* sql`delete from ix where rowid = 1`
      assert.deepStrictEqual(yield* sql`select rowid, a from ix where ${Fts5.match(index, "one")}`, [])
      assert.deepStrictEqual(yield* sql`select rowid, a from ix where ${Fts5.match(index, "two")}`, [
        { rowid: 2, a: null }
      ])
      assert.strictEqual((yield* reasonOf(sql`${Fts5.rebuild(index)}`)).reason, "SqlSyntax")
      yield* sql`create table t (a)`
      const bare = Fts5.table("bare", {
        columns: ["a"],
        content: { table: "t", triggers: false },
        columnSize: false,
        tokenize: "trigram"
      })
      yield* sql`${Fts5.create(bare)}`
      assert.deepStrictEqual(yield* sql`select name from sqlite_schema where type = 'trigger'`, [])
      yield* sql`insert into t values ('substring')`
      yield* sql`${Fts5.rebuild(bare)}`
      assert.deepStrictEqual(yield* sql`select a from bare where ${Fts5.match(bare, "bstri")}`, [{ a: "substring" }])
    })
  )

  it.scopedLive("no text, and no combination of queries, is ever a syntax error", () =>
    Effect.gen(function* () {
      const sql = yield* library(engine)
      const run = yield* Effect.runtime<never>()
      yield* Effect.promise(() =>
        FastCheck.assert(
          FastCheck.asyncProperty(queryOf, (wanted) =>
            Effect.runPromise(Effect.asVoid(Effect.provide(rowids(sql, wanted), run)))
          ),
          { numRuns: 500 }
        )
      )
    })
  )

  it.scopedLive("the words of a text find it", () =>
    Effect.gen(function* () {
      const sql = yield* open(engine)
      const t = Fts5.table("t", { columns: ["a"] })
      yield* sql`${Fts5.create(t)}`
      yield* Effect.promise(() =>
        FastCheck.assert(
          FastCheck.asyncProperty(
            FastCheck.array(FastCheck.stringMatching(/^[a-z0-9]{1,5}$/), { minLength: 1 }),
            (all) =>
              Effect.gen(function* () {
                yield* sql`delete from t`
                yield* sql`insert into t values (${all.join(", ")})`
                for (const wanted of [
                  Fts5.words(all.toReversed().join(" ")),
                  Fts5.words(all.join(" "), { any: true }),
                  Fts5.phrase(all.join(" ")),
                  Fts5.prefix(all.join(" ").slice(0, -1) + all.join("").at(-1)!),
                  Fts5.first(all[0]!),
                  Fts5.near(all, all.length)
                ]) {
                  const rows = yield* sql`select 1 from t where ${Fts5.match(t, wanted)}`
                  assert.strictEqual(rows.length, 1, wanted.text)
                }
              }).pipe(Effect.runPromise)
          ),
          { numRuns: 50 }
        )
      )
    })
  )
})

describe("Fts5 queries as text", () => {
  it("quotes what is not syntax", () => {
    assert.strictEqual(Fts5.words(`C++ "AND" rea`, { prefix: true }).text, `"C++" """AND""" "rea" *`)
    assert.strictEqual(Fts5.search(`"a b" -c d* e OR f`).text, `(("a b" "d" *) AND ("e" OR "f")) NOT ("c")`)
    assert.strictEqual(Fts5.phrase("a\0b\ud800").text, `"a b "`)
    assert.strictEqual(Fts5.inColumns('a"', Fts5.near(["x", "y"], 2)).text, `{"a"""} : (NEAR("x" "y", 2))`)
  })
})
