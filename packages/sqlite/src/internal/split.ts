/**
 * Finds the first statement of a text and what can be said of it without SQLite: its parameters, and by its keywords
 * whether it reads only. The carriers' APIs tell neither where a statement ends nor how many parameters it has.
 *
 * The scanner follows SQLite's tokenizer (src/tokenize.c), the end of a trigger the rule of `sqlite3_complete`.
 */
export interface Statement {
  /** Without the semicolon that ends it. */
  readonly text: string
  /** What follows, without white space, comments and semicolons in front of it. */
  readonly tail: string
  /** The highest number of a parameter (https://www.sqlite.org/lang_expr.html#varparam). */
  readonly parameterCount: number
  /** Every place where a parameter stands in `text`. */
  readonly parameters: ReadonlyArray<Parameter>
  /** In upper case: the first few bare words. */
  readonly words: ReadonlyArray<string>
  readonly readonly: boolean
  /** May run on another connection, as far as its text tells. */
  readonly routable: boolean
  /** Makes what each connection has for itself: temporary objects, attached databases, other answers to reads, views of these. */
  readonly private: boolean
}

export interface Parameter {
  readonly start: number
  readonly end: number
  /** From 1. */
  readonly number: number
  /** With its first character; undefined for `?` and `?NNN`. */
  readonly name: string | undefined
}

/** undefined when the text has no statement. */
export const firstStatement = (sql: string): Statement | undefined => {
  const scanner = new Scanner(sql)
  let kind = scanner.next()
  while (kind === Token.semicolon) kind = scanner.next()
  if (kind === Token.end) return undefined
  const start = scanner.start
  const facts = new Facts(sql, start)
  let last = scanner.end
  while (kind !== Token.end && !(kind === Token.semicolon && facts.mayEnd())) {
    facts.token(kind, scanner.start, scanner.end)
    last = scanner.end
    kind = scanner.next()
  }
  facts.token(Token.end, sql.length, sql.length)
  return facts.statement(sql.slice(start, last), kind === Token.semicolon ? restOf(sql, scanner) : "")
}

const restOf = (sql: string, scanner: Scanner): string => {
  let kind = scanner.next()
  while (kind === Token.semicolon) kind = scanner.next()
  return kind === Token.end ? "" : sql.slice(scanner.start)
}

export const Token = { end: 0, semicolon: 1, word: 2, quoted: 3, string: 4, variable: 5, number: 6, other: 7 } as const
export type Token = (typeof Token)[keyof typeof Token]

const isSpace = (c: number): boolean => c === 32 || (c >= 9 && c <= 13 && c !== 11) || c === 0xfeff
const isDigit = (c: number): boolean => c >= 48 && c <= 57
/** SQLite's IdChar; everything outside ASCII belongs to identifiers, a byte order mark in front of them does not. */
const isIdentifier = (c: number): boolean =>
  (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || isDigit(c) || c === 95 || c === 36 || c >= 128

export class Scanner {
  start = 0
  end: number
  private readonly sql: string
  /** SQLite stops at a NUL: where one is met, this is its place. Nothing behind the statement is looked at. */
  private length: number

  constructor(sql: string) {
    this.sql = sql
    this.end = 0
    this.length = sql.length
  }

  private at(i: number): number {
    return i < this.length ? this.sql.charCodeAt(i) : 0
  }

  /** The next token that is neither white space nor comment; it lies from `start` to `end`. */
  next(): Token {
    let i = this.end
    for (;;) {
      const c = this.at(i)
      // A vertical tab is white space only behind other.
      if (isSpace(c)) {
        do i++
        while (isSpace(this.at(i)) || this.at(i) === 11)
      } else if (c === 45 && this.at(i + 1) === 45) i = this.find("\n", i + 2)
      else if (c === 47 && this.at(i + 1) === 42 && this.at(i + 2) !== 0) i = this.find("*/", i + 2)
      else break
    }
    this.start = i
    if (this.at(i) === 0) {
      this.length = Math.min(i, this.length)
    }
    if (i >= this.length) {
      this.end = this.length
      return Token.end
    }
    const c = this.sql.charCodeAt(i)
    switch (c) {
      case 59:
        this.end = i + 1
        return Token.semicolon
      case 39:
        this.end = this.quoted(i, c)
        return Token.string
      case 34:
      case 96:
        this.end = this.quoted(i, c)
        return Token.quoted
      case 91:
        this.end = this.find("]", i + 1)
        return Token.quoted
      case 63:
        i++
        while (isDigit(this.at(i))) i++
        this.end = i
        return Token.variable
      case 35:
      case 36:
      case 58:
      case 64:
        return this.variable(i)
    }
    if (isDigit(c) || (c === 46 && isDigit(this.at(i + 1)))) {
      while (isIdentifier(this.at(i)) || this.at(i) === 46) i++
      this.end = i
      return Token.number
    }
    if (isIdentifier(c)) {
      // x'…' is a blob.
      if ((c | 32) === 120 && this.at(i + 1) === 39) {
        this.end = this.quoted(i + 1, 39)
        return Token.string
      }
      while (isIdentifier(this.at(i))) i++
      this.end = i
      return Token.word
    }
    this.end = i + 1
    return Token.other
  }

  /** Behind the next occurrence of `what`, or at the end. */
  private find(what: string, from: number): number {
    const found = this.sql.indexOf(what, from)
    const end = found < 0 ? this.length : Math.min(found + what.length, this.length)
    const nul = this.sql.slice(from, end).indexOf("\0")
    return nul < 0 ? end : (this.length = from + nul)
  }

  private quoted(from: number, quote: number): number {
    let i = from + 1
    while (i < this.length) {
      const c = this.sql.charCodeAt(i)
      if (c === 0) return (this.length = i)
      if (c !== quote) i++
      else if (this.at(i + 1) === quote) i += 2
      else return i + 1
    }
    return this.length
  }

  /** `:name`, `@name`, `$name`, with Tcl's `::` and `(…)`. */
  private variable(from: number): Token {
    let i = from + 1
    let named = 0
    for (;;) {
      const c = this.at(i)
      if (isIdentifier(c)) named++
      else if (c === 58 && this.at(i + 1) === 58) i++
      else if (c === 40 && named > 0) {
        do i++
        while (this.at(i) !== 0 && !isSpace(this.at(i)) && this.at(i) !== 41)
        if (this.at(i) === 41) i++
        break
      } else break
      i++
    }
    this.end = i
    return named > 0 ? Token.variable : Token.other
  }
}

const keptWords = 8
const writing = new Set(["INSERT", "UPDATE", "DELETE", "REPLACE"])
/** They speak of their own connection. */
const ownFunctions = new Set(["last_insert_rowid", "changes", "total_changes", "load_extension"])
const createTrigger = /^(EXPLAIN (QUERY PLAN )?)?CREATE (TEMP |TEMPORARY )?TRIGGER$/
/** Pragmas that SQLite takes for writing even without an argument. */
const workingPragmas = new Set(["JOURNAL_MODE", "WAL_CHECKPOINT", "OPTIMIZE", "INCREMENTAL_VACUUM", "SHRINK_MEMORY"])
/** Pragmas with which a connection answers to reads otherwise than others (the native engine's are in actions.c). */
const answeringPragmas = new Set([
  "case_sensitive_like",
  "full_column_names",
  "locking_mode",
  "read_uncommitted",
  "reverse_unordered_selects",
  "short_column_names",
  "trusted_schema",
  "writable_schema"
])

class Facts {
  private readonly sql: string
  private readonly offset: number
  private readonly words: Array<string> = []
  private readonly parameters: Array<Parameter> = []
  private readonly named = new Map<string, number>()
  private highest = 0
  private tokens = 0
  private trigger = false
  private writes = false
  private ownFunction = false
  private pragma = false
  private argument = false
  private answering = false
  private temporary = false
  private lastKind: Token = Token.end
  private lastText = ""
  private ends = false

  constructor(sql: string, offset: number) {
    this.sql = sql
    this.offset = offset
  }

  /** Whether a semicolon would end the statement here. */
  mayEnd(): boolean {
    return !this.trigger || this.ends
  }

  token(kind: Token, start: number, end: number): void {
    const text = kind === Token.word || kind === Token.quoted ? this.name(kind, start, end) : ""
    const character = kind === Token.other ? this.sql.charCodeAt(start) : 0
    const call = character === 40
    if (this.lastKind === Token.word || this.lastKind === Token.quoted) {
      if (call && ownFunctions.has(this.lastText)) this.ownFunction = true
      if (this.lastKind === Token.word && !call && writing.has(this.lastText.toUpperCase())) this.writes = true
      if (character === 46 && this.lastText === "temp" && this.tokens <= keptWords) this.temporary = true
    }
    if (!this.argument && answeringPragmas.has(text)) this.answering = true
    if (call || character === 61) this.argument = true
    if (kind === Token.word && this.words.length < keptWords) this.word(text.toUpperCase())
    // A trigger's statements end with semicolons, and it with the END that follows one.
    this.ends = this.lastKind === Token.semicolon && text === "end"
    if (text.startsWith("pragma_")) this.pragma = true
    if (kind === Token.variable) this.variable(start, end)
    this.lastKind = kind
    this.lastText = text
    this.tokens++
  }

  private word(word: string): void {
    this.words.push(word)
    if (word === "TRIGGER" && this.tokens === this.words.length - 1)
      this.trigger = createTrigger.test(this.words.join(" "))
  }

  private name(kind: Token, start: number, end: number): string {
    // A word longer than any that matters is not worth a copy.
    if (end - start > 64) return ""
    const text = this.sql.slice(start, end).toLowerCase()
    return kind === Token.word ? text : text.slice(1, -1)
  }

  private variable(start: number, end: number): void {
    const text = this.sql.slice(start, end)
    let number: number
    let name: string | undefined
    if (text === "?") number = this.highest + 1
    else if (text.startsWith("?")) number = Number(text.slice(1))
    else {
      name = text
      number = this.named.get(text) ?? this.highest + 1
      this.named.set(text, number)
    }
    if (number > this.highest) this.highest = number
    this.parameters.push({ start: start - this.offset, end: end - this.offset, number, name })
  }

  statement(text: string, tail: string): Statement {
    const { parameters, words } = this
    const first = words[0] ?? ""
    const query = first === "SELECT" || first === "VALUES" || (first === "WITH" && !this.writes)
    return {
      text,
      tail,
      parameterCount: this.highest,
      parameters,
      words,
      readonly: query || this.harmless(first),
      routable: query && !this.pragma && !this.ownFunction,
      private:
        first === "ATTACH" ||
        (first === "CREATE" && (this.temporary || words[1] === "TEMP" || words[1] === "TEMPORARY")) ||
        ((first === "PRAGMA" || first === "EXPLAIN") && this.argument && this.answering) ||
        (first === "CREATE" && words[1] === "VIEW" && (this.pragma || this.ownFunction))
    }
  }

  private harmless(first: string): boolean {
    switch (first) {
      case "EXPLAIN":
        return true
      case "PRAGMA":
        return !this.argument && !this.words.some((word) => workingPragmas.has(word))
      // As sqlite3_stmt_readonly has it: they write nothing themselves.
      case "BEGIN":
        return this.words[1] !== "IMMEDIATE" && this.words[1] !== "EXCLUSIVE"
      case "COMMIT":
      case "END":
      case "ROLLBACK":
      case "SAVEPOINT":
      case "RELEASE":
        return true
      default:
        return false
    }
  }
}
