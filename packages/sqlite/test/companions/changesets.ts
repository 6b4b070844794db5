/** What the tests of changesets share: SQLite's own session extension through the carrier, and random edits. */
import { Changeset } from "@sluice/sqlite"
import { Effect } from "effect"
import { random } from "../conformance/stopping.js"
import { carrier } from "../../src/internal/carrier.js"

interface Session {
  readonly changeset: () => Uint8Array
  readonly patchset: () => Uint8Array
}

/** The carrier's own API, in this thread. */
interface Reference {
  readonly exec: (text: string) => void
  readonly prepare: (text: string) => { readonly all: () => Array<unknown> }
  readonly createSession: (options?: { readonly table?: string }) => Session
  readonly applyChangeset: (bytes: Uint8Array, options?: { readonly onConflict?: (type: number) => number }) => boolean
  readonly close: () => void
}

/** A database in memory that SQLite's session extension works on. */
export const reference = Effect.acquireRelease(
  Effect.sync(() => new (carrier().DatabaseSync)(":memory:") as unknown as Reference),
  (database) => Effect.sync(() => database.close())
)

/**
 * The changes in an order that does not depend on SQLite's hash table. What triggers do SQLite marks as indirect, which
 * is not compared.
 */
export const sorted = (bytes: Uint8Array) =>
  Effect.map(Changeset.changes(bytes), (changes) =>
    changes
      .map(({ new: after, old, operation, table }) => {
        const show = (_: string, value: unknown) =>
          typeof value === "bigint"
            ? `${value}n`
            : typeof value === "number"
              ? `${value}r`
              : value instanceof Uint8Array
                ? Buffer.from(value).toString("hex")
                : value === undefined
                  ? "-"
                  : value
        return JSON.stringify([table.name, table.patchset, table.key.map(Boolean), operation, old, after], show)
      })
      .sort()
  )

export const schema = [
  "create table people (id integer primary key, name text, score, photo blob unique)",
  "create table pairs (a text collate nocase, b integer, n real, primary key (a, b))",
  "create table words (w text primary key, n integer unique) without rowid",
  "create table keyless (n)",
  "create table log (id integer primary key, what text)",
  "create trigger audit after insert on people begin insert into log (what) values ('new ' || NEW.id); update people set name = upper(name) where id = NEW.id; end",
  "create index by_name on people (name)"
]

const literals = ["null", "1", "0", "-7", "1.0", "2.5", "'a'", "'B'", "'é'", "''", "9007199254740993", "x'4142'", "x''"]

/** Statements that change those tables; some fail. */
export const edits = (seed: number, count: number): ReadonlyArray<string> => {
  const next = random(seed)
  const below = (n: number) => Math.floor(next() * n)
  const literal = () => literals[below(literals.length)]!
  const or = () => ["", "or replace", "or ignore", "or fail"][below(4)]!
  const letter = () => ["'a'", "'b'", "'c'", "'d'"][below(4)]!
  const kinds: ReadonlyArray<() => string> = [
    () => `insert ${or()} into people values (${below(8)}, ${literal()}, ${literal()}, ${literal()})`,
    () => `insert ${or()} into people (name, score) values (${literal()}, ${literal()})`,
    () => `update ${or()} people set name = ${literal()}, score = ${literal()} where id = ${below(8)}`,
    () => `update ${or()} people set id = ${below(8)}, photo = ${literal()} where id = ${below(8)}`,
    () => `delete from people where id = ${below(8)}`,
    () => `insert ${or()} into pairs values (${letter()}, ${below(3)}, ${literal()})`,
    () => `update ${or()} pairs set n = ${literal()}, b = ${below(3)} where a = ${letter()}`,
    () => `delete from pairs where b = ${below(3)}`,
    () => `insert ${or()} into words values (${letter()}, ${below(6)})`,
    () => `update ${or()} words set w = ${letter()}, n = ${below(6)} where w = ${letter()}`,
    () => `insert into words values (${letter()}, ${below(6)}) on conflict (w) do update set n = n + 10`,
    () => `delete from words${below(5) === 0 ? "" : ` where w = ${letter()}`}`,
    () => `insert into keyless values (${below(9)})`,
    () => `begin; delete from people; insert or ignore into words values ('z', ${below(99)}); rollback`
  ]
  return Array.from({ length: count }, () => kinds[below(kinds.length)]!())
}

/** Everything in the tables. */
export const dump = `
  select 'people' as t, id || '' as k, quote(name) as a, quote(score) as b, quote(photo) as c from people
  union all select 'pairs', a || b, quote(n), null, null from pairs
  union all select 'words', w, quote(n), null, null from words
  union all select 'log', id || '', quote(what), null, null from log order by 1, 2`
