/**
 * How long a statement becomes with each mention of a common table expression or view replaced by its body. SQLite does
 * just that while it prepares, where nothing stops it: two mentions in each of twenty make a million copies.
 *
 * Whether a name is a table's is told by what stands before it; in doubt it is one. Names are found in the innermost
 * parentheses that define them, as SQLite does it, or a harmless expression could stand in for one that is not.
 */
import { folded } from "../folded.js"
import { Scanner, Token } from "../split.js"

/** The body of a common table expression, or the statement or view itself. */
class Body {
  /** Behind its end; until that is known, it encloses all that comes. */
  end = Infinity
  /** Its own, then with that of what it mentions. */
  length = 0
  /** Mentions whose length is not known yet. */
  waiting = 0
  readonly mentionedIn: Array<Body> = []

  constructor(readonly start: number) {}

  encloses(other: Body): boolean {
    return this.start <= other.start && other.start < this.end
  }
}

/** Of `WITH name (columns) AS NOT MATERIALIZED (body), …`: what came last. */
const State = { before: 0, with: 1, comma: 2, name: 3, as: 4, body: 5, behind: 6 } as const
type State = (typeof State)[keyof typeof State]

const beforeTable = new Set(["from", "join", "in"])
/** Reserved words: behind them a comma leads to no table, until there is another FROM. */
const behindTables = new Set("select values where group having order limit union except intersect".split(" "))

/** What is within parentheses, or within none. */
class Group {
  private state: State = State.before
  private name = ""
  private readonly bodies = new Map<string, Body>()
  /** Where names stand as tables that are not defined in here, as far as it is known. */
  mentions = new Map<string, Array<Body>>()

  constructor(
    readonly body: Body,
    /** Whether a comma leads to a table. */
    public tables: boolean
  ) {}

  token(word: string, name: string | undefined, character: string): void {
    if (word === "from") this.tables = true
    else if (behindTables.has(word)) this.tables = false
    this.state = this.after(word, name, character)
  }

  /** What is not as expected was no WITH clause: the word is a name, too. */
  private after(word: string, name: string | undefined, character: string): State {
    switch (this.state) {
      case State.before:
        return word === "with" ? State.with : word === "select" || word === "values" ? State.behind : State.before
      case State.with:
      case State.comma:
        if (this.state === State.with && word === "recursive") return State.comma
        this.name = name ?? ""
        return name === undefined ? State.before : State.name
      case State.name:
        return word === "as" ? State.as : character === "(" || character === ")" ? State.name : State.before
      case State.as:
        if (character === "(") return State.body
        return word === "not" || word === "materialized" ? State.as : State.before
      case State.body:
        return character === ")" ? State.body : character === "," ? State.comma : State.behind
      case State.behind:
        return State.behind
    }
  }

  /** What an opening parenthesis, which has just been said, leads to. */
  open(at: number, tables: boolean): Group {
    if (this.state !== State.body) return new Group(this.body, tables)
    const body = new Body(at)
    this.bodies.set(this.name, body)
    return new Group(body, false)
  }

  mention(name: string): void {
    const there = this.mentions.get(name)
    if (there === undefined) this.mentions.set(name, [this.body])
    else there.push(this.body)
  }

  close(at: number, outer: Group | undefined): void {
    for (const [name, body] of this.bodies) {
      for (const from of this.mentions.get(name) ?? []) {
        // Recursion copies nothing.
        if (body.encloses(from)) continue
        from.waiting++
        body.mentionedIn.push(from)
      }
      this.mentions.delete(name)
    }
    if (outer === undefined) return
    if (outer.body !== this.body) {
      this.body.end = at
      this.body.length = at - this.body.start
    }
    outer.adopt(this.mentions)
  }

  /** The smaller into the larger, or deep nesting would take quadratic time. */
  private adopt(inner: Map<string, Array<Body>>): void {
    const [from, to] = inner.size < this.mentions.size ? [inner, this.mentions] : [this.mentions, inner]
    for (const [name, one] of from) {
      const other = to.get(name) ?? []
      const [less, more] = one.length < other.length ? [one, other] : [other, one]
      for (const body of less) more.push(body)
      to.set(name, more)
    }
    this.mentions = to
  }
}

/** A statement or view, the bodies in it, and where it mentions tables that it does not define. */
interface Scanned {
  readonly statement: Body
  readonly bodies: Array<Body>
  readonly mentions: Array<readonly [name: string, from: Body]>
}

const scan = (sql: string): Scanned => {
  const scanner = new Scanner(sql)
  const statement = new Body(0)
  const bodies = [statement]
  const mentions: Array<readonly [string, Body]> = []
  statement.length = sql.length
  let groups = [new Group(statement, false)]
  /** Whether a name would be a table's here. */
  let leads = false
  /** A table's name, unless it is the schema's; behind a schema's it is that of no common table expression. */
  let table: string | undefined
  let qualified = false
  const closeAll = () => {
    const outermost = groups[0]!
    while (groups.length > 0) groups.pop()!.close(sql.length, groups.at(-1))
    for (const [name, from] of outermost.mentions) for (const body of from) mentions.push([name, body])
  }
  for (let kind = scanner.next(); kind !== Token.end; kind = scanner.next()) {
    const text = sql.slice(scanner.start, scanner.end)
    const word = kind === Token.word ? folded(text) : ""
    const name =
      kind === Token.word ? word : kind === Token.quoted || kind === Token.string ? unquoted(text) : undefined
    const character = kind === Token.other ? text : ""
    const group = groups.at(-1)!
    if (qualified && name !== undefined) mentions.push([name, group.body])
    else if (table !== undefined && character !== ".") group.mention(table)
    qualified = table !== undefined && character === "."
    table = leads ? name : undefined
    if (kind === Token.semicolon) {
      // The next statement's names are its own.
      closeAll()
      groups = [new Group(statement, false)]
      leads = false
      continue
    }
    if (character === ")" && groups.length > 1) {
      groups.pop()
      group.close(scanner.start, groups.at(-1))
    }
    const current = groups.at(-1)!
    current.token(word, name, character)
    leads = beforeTable.has(word) || (character === "," && current.tables) || (character === "(" && leads)
    if (character === "(") {
      const inner = current.open(scanner.start, leads)
      if (inner.body !== current.body) bodies.push(inner.body)
      groups.push(inner)
    }
  }
  if (table !== undefined) groups.at(-1)!.mention(table)
  closeAll()
  return { statement, bodies, mentions }
}

/** In characters, with the lengths of views by their names; infinite for what mentions itself in a circle. */
export const expandedLength = (sql: string, views: ReadonlyMap<string, number>): number => {
  const { bodies, mentions, statement } = scan(sql)
  for (const [name, from] of mentions) from.length += views.get(name) ?? 0
  settle(bodies)
  return lengthOf(statement)
}

/** The same of views, which mention one another. Of several that have the same name, in several files: the sum. */
export const viewLengths = (
  definitions: ReadonlyArray<readonly [name: string, sql: string]>
): ReadonlyMap<string, number> => {
  const views = definitions.map(([name, sql]) => ({ name: folded(name), ...scan(sql) }))
  const named = new Map<string, Array<Body>>()
  for (const { name, statement } of views) named.set(name, [...(named.get(name) ?? []), statement])
  for (const [name, from] of views.flatMap(({ mentions }) => mentions)) {
    for (const body of named.get(name) ?? []) {
      from.waiting++
      body.mentionedIn.push(from)
    }
  }
  settle(views.flatMap(({ bodies }) => bodies))
  return new Map([...named].map(([name, bodies]) => [name, bodies.reduce((sum, body) => sum + lengthOf(body), 0)]))
}

/** From those that mention nothing to those that mention them. */
const settle = (bodies: ReadonlyArray<Body>): void => {
  const known = bodies.filter((body) => body.waiting === 0)
  for (let body = known.pop(); body !== undefined; body = known.pop()) {
    for (const from of body.mentionedIn) {
      from.length += body.length
      if (--from.waiting === 0) known.push(from)
    }
  }
}

const lengthOf = (body: Body): number => (body.waiting === 0 ? body.length : Infinity)

const unquoted = (text: string): string => {
  const quote = text.charAt(0)
  const inside = text.slice(1, -1)
  return folded(quote === "[" ? inside : inside.replaceAll(quote + quote, quote))
}
