/**
 * From what `@effect/sql` and its users write to what Db2 for i takes: RETURNING becomes a query of the changed rows, and
 * markers whose type nothing tells get one.
 */
import { isSign, isWord, type Token, tokensOf } from "./tokens.js"
import { typeOf } from "./types.js"

/** What is to be done with a text; the same for all parameters. */
interface Plan {
  /** The text in pieces; between two of them comes the marker of that number, with a type. */
  readonly pieces: ReadonlyArray<string>
  readonly casts: ReadonlyArray<number>
  /** So many of the last parameters come first. */
  readonly moved: number
}

/** Plans kept, the least recently used out first. */
const maxKept = 500
const plans = new Map<string, Plan>()

/** Nothing else can need a change. */
const suspicious = /\breturning\b|\?/i

export const rewrite = (
  text: string,
  params: ReadonlyArray<unknown>
): readonly [text: string, params: ReadonlyArray<unknown>] => {
  if (!suspicious.test(text)) {
    return [text, params]
  }
  let plan = plans.get(text)
  if (plan === undefined) {
    plan = planOf(text)
    if (plans.size >= maxKept) {
      plans.delete(plans.keys().next().value!)
    }
  } else {
    plans.delete(text)
  }
  plans.set(text, plan)
  const { casts, moved, pieces } = plan
  const ordered = moved === 0 ? params : [...params.slice(params.length - moved), ...params.slice(0, -moved)]
  let out = pieces[0]!
  for (let i = 0; i < casts.length; i++) {
    out += `CAST(? AS ${typeOf([ordered[casts[i]!]])})${pieces[i + 1]!}`
  }
  return [out, ordered]
}

const planOf = (given: string): Plan => {
  const [text, moved] = withFinalTable(given)
  const tokens = tokensOf(text)
  const markers = tokens.filter(({ kind }) => kind === "marker")
  const untyped = new Set(untypedMarkers(tokens))
  const pieces: Array<string> = []
  const casts: Array<number> = []
  let at = 0
  markers.forEach((marker, i) => {
    if (untyped.has(marker)) {
      pieces.push(text.slice(at, marker.start))
      casts.push(i)
      at = marker.end
    }
  })
  return { pieces: [...pieces, text.slice(at)], casts, moved }
}

// ---------------------------------------------------------------------------------------------------------- RETURNING

/**
 * `INSERT … RETURNING list` is `SELECT list FROM FINAL TABLE (INSERT …)`; the same with UPDATE, and with OLD TABLE for
 * DELETE (both from IBM i 7.6 on). Answers with the number of markers that were in the list: they come first now.
 */
const withFinalTable = (text: string): readonly [text: string, moved: number] => {
  const tokens = tokensOf(text)
  const [verb] = tokens
  if (!isWord(verb, "INSERT", "UPDATE", "DELETE")) {
    return [text, 0]
  }
  const at = tokens.findIndex((_, i) => isReturning(tokens, i))
  const list = at < 0 ? [] : withoutEnd(tokens.slice(at + 1))
  if (list.length === 0) {
    return [text, 0]
  }
  const items = text.slice(list[0]!.start, list.at(-1)!.end)
  const change = text.slice(verb!.start, tokens[at]!.start).trimEnd()
  const which = verb!.text === "DELETE" ? "OLD" : "FINAL"
  // Several rows come back in any order, but for this.
  const order = verb!.text === "INSERT" && hasSeveralRows(tokens.slice(0, at)) ? " ORDER BY INPUT SEQUENCE" : ""
  return [
    `SELECT ${items} FROM ${which} TABLE (${change})${order}`,
    list.filter(({ kind }) => kind === "marker").length
  ]
}

/** After these and most signs an operand or a name comes: a RETURNING there is one. */
const beforeOperand =
  /^(?:ALL|AND|AS|BETWEEN|BY|CASE|CONCAT|DISTINCT|ELSE|ESCAPE|FROM|HAVING|IN|INTO|JOIN|LIKE|NOT|ON|OR|SELECT|SET|TABLE|THEN|UPDATE|USING|WHEN|WHERE)$/

/** These cannot follow the word RETURNING, but a column, a table or a correlation with that name. */
const afterOperand =
  /^(?:AND|AS|BETWEEN|CONCAT|CROSS|EXCEPT|FETCH|FROM|GROUP|HAVING|IN|INNER|INTERSECT|IS|JOIN|LIKE|LIMIT|OFFSET|ON|OR|ORDER|SET|UNION|WHERE|WITH)$/

const completes = (token: Token | undefined): boolean =>
  token?.kind === "sign" ? token.text === ")" : token?.kind !== "word" || !beforeOperand.test(token.text)

const beginsList = (token: Token | undefined): boolean =>
  token?.kind === "sign"
    ? isSign(token, "*", "(", "+", "-")
    : token !== undefined && !(token.kind === "word" && afterOperand.test(token.text))

/** The clause and not a name: it stands where the change is complete, and what may be a list follows. */
const isReturning = (tokens: ReadonlyArray<Token>, i: number): boolean =>
  tokens[i]!.depth === 0 && isWord(tokens[i], "RETURNING") && completes(tokens[i - 1]) && beginsList(tokens[i + 1])

const withoutEnd = (tokens: ReadonlyArray<Token>): ReadonlyArray<Token> =>
  isSign(tokens.at(-1), ";") ? tokens.slice(0, -1) : tokens

const hasSeveralRows = (tokens: ReadonlyArray<Token>): boolean => {
  const values = tokens.findIndex((token) => token.depth === 0 && isWord(token, "VALUES"))
  return values < 0 || tokens.some((token, i) => i > values && token.depth === 0 && isSign(token, ","))
}

// ------------------------------------------------------------------------------------------------------------ markers

const operators = ["+", "-", "*", "/", "||", "%"]

/**
 * Markers that Db2 refuses (SQL0418): a whole item of a select list, or of VALUES where no column tells, and both sides
 * of an operator. Others (sole arguments of functions, `? IS NULL`) are for who writes the statement.
 */
const untypedMarkers = (tokens: ReadonlyArray<Token>): ReadonlyArray<Token> => {
  const open: Array<List> = []
  return tokens.filter((token, i) => {
    const before = tokens[i - 1]
    while (open.length > 0 && token.depth < open.at(-1)!.depth) {
      open.pop()
    }
    if (isWord(token, "SELECT")) {
      open.push({ depth: token.depth, rows: false })
    } else if (isWord(token, "VALUES") && (before === undefined || isSign(before, "("))) {
      open.push({ depth: token.depth, rows: true })
    } else if (open.length > 0 && token.depth === open.at(-1)!.depth && isWord(token, ...ends)) {
      open.pop()
    }
    const list = open.at(-1)
    return token.kind === "marker" && list !== undefined && isWhole(tokens, i, list)
  })
}

interface List {
  readonly depth: number
  /** VALUES: its items may be rows, in parentheses. */
  readonly rows: boolean
}

const ends = ["FROM", "UNION", "EXCEPT", "INTERSECT", "ORDER", "FETCH", "LIMIT", "OFFSET", "INTO", "WHERE"]

const isWhole = (tokens: ReadonlyArray<Token>, i: number, list: List): boolean => {
  const before = tokens[i - 1]
  const after = tokens[i + 1]
  if (tokens[i]!.depth > list.depth + (list.rows ? 1 : 0)) {
    return false
  }
  const begins = isWord(before, "SELECT", "DISTINCT", "ALL", "VALUES") || isSign(before, ",", "(")
  const ends =
    after === undefined ||
    isSign(after, ",", ")", ";") ||
    after.kind === "name" ||
    (after.kind === "word" && !isWord(after, "CONCAT", "IS", "IN", "LIKE", "BETWEEN", "NOT"))
  const besideMarker =
    (isSign(after, ...operators) && tokens[i + 2]?.kind === "marker") ||
    (isSign(before, ...operators) && tokens[i - 2]?.kind === "marker")
  return (begins && ends) || besideMarker
}
