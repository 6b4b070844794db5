/**
 * Db2 for i as a dialect of `@effect/sql`.
 *
 * | written | sent |
 * | --- | --- |
 * | `` ${sql("orders")} `` | `"ORDERS"`: what `orders` means to Db2 |
 * | `` ${sql('"Orders"')} `` | `"Orders"`: names in quotes are taken as they are |
 * | `` insert into t ${sql.insert(row).returning("*")} `` | `SELECT * FROM FINAL TABLE (insert …)` |
 * | `update … returning *`, `delete … returning *` | the same, with OLD TABLE for DELETE (from IBM i 7.6 on) |
 * | `` select ${7} as n `` | `select CAST(? AS BIGINT) as n`: Db2 wants to know the type |
 * | `` merge into t using ${sql.updateValues(rows, "v")} on … `` | `(VALUES (CAST(? AS …), …)) AS v(…)` |
 *
 * The dialect is called `db2`, which `@effect/sql` does not know: `onDialectOrElse` of our client takes a branch of that
 * name, else `orElse`.
 *
 * @since 0.1.0
 */
import * as Statement from "@effect/sql/Statement"
import { rewrite } from "./internal/db2/rewrite.js"
import { typeOf } from "./internal/db2/types.js"

/**
 * How names are written.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * What becomes of names given as `sql("name")` and of keys in `sql.insert` and its like. `fold` (default): upper case,
   * as Db2 makes of unquoted names. `preserve`: as they are, so that `sql("orders")` is a table that must be quoted everywhere.
   */
  readonly identifiers?: "fold" | "preserve" | undefined
  /** Applied to names before that, except by `.withoutTransform`. */
  readonly transformQueryNames?: ((name: string) => string) | undefined
}

/** The parts between dots: delimited ones, which may have dots in them, and others. */
const parts = /(?<=^|\.)(?:"(?:[^"]|"")+"(?=\.|$)|[^.]*)/g
const delimited = /^"(?:[^"]|"")+"$/

/** As Db2 folds unquoted names: letter by letter, so `ß`, which would become two, stays. */
const fold = (name: string): string => {
  const upper = name.toUpperCase()
  return upper.length === name.length
    ? upper
    : name.replace(/[^]/gu, (letter) => (letter.toUpperCase().length === letter.length ? letter.toUpperCase() : letter))
}

/**
 * A name as Db2 takes it: in quotes, each part of a dotted one for itself; in upper case unless they are to be preserved.
 * A part that is in quotes already stays as it is.
 *
 * @since 0.1.0
 * @category names
 */
export const escape = (name: string, identifiers: "fold" | "preserve" = "fold"): string =>
  name.replace(parts, (part) =>
    delimited.test(part) ? part : `"${(identifiers === "fold" ? fold(part) : part).replaceAll('"', '""')}"`
  )

/**
 * The dialect's name: `sql.onDialectOrElse` takes it.
 *
 * @since 0.1.0
 * @category names
 */
export const dialect = "db2"

/**
 * A compiler for Db2 for i: `?` markers, names in double quotes where they need them, RETURNING as FINAL TABLE.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Statement.Compiler => {
  const { identifiers = "fold", transformQueryNames } = options
  const compiler = Statement.makeCompiler({
    // The type is closed, its use is not: it is compared, and looked up in what `onDialectOrElse` is given.
    dialect: dialect as Statement.Dialect,
    placeholder: () => "?",
    onIdentifier: (name, withoutTransform) =>
      escape(withoutTransform || transformQueryNames === undefined ? name : transformQueryNames(name), identifiers),
    onRecordUpdate: (_, alias, columns, values, returning) => {
      const types = (values[0] ?? []).map((_, i) => typeOf(values.map((row) => row[i])))
      const row = `(${types.map((type) => `CAST(? AS ${type})`).join(",")})`
      const text = `(VALUES ${values.map(() => row).join(",")}) AS ${alias}${columns}`
      return returning === undefined
        ? [text, values.flat()]
        : [`${text} RETURNING ${returning[0]}`, [...values.flat(), ...returning[1]]]
    },
    onCustom: () => ["", []]
  })
  return new Db2Compiler(compiler)
}

class Db2Compiler implements Statement.Compiler {
  /** By statement, as upstream's compiler does it; with and without transforms are two compilers. */
  private readonly done = new WeakMap<
    readonly [sql: string, params: ReadonlyArray<unknown>],
    readonly [sql: string, params: ReadonlyArray<unknown>]
  >()
  private plain: Db2Compiler | undefined

  constructor(private readonly inner: Statement.Compiler) {}

  get dialect(): Statement.Dialect {
    return this.inner.dialect
  }

  compile(
    statement: Statement.Fragment,
    withoutTransform: boolean
  ): readonly [sql: string, params: ReadonlyArray<unknown>] {
    // Upstream keeps its result with the statement, so the same statement gives the same one again.
    const compiled = this.inner.compile(statement, withoutTransform)
    const found = this.done.get(compiled)
    if (found !== undefined) {
      return found
    }
    const rewritten = rewrite(compiled[0], compiled[1])
    this.done.set(compiled, rewritten)
    return rewritten
  }

  get withoutTransform(): this {
    return (this.plain ??= new Db2Compiler(this.inner.withoutTransform)) as this
  }
}
