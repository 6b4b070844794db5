/** Texts of FTS5's query language (https://www.sqlite.org/fts5.html#full_text_query_syntax) in which all words are quoted. */

/** A NUL would end the query within its quotes, and a lone surrogate has no UTF-8. */
const unusable = /\0|\p{Surrogate}/gu

/** A string of FTS5: everything in it is text, to be cut into tokens by the table's tokenizer. */
export const quote = (text: string): string => `"${text.replace(unusable, " ").replaceAll('"', '""')}"`

/** What FTS5 takes for a query that is right and matches nothing. */
export const nothing = quote("")

const starred = (text: string): string => `${quote(text)} *`

/**
 * Of what somebody typed: FTS5 takes quadratic time for them, and looks neither at interrupts nor deadlines meanwhile
 * (10,000 words: seconds).
 */
const mostWords = 256

const wordsOf = (text: string): Array<string> =>
  text
    .split(/\s+/u, mostWords + 1)
    .filter((word) => word !== "")
    .slice(0, mostWords)

/** Side by side means AND, but leaves out words without tokens, such as a dash: after AND these would match nothing. */
const together = (quoted: ReadonlyArray<string>): string => (quoted.length === 0 ? nothing : quoted.join(" "))

/** How words become a query. */
export interface WordsOptions {
  /** The last word is the beginning of one: search as you type. Default false. */
  readonly prefix?: boolean | undefined
  /** One of the words is enough. Default false: all of them. */
  readonly any?: boolean | undefined
}

export const words = (text: string, { any = false, prefix = false }: WordsOptions): string => {
  const all = wordsOf(text)
  const quoted = all.map((word, i) => (prefix && i === all.length - 1 ? starred(word) : quote(word)))
  return any && quoted.length > 0 ? quoted.join(" OR ") : together(quoted)
}

export const prefix = starred

/** `-` before it, a phrase in quotes or a word, `*` behind it. A quote that is not closed reaches to the end. */
const typed = /(-?)(?:"([^"]*)"?|([^\s"]+))(\*?)/gu

/** What people know from search engines. */
export const search = (text: string): string => {
  /** Alternatives, one of which must be there. */
  const wanted: Array<Array<string>> = []
  const unwanted: Array<string> = []
  let or = false
  let count = 0
  for (const [, minus, inQuotes, word, star] of text.matchAll(typed)) {
    if (++count > mostWords) {
      break
    }
    if (word === "OR" && minus === "") {
      or = true
      continue
    }
    const bare = inQuotes ?? word!.replace(/\*+$/u, "")
    if (bare === "" || bare === "-") {
      continue
    }
    const quoted = star === "*" || bare !== (inQuotes ?? word) ? starred(bare) : quote(bare)
    if (minus === "-") {
      unwanted.push(quoted)
    } else if (or && wanted.length > 0) {
      wanted[wanted.length - 1]!.push(quoted)
    } else {
      wanted.push([quoted])
    }
    or = false
  }
  // What has alternatives cannot stand beside the others without AND.
  const [single, several] = [wanted.filter((one) => one.length === 1), wanted.filter((one) => one.length > 1)]
  const all = [...(single.length > 0 ? [together(single.flat())] : []), ...several.map((one) => one.join(" OR "))]
  const found = combined("AND", all)
  return all.length === 0 || unwanted.length === 0 ? found : `(${found}) NOT (${unwanted.join(" OR ")})`
}

export const combined = (operator: "AND" | "OR" | "NOT", queries: ReadonlyArray<string>): string =>
  queries.length === 0 ? nothing : queries.map((query) => `(${query})`).join(` ${operator} `)

export const near = (phrases: ReadonlyArray<string>, distance: number): string =>
  phrases.length === 0 ? nothing : `NEAR(${phrases.map(quote).join(" ")}, ${Math.max(0, Math.trunc(distance) || 0)})`

export const within = (columns: ReadonlyArray<string>, query: string, not: boolean): string =>
  columns.length === 0 ? (not ? query : nothing) : `${not ? "- " : ""}{${columns.map(quote).join(" ")}} : (${query})`
