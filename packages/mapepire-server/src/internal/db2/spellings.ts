/** Db2's spellings within any statement, put as SQLite wants them. */
import { castTypeOf, conversionTo, divisor, templateOf } from "./calls.js"
import { catalog, catalogSchemas, type Environment, jobName, otherRegisters, registerAt } from "./environment.js"
import * as failures from "./failures.js"
import { argumentsOf, isCall } from "./functions.js"
import { beginsOperand, operandAfter } from "./operands.js"
import { closing, isName, isSymbol, isWord, nameOf, snippet, split, type Token, token, wordsAt } from "./scan.js"
import { filled } from "./template.js"
import { castType, type Db2Type, fitsBigint, parseDb2Type } from "./types.js"

/** Words that end a list of tables. */
const afterTables = new Set([
  ...["WHERE", "GROUP", "HAVING", "ORDER", "UNION", "EXCEPT", "INTERSECT", "FETCH", "OFFSET", "LIMIT", "SET"],
  ...["VALUES", "SELECT", "WINDOW", "FOR", "OPTIMIZE", "WITH"]
])
const isolations = ["UR", "CS", "RS", "RR", "NC"]
const typedLiterals = ["DATE", "TIME", "TIMESTAMP"]
/** A fraction with more digits than a double holds; a whole number is SQLite's own up to eight bytes. */
const wideFraction = /^(?=(?:\D*\d){16})\d*\.\d*$/
/** Whether a number stays exact only as a text. */
const losesDigits = (text: string, negative: boolean): boolean =>
  wideFraction.test(text) || (/^\d{19,}$/.test(text) && !fitsBigint(negative ? -BigInt(text) : BigInt(text)))

/** The type that an `AS type` of CAST names, with its length made plain: `CLOB(1M)`. */
export const typeOf = (tokens: ReadonlyArray<Token>): string =>
  tokens
    .map(({ text }) => text)
    .join(" ")
    .replace(/\b(\d+)\s*([KMG])\b/g, (_all, size: string, unit: string) =>
      String(Number(size) * { K: 1024, M: 1048576, G: 1073741824 }[unit as "K" | "M" | "G"])
    )
    .replace(/\b(CHAR|CHARACTER|VARCHAR|CHAR VARYING|CHARACTER VARYING)\b(.*?)\s+FOR BIT DATA\b/, (_all, name, rest) =>
      /VAR/.test(name as string) ? `VARBINARY${rest as string}` : `BINARY${rest as string}`
    )
    .replace(/\s+(?:CCSID\s+\d+|FOR (?:SBCS|MIXED) DATA|NORMALIZED|NOT NORMALIZED)\b/g, "")

class Rewriter {
  private readonly out: Array<Token> = []
  private at = 0
  /** Per depth: a SELECT or DELETE has begun, so that FROM names tables; and its tables are being listed. */
  private readonly selecting: Array<boolean> = []
  private readonly listing: Array<boolean> = []

  constructor(
    private readonly tokens: ReadonlyArray<Token>,
    private readonly environment: Environment
  ) {}

  run(): ReadonlyArray<Token> {
    while (this.at < this.tokens.length) {
      this.step()
    }
    return this.out
  }

  private step(): void {
    const current = this.tokens[this.at]!
    switch (current.kind) {
      case "word":
        return this.word(current)
      case "number":
        return this.number(current)
      case "symbol":
        return this.symbol(current)
      default:
        this.at++
        this.out.push(current)
    }
  }

  /** The sign goes into the text: SQLite would make a double of it otherwise. */
  private number(current: Token): void {
    const negative = isSymbol(this.tokens[this.at - 1], "-") && beginsOperand(this.tokens, this.at - 1)
    this.at++
    if (!losesDigits(current.text, negative)) {
      this.out.push(current)
      return
    }
    if (negative) {
      this.out.pop()
    }
    this.out.push(token("string", `'${negative ? "-" : ""}${current.text}'`, current.depth))
  }

  private symbol(current: Token): void {
    if (current.text === "(" && isWord(this.tokens[this.at + 1], "VALUES")) {
      return this.valuesTable(current)
    }
    this.at++
    this.out.push(current)
    if (current.text === "/") {
      return this.divisor(current.depth)
    }
    if (current.text === "*" && isSymbol(this.tokens[this.at], "*")) {
      throw new failures.Refused(failures.unsupported("the operator **"))
    }
    if (current.text === "(") {
      this.selecting[current.depth + 1] = false
      this.listing[current.depth + 1] = this.listing[current.depth] === true && this.afterFrom()
      if (this.listing[current.depth + 1] === true) {
        this.table()
      }
    } else if (current.text === "," && this.listing[current.depth] === true) {
      this.table()
    } else if (current.text === ";") {
      throw new failures.Refused(failures.invalidToken(";"))
    }
  }

  private divisor(depth: number): void {
    const operand = operandAfter(this.tokens, this.at)
    const [first] = operand
    const end = first === undefined ? this.at : this.tokens.indexOf(first, this.at) + operand.length
    const value = this.tokens.slice(this.at, end)
    if (value.length > 0 && !(value.length === 1 && value[0]!.kind === "number" && Number(value[0]!.text) !== 0)) {
      const inner = this.inner(value)
      this.out.push(...(filled(divisor, [inner], depth) ?? inner))
      this.at = end
    }
  }

  /** `LISTAGG(x, ',') WITHIN GROUP (ORDER BY y)`: SQLite wants the order among the arguments. */
  private listagg(open: number, depth: number): true {
    const [value = [], separator, ...more] = argumentsOf(this.tokens, open)
    let end = closing(this.tokens, open) + 1
    let order: ReadonlyArray<Token> = []
    if (wordsAt(this.tokens, end, "WITHIN", "GROUP") && isSymbol(this.tokens[end + 2], "(")) {
      const close = closing(this.tokens, end + 2)
      order = this.inner(this.tokens.slice(end + 3, close))
      end = close + 1
    }
    if (value.length === 0 || more.length > 0) {
      throw new failures.Refused(failures.routineNotFound("LISTAGG"))
    }
    if (isWord(value[0], "DISTINCT") || isWord(this.tokens[end], "OVER")) {
      throw new failures.Refused(failures.unsupported("LISTAGG with DISTINCT or OVER"))
    }
    const between = separator === undefined ? snippet("''", depth) : this.inner(separator)
    const comma = token("symbol", ",", depth + 1)
    const all = isWord(value[0], "ALL") ? value.slice(1) : value
    this.out.push(...snippet("group_concat (", depth), ...this.inner(all), comma, ...between, ...order)
    this.out.push(token("symbol", ")", depth))
    this.at = end
    return true
  }

  /**
   * `(VALUES 1, 2)`: SQLite wants each row in parentheses. And as a table, `(VALUES …) AS t(a, b)`, it can be given a name
   * but no names of columns, so these are given within.
   */
  private valuesTable(open: Token): void {
    const depth = open.depth + 1
    const close = closing(this.tokens, this.at)
    const inside = this.tokens.slice(this.at + 2, close)
    const end = inside.findIndex((item) => item.depth === depth && isWord(item, "UNION", "EXCEPT", "INTERSECT"))
    const rows = split(inside.slice(0, end < 0 ? inside.length : end), depth)
    const written = [
      token("word", "VALUES", depth),
      ...rows.flatMap((row, i) => {
        const whole =
          isSymbol(row[0], "(") && closing(row, 0) === row.length - 1 && !isWord(row[1], "SELECT", "WITH", "VALUES")
        const inner = this.inner(row)
        return [
          ...(i === 0 ? [] : [token("symbol", ",", depth)]),
          ...(whole ? inner : [token("symbol", "(", depth), ...inner, token("symbol", ")", depth)])
        ]
      }),
      ...(end < 0 ? [] : this.inner(inside.slice(end)))
    ]
    const names = this.listing[open.depth] === true ? this.columnNames(close + 1) : undefined
    this.at = (names?.end ?? close) + 1
    this.out.push(
      open,
      ...(names === undefined
        ? written
        : [
            ...snippet("SELECT", depth),
            ...names.columns.flatMap((name, i) => [
              ...(i === 0 ? [] : [token("symbol", ",", depth)]),
              ...snippet(`column${i + 1} AS`, depth),
              name
            ]),
            ...snippet("FROM (", depth),
            ...written,
            token("symbol", ")", depth)
          ]),
      token("symbol", ")", open.depth),
      ...(names === undefined ? [] : [token("word", "AS", open.depth), names.table])
    )
  }

  /** `[AS] t(a, b)` at this place. */
  private columnNames(
    from: number
  ): { readonly table: Token; readonly columns: ReadonlyArray<Token>; readonly end: number } | undefined {
    const at = isWord(this.tokens[from], "AS") ? from + 1 : from
    const table = this.tokens[at]
    if (!isName(table) || !isSymbol(this.tokens[at + 1], "(")) {
      return undefined
    }
    const end = closing(this.tokens, at + 1)
    const columns = this.tokens.slice(at + 2, end).filter(isName)
    return { table, columns, end }
  }

  /** Whether the parenthesis just written groups tables: `FROM (a JOIN b …)`. */
  private afterFrom(): boolean {
    const before = this.out.at(-2)
    return isWord(before, "FROM", "JOIN") || isSymbol(before, ",")
  }

  private word(current: Token): void {
    const { depth, text } = current
    const next = this.tokens[this.at + 1]
    const following = next?.kind === "word" ? next.text : undefined
    // A table may be called USER.
    const named = isSymbol(this.tokens[this.at - 1], ".") || (text === "USER" && !beginsOperand(this.tokens, this.at))
    const register = named ? undefined : registerAt(text, following)
    const unknown = text === "CURRENT" ? following : /^CURRENT_(.+)/.exec(text)?.[1]
    if (!named && unknown !== undefined && otherRegisters.includes(unknown) && beginsOperand(this.tokens, this.at)) {
      throw new failures.Refused(failures.unsupported(`CURRENT ${unknown}`))
    }
    if (register !== undefined && !isSymbol(next, ".")) {
      this.at += register[1]
      this.skipPrecision()
      this.out.push(...snippet(register[0].sql(this.environment), depth))
      return
    }
    if (isSymbol(next, "(") && this.call(text, depth)) {
      return
    }
    if (typedLiterals.includes(text) && next?.kind === "string") {
      this.at++
      return
    }
    if (this.tail(text, depth)) {
      return
    }
    this.at++
    this.qualified(current)
    this.follow(text, depth)
  }

  /** `CURRENT TIMESTAMP(6)`. */
  private skipPrecision(): void {
    if (isSymbol(this.tokens[this.at], "(")) {
      this.at = closing(this.tokens, this.at) + 1
    }
  }

  /** `QSYS2.JOB_NAME`, and `SCHEMA.TABLE.COLUMN`, of which SQLite knows the last two. */
  private qualified(current: Token): void {
    const dotted = isSymbol(this.tokens[this.at], ".")
    const second = this.tokens[this.at + 1]
    if (dotted && current.text === "QSYS2" && isWord(second, "JOB_NAME")) {
      this.at += 2
      this.out.push(...snippet(jobName.sql(this.environment), current.depth))
      return
    }
    if (dotted && isName(second) && isSymbol(this.tokens[this.at + 2], ".") && isName(this.tokens[this.at + 3])) {
      this.at++
      return
    }
    this.out.push(current)
  }

  /** What comes after a word: tables, or the end of a list of them. */
  private follow(text: string, depth: number): void {
    if (text === "SELECT" || text === "DELETE") {
      this.selecting[depth] = true
      this.listing[depth] = false
    } else if (text === "FROM" && this.selecting[depth] === true) {
      this.listing[depth] = true
      this.table()
    } else if (text === "JOIN" || text === "INTO" || text === "REFERENCES") {
      this.table()
    } else if (text === "UPDATE" && (this.at === 1 || isSymbol(this.tokens[this.at - 2], "("))) {
      this.table()
    } else if (afterTables.has(text)) {
      this.listing[depth] = false
    }
  }

  /** A table's name at this place: its schema goes, Db2's catalog becomes a query. */
  private table(): void {
    let schema: string | undefined
    while (
      isName(this.tokens[this.at]) &&
      (isSymbol(this.tokens[this.at + 1], ".") || isSymbol(this.tokens[this.at + 1], "/")) &&
      isName(this.tokens[this.at + 2])
    ) {
      schema = nameOf(this.tokens[this.at]!)
      this.at += 2
    }
    const name = this.tokens[this.at]
    if (schema !== undefined && isName(name)) {
      const own = catalogSchemas.has(schema) && !isSymbol(this.tokens[this.at + 1], "(")
      const query = own && Object.hasOwn(catalog, nameOf(name)) ? catalog[nameOf(name)] : undefined
      if (own && query === undefined) {
        throw new failures.Refused(failures.unsupported(`${schema}.${nameOf(name)}`))
      }
      this.at++
      this.out.push(...(query === undefined ? [name] : snippet(query(this.environment), name.depth)))
    }
  }

  /** Functions that are called otherwise; true if it was one. */
  private call(name: string, depth: number): boolean {
    const open = this.at + 1
    const close = closing(this.tokens, open)
    switch (name) {
      case "CAST": {
        const inside = this.tokens.slice(open + 1, close)
        const as = inside.findLastIndex((item) => item.depth === depth + 1 && isWord(item, "AS"))
        if (as < 0) {
          return false
        }
        const declared = typeOf(inside.slice(as + 1))
        const type = parseDb2Type(declared)
        if (type === undefined) {
          return failures.refuse(inside[as + 1]?.text ?? ")")
        }
        // A marker's value has been looked at before, and refused if it is too long.
        const cut = /CHAR|GRAPHIC/.test(type.name) && declared.includes("(") && inside[0]?.kind !== "marker"
        this.convert(inside.slice(0, as), type, cut ? type.precision : undefined, depth)
        this.at = close + 1
        return true
      }
      case "CHAR":
      case "VARCHAR":
        return isCall(this.tokens, this.at) || this.at === 0 ? this.textOf(name, open, depth) : false
      case "CONCAT":
        return beginsOperand(this.tokens, this.at) ? this.concat(open, depth) : false
      case "LISTAGG":
        return isCall(this.tokens, this.at) || this.at === 0 ? this.listagg(open, depth) : false
      case "IDENTITY_VAL_LOCAL":
        this.out.push(...snippet("last_insert_rowid()", depth))
        this.at = close + 1
        return true
      case "VALUE":
        this.out.push(token("word", "COALESCE", depth))
        this.at++
        return true
      default:
        return isCall(this.tokens, this.at) || this.at === 0 ? this.otherwise(name, open, depth) : false
    }
  }

  /** Functions that SQLite has under other names, or not at all. */
  private otherwise(name: string, open: number, depth: number): boolean {
    const args = argumentsOf(this.tokens, open)
    const [value = [], ...more] = args
    const declared = castTypeOf(
      name,
      more.map((item) => (item.length === 1 ? item[0]!.text : ""))
    )
    const template = declared === undefined ? templateOf(name, args) : undefined
    if (declared !== undefined && args.length > 0) {
      this.convert(value, parseDb2Type(declared)!, undefined, depth)
    } else if (template !== undefined) {
      const inner = args.map((item) => this.inner(item))
      const call = filled(template, inner, depth)
      if (call === undefined) {
        throw new failures.Refused(failures.unsupported(`${name} of such an aggregate`))
      }
      this.out.push(...call)
    } else {
      return false
    }
    this.at = closing(this.tokens, open) + 1
    return true
  }

  /** A marker's value has been looked at before, and so has NULL. */
  private convert(value: ReadonlyArray<Token>, type: Db2Type, length: number | undefined, depth: number): void {
    const template = value.length === 1 && value[0]!.kind === "marker" ? undefined : conversionTo(type)
    const converted = template === undefined ? undefined : filled(template, [this.inner(value)], depth)
    if (converted === undefined) {
      this.cast(value, castType(type), length, depth)
    } else {
      this.out.push(...converted)
    }
  }

  /** A text that is longer is cut. */
  private cast(value: ReadonlyArray<Token>, type: string, length: number | undefined, depth: number): void {
    this.out.push(...snippet(length === undefined ? "CAST (" : "SUBSTR ( CAST (", depth), ...this.inner(value))
    this.out.push(...snippet(`AS ${type})${length === undefined ? "" : `, 1, ${length} )`}`, depth))
  }

  /** `CHAR(value)`, `CHAR(value, length)`; dates in another format than the connection's are not known. */
  private textOf(name: string, open: number, depth: number): true {
    const [value, length, ...more] = argumentsOf(this.tokens, open)
    const isLength = length?.length === 1 && /^\d+$/.test(length[0]!.text)
    if (value === undefined || more.length > 0 || (length !== undefined && !isLength)) {
      throw new failures.Refused(failures.routineNotFound(name))
    }
    this.cast(value, "TEXT", length === undefined ? undefined : Number(length[0]!.text), depth)
    this.at = closing(this.tokens, open) + 1
    return true
  }

  /** `CONCAT(a, b)`: SQLite's own takes a NULL for an empty text. */
  private concat(open: number, depth: number): true {
    const [left = [], right = []] = argumentsOf(this.tokens, open)
    const sign = (text: string) => token("symbol", text, depth)
    this.out.push(sign("("), ...this.inner(left), sign("||"), ...this.inner(right), sign(")"))
    this.at = closing(this.tokens, open) + 1
    return true
  }

  private inner(tokens: ReadonlyArray<Token>): ReadonlyArray<Token> {
    return new Rewriter(tokens, this.environment).run()
  }

  /** Clauses at the end of a query, and the infix CONCAT; true if it was one. */
  private tail(text: string, depth: number): boolean {
    const { at, tokens } = this
    switch (text) {
      case "CONCAT":
        this.out.push(token("symbol", "||", depth))
        this.at++
        return true
      case "OFFSET":
        return this.offset(depth)
      case "FETCH":
        return wordsAt(tokens, at, "FETCH", "FIRST") || wordsAt(tokens, at, "FETCH", "NEXT")
          ? this.limit(undefined, depth)
          : false
      case "WITH":
        if (at > 0 && isWord(tokens[at + 1], ...isolations)) {
          const kept = wordsAt(tokens, at + 2, "USE", "AND", "KEEP", "EXCLUSIVE", "LOCKS")
          this.at += kept ? 7 : wordsAt(tokens, at + 2, "KEEP", "LOCKS") ? 4 : 2
          return true
        }
        return false
      case "FOR":
        return this.forClause()
      case "OPTIMIZE":
        return wordsAt(tokens, at + 1, "FOR") ? this.skip(4) : false
      case "SKIP":
        return wordsAt(tokens, at, "SKIP", "LOCKED", "DATA") ? this.skip(3) : false
      case "USE":
        return wordsAt(tokens, at, "USE", "CURRENTLY", "COMMITTED") ? this.skip(3) : false
      case "WAIT":
        return wordsAt(tokens, at, "WAIT", "FOR", "OUTCOME") ? this.skip(3) : false
      default:
        return false
    }
  }

  private skip(words: number): true {
    this.at += words
    return true
  }

  private forClause(): boolean {
    const { at, tokens } = this
    if (wordsAt(tokens, at, "FOR", "READ", "ONLY") || wordsAt(tokens, at, "FOR", "FETCH", "ONLY")) {
      return this.skip(3)
    }
    if (!wordsAt(tokens, at, "FOR", "UPDATE")) {
      return false
    }
    this.at += 2
    if (isWord(tokens[this.at], "OF")) {
      do {
        this.at += 2
      } while (isSymbol(tokens[this.at], ","))
    }
    return true
  }

  /** `OFFSET n ROWS`, alone or before FETCH; `LIMIT m OFFSET n` is SQLite's own. */
  private offset(depth: number): boolean {
    const end = this.rowsAfter(this.at + 1, depth)
    if (end === undefined) {
      return false
    }
    const count = this.inner(this.tokens.slice(this.at + 1, end))
    this.at = end + 1
    if (isWord(this.tokens[this.at], "FETCH")) {
      return this.limit(count, depth)
    }
    this.out.push(...snippet("LIMIT -1 OFFSET", depth), ...count)
    return true
  }

  /** `FETCH FIRST [n] ROWS ONLY`; the offset comes first in SQLite's form with a comma, too, so markers keep their order. */
  private limit(offset: ReadonlyArray<Token> | undefined, depth: number): true {
    const end = this.rowsAfter(this.at + 2, depth)
    if (end === undefined || !isWord(this.tokens[end + 1], "ONLY")) {
      throw new failures.Refused(failures.invalidToken("FETCH"))
    }
    const count = end === this.at + 2 ? snippet("1", depth) : this.inner(this.tokens.slice(this.at + 2, end))
    this.at = end + 2
    this.out.push(token("word", "LIMIT", depth))
    if (offset !== undefined) {
      this.out.push(...offset, token("symbol", ",", depth))
    }
    this.out.push(...count)
    return true
  }

  /** The place of ROW or ROWS. */
  private rowsAfter(from: number, depth: number): number | undefined {
    for (let i = from; i < this.tokens.length && i < from + 8; i++) {
      if (this.tokens[i]!.depth === depth && isWord(this.tokens[i], "ROW", "ROWS")) {
        return i
      }
    }
    return undefined
  }
}

export const rewrite = (tokens: ReadonlyArray<Token>, environment: Environment): ReadonlyArray<Token> =>
  new Rewriter(tokens, environment).run()
