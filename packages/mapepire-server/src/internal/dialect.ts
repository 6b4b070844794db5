/** How texts become statements: Db2's dialect put into SQLite's, or passed on to a database that speaks it. */
import { transactionControl } from "./db2/control.js"
import type { Environment } from "./db2/environment.js"
import { isWord } from "./db2/scan.js"
import type { Statement } from "./db2/statement.js"
import { tokensOf, translate } from "./db2/translate.js"

export type Dialect = (text: string, environment: Environment) => Statement

export const overSqlite: Dialect = translate

/** Only what the server itself has to know is read: transactions, and whether there will be rows. */
export const passedOn: Dialect = (text) => {
  const tokens = tokensOf(text)
  const control = transactionControl(tokens)
  if (control !== undefined) {
    return control
  }
  const first = tokens[0]!
  const query = isWord(first, "SELECT", "VALUES", "WITH", "CALL") || first.text === "("
  return {
    _tag: "Run",
    text,
    query,
    verb: first.text === "INSERT" || first.text === "UPDATE" || first.text === "DELETE" ? first.text : "OTHER",
    writes: !query,
    schemaChange: isWord(first, "CREATE", "ALTER", "DROP"),
    columns: undefined,
    quotedNames: new Set(),
    markers: undefined,
    columnQuery: undefined,
    typeQuery: undefined
  }
}
