/** `SELECT … FROM FINAL TABLE (INSERT …)`: a change that answers with rows. SQLite says RETURNING. */
import * as failures from "./failures.js"
import { refuseForeign } from "./foreignForms.js"
import { closing, isName, isSymbol, isWord, nameAfterSchema, nameOf, type Token, wordsAt } from "./scan.js"

export interface FinalTable {
  readonly verb: "INSERT" | "UPDATE" | "DELETE"
  readonly change: ReadonlyArray<Token>
  readonly returning: { readonly items: ReadonlyArray<Token>; readonly table: Token }
}

const flat = (tokens: ReadonlyArray<Token>): ReadonlyArray<Token> =>
  tokens.map((item) => ({ ...item, depth: item.depth - 1 }))

/** Undefined for any other query. */
export const finalTable = (tokens: ReadonlyArray<Token>): FinalTable | undefined => {
  const from = tokens.findIndex(
    (item, i) =>
      item.depth === 0 &&
      isWord(item, "FROM") &&
      isWord(tokens[i + 1], "FINAL", "NEW", "OLD") &&
      wordsAt(tokens, i + 2, "TABLE")
  )
  const open = from + 3
  if (from < 0 || !isSymbol(tokens[open], "(")) {
    return undefined
  }
  const close = closing(tokens, open)
  const change = flat(tokens.slice(open + 1, close))
  const verb = change[0]?.text
  if (!isWord(tokens[0], "SELECT") || (verb !== "INSERT" && verb !== "UPDATE" && verb !== "DELETE")) {
    throw new failures.Refused(failures.invalidToken("TABLE"))
  }
  const which = tokens[from + 1]!.text
  if ((which === "OLD") !== (verb === "DELETE")) {
    // SQLite has the rows as they are after the change only, and of a DELETE as they were.
    throw new failures.Refused(
      which === "OLD" && verb === "UPDATE" ? failures.unsupported("OLD TABLE of UPDATE") : failures.invalidToken(verb)
    )
  }
  const alias = after(tokens, close + 1)
  const table = change[nameAfterSchema(change, verb === "UPDATE" ? 1 : 2)]
  const items = tokens.slice(1, from)
  if (items.some(({ kind }) => kind === "marker") || !isName(table)) {
    throw new failures.Refused(failures.untypedMarker)
  }
  refuseForeign(change)
  return { verb, change, returning: { items: withoutAlias(items, alias), table } }
}

/** A correlation name may follow, and the order of the input, which is SQLite's order anyway. Nothing else is known here. */
const after = (tokens: ReadonlyArray<Token>, at: number): string | undefined => {
  let alias: string | undefined
  if (isWord(tokens[at], "AS")) {
    at++
  }
  if (isName(tokens[at]) && !isWord(tokens[at], "ORDER", "WHERE", "WITH", "FOR", "FETCH")) {
    alias = nameOf(tokens[at]!)
    at++
  }
  if (wordsAt(tokens, at, "ORDER", "BY", "INPUT", "SEQUENCE")) {
    at += 4
  }
  if (at < tokens.length) {
    throw new failures.Refused(failures.unsupported(`${tokens[at]!.text} after FINAL TABLE`))
  }
  return alias
}

/** RETURNING knows the table by its own name only. */
const withoutAlias = (items: ReadonlyArray<Token>, alias: string | undefined): ReadonlyArray<Token> =>
  alias === undefined
    ? items
    : items.filter(
        (item, i) =>
          !(isName(item) && nameOf(item) === alias && isSymbol(items[i + 1], ".")) &&
          !(isSymbol(item, ".") && isName(items[i - 1]) && nameOf(items[i - 1]!) === alias)
      )
