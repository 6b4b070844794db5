/** `@effect/sql`'s compiler for SQLite, and `sql.updateValues`, which that one leaves out. */
import * as Statement from "@effect/sql/Statement"

const escape = Statement.defaultEscape('"')

/** SQLite has no names for the columns of VALUES but those of a common table expression. */
export const sqliteCompiler = (transformQueryNames?: ((name: string) => string) | undefined): Statement.Compiler =>
  Statement.makeCompiler({
    dialect: "sqlite",
    placeholder: () => "?",
    onIdentifier: (name, withoutTransform) =>
      escape(withoutTransform || transformQueryNames === undefined ? name : transformQueryNames(name)),
    onRecordUpdate: (placeholders, alias, columns, values, returning) => {
      const table = `(WITH ${alias}${columns} AS (VALUES ${placeholders}) SELECT * FROM ${alias}) AS ${alias}`
      return returning === undefined
        ? [table, values.flat()]
        : [`${table} RETURNING ${returning[0]}`, [...values.flat(), ...returning[1]]]
    },
    onCustom: () => ["", []]
  })
