/** What a text does, in few words: the operation and the tables, for names of spans and attributes of metrics. */
import type * as Statement from "@effect/sql/Statement"

export interface Operation {
  /** OpenTelemetry's `db.operation.name`: SELECT, or empty where the text does not begin with a word. */
  readonly name: string
  /** OpenTelemetry's `db.query.summary`: operations and tables in the order of the text, such as `SELECT flights`. */
  readonly summary: string
  /** The table, where there is exactly one. */
  readonly collection: string | undefined
}

/** As much of a text as is looked at. */
const head = 4_096
/** The longest summary, by OpenTelemetry's rules for it. */
const longest = 255

const quotedPart = /"[^"]+"|`[^`]+`|\[[^\]]+\]/.source
const plain = /[\p{L}_@#$][\p{L}\p{N}_@#$]*/u.source
const dot = /\s*\.\s*/.source

/** Comments and strings, names with a part in quotes, words and names without, signs. Nothing else matters here. */
const token = new RegExp(
  /--[^\n]*|\/\*[^]*?(?:\*\/|$)|'(?:[^']|'')*'/.source +
    `|((?:${plain}${dot})*(?:${quotedPart})(?:${dot}(?:${quotedPart}|${plain}))*)` +
    `|(${plain}(?:${dot}${plain})*)|([(),;])`,
  "gu"
)

/** A name as it is told: its parts without their quotes, and without what is between them. */
const unquoted = (name: string): string =>
  name.replace(/"([^"]+)"|`([^`]+)`|\[([^\]]+)\]|\s+/g, (_, a?: string, b?: string, c?: string) => a ?? b ?? c ?? "")

/** What may come before a statement's first word. */
const starts = new Set(["", ";"])
const tableFollows = new Set(["FROM", "JOIN", "INTO", "UPDATE", "TABLE", "VIEW", "INDEX", "TRIGGER", "CALL"])
const tableMayStillFollow = new Set(
  "IF NOT EXISTS ONLY LATERAL FINAL TABLE OR ABORT FAIL IGNORE REPLACE ROLLBACK".split(" ")
)
const tablesEnd = new Set("WHERE GROUP ORDER HAVING LIMIT FETCH SET VALUES UNION EXCEPT INTERSECT SELECT ON".split(" "))
const definitions = new Set(["CREATE", "DROP", "ALTER"])

/** What is between two parentheses, and outside of them all. */
class Frame {
  /** A statement is in it: so its FROM is not that of `extract(year from d)`. */
  statement = false
  /** A comma now is one between tables. */
  tables = false
  /** The last word: what AS gives a name to. */
  word = ""
}

const changes = new Set(["INSERT", "UPDATE", "DELETE", "MERGE"])

/** Whether a statement begins with the word: at the start, inside a parenthesis, after WITH and its definitions. */
const begins = (word: string, previous: string): boolean =>
  starts.has(previous) || word === "SELECT" || (changes.has(word) && (previous === "(" || previous === ")"))

/** No parser: what this misses makes a summary shorter, nothing else. */
const read = (text: string): Operation => {
  const words: Array<string> = []
  const tables = new Set<string>()
  /** Names that the text defines itself, by WITH. */
  const own = new Set<string>()
  let frames = [new Frame()]
  let name = ""
  let previous = ""
  let wanted = false

  for (const [, part, bare, sign] of text.slice(0, head).matchAll(token)) {
    const frame = frames[frames.length - 1]!
    const quoted = part === undefined ? undefined : unquoted(part)
    const word = bare === undefined ? undefined : unquoted(bare)
    const upper = quoted === undefined ? (word?.toUpperCase() ?? "") : ""
    if (sign !== undefined) {
      wanted = sign === "," && frame.tables
      if (sign === "(") {
        frames.push(new Frame())
      } else if (sign === ")" && frames.length > 1) {
        frames.pop()
      } else if (sign === ";") {
        frames = [new Frame()]
      }
      previous = sign
      continue
    }
    if (quoted === undefined && (word === undefined || (wanted && tableMayStillFollow.has(upper)))) {
      continue
    }
    const begun = upper !== "" && begins(upper, previous)
    if (begun) {
      frame.statement = true
      if (upper !== "WITH") {
        words.push(upper)
      }
      if (name === "" || (name === "WITH" && frames.length === 1)) {
        name = upper
      }
    } else if (wanted) {
      const table = quoted ?? word!
      if (!own.has(table.toUpperCase())) {
        words.push(table)
        tables.add(table)
      }
    } else if (upper === "AS" && name === "WITH") {
      own.add(frame.word)
    } else if (words.length === 1 && definitions.has(name) && tableFollows.has(upper)) {
      words.push(upper)
    }
    wanted =
      !wanted &&
      frame.statement &&
      tableFollows.has(upper) &&
      // Neither `do update` and `for update` nor `is distinct from`.
      (upper === "UPDATE" ? begun : previous !== "DISTINCT")
    frame.tables = (frame.tables && !tablesEnd.has(upper)) || (wanted && upper === "FROM")
    frame.word = upper === "" ? quoted!.toUpperCase() : upper
    previous = frame.word
  }

  return { name, summary: shortened(words), collection: tables.size === 1 ? [...tables][0] : undefined }
}

/** Whole words only. */
const shortened = (words: ReadonlyArray<string>): string => {
  let summary = ""
  for (const word of words) {
    const longer = summary === "" ? word : `${summary} ${word}`
    if (longer.length > longest) {
      break
    }
    summary = longer
  }
  return summary
}

/** Whether a statement of the text begins with one of these words, in capitals; not one in a string, a comment or quotes. */
export const hasStatement = (text: string, ...words: ReadonlyArray<string>): boolean => {
  let isFirst = true
  for (const [, inQuotes, word, sign] of text.matchAll(token)) {
    if (isFirst && word !== undefined && words.includes(word.toUpperCase())) {
      return true
    }
    if (inQuotes !== undefined || word !== undefined || sign !== undefined) {
      isFirst = sign === ";"
    }
  }
  return false
}

/** How a statement begins that does nothing but read and change rows. */
const ofRows = new Set(["SELECT", "WITH", "VALUES", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"])

/** Whether the text is one such statement: no COMMIT, no script, no procedure, that may have ended its transaction. */
export const staysInside = (text: string): boolean => {
  let first: string | undefined
  let ended = false
  for (const [, inQuotes, word, sign] of text.matchAll(token)) {
    const part = word ?? inQuotes ?? sign
    if (part === undefined) {
      continue
    }
    if (ended && part !== ";") {
      return false
    }
    ended = part === ";"
    first ??= part === "(" ? undefined : part
  }
  return first !== undefined && ofRows.has(first.toUpperCase())
}

/** How many texts are remembered. */
const capacity = 1_000

const remembered = <A>(make: (text: string) => A): ((text: string) => A) => {
  const known = new Map<string, A>()
  return (text) => {
    let value = known.get(text)
    if (value === undefined) {
      value = make(text)
      if (known.size >= capacity) {
        known.clear()
      }
      known.set(text, value)
    }
    return value
  }
}

export const operationOf = remembered(read)

/** The first word if it is whole, and tells the operation: that of WITH comes later. Else empty. */
const firstWord = remembered((piece) => {
  const word = /^(?:\s|--[^\n]*\n|\/\*[^]*?\*\/)*([A-Za-z]+)(?![\w$@#])./s.exec(piece)?.[1]?.toUpperCase()
  return word === undefined || word === "WITH" ? "" : word
})

/**
 * The name alone, cheaper: a statement's first piece is the same string in all its runs, while its text is a new one in
 * each, and looking that up takes a tenth of the statement's time.
 */
export const operationNameOf = (segments: ReadonlyArray<Statement.Segment>, text: string): string => {
  const first = segments[0]
  return (first?._tag === "Literal" ? firstWord(first.value) : "") || operationOf(text).name
}
