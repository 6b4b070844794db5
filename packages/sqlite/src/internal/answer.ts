/** A page as the client sees it. */
import type { SqlError } from "@effect/sql/SqlError"
import type { SqlTransport } from "@sluice/sql"
import type { Call } from "./call.js"
import { countersOf } from "./counters.js"
import type { Integers, PageColumn, PageSource, Shape } from "./decoder.js"
import { Flag, Header, Header8 } from "./page.js"

export class SqliteAnswer implements SqlTransport.Answer {
  readonly columns: ReadonlyArray<PageColumn>
  readonly queueNanos: number
  readonly engineNanos: number
  private readonly shape: Shape
  private readonly integers: Integers
  private readonly flags: number
  private readonly changed: number
  private readonly rowid: bigint
  private readonly counted: ReadonlyArray<number> | undefined

  /** Of the last page of a call; `rows` has those of all its pages. */
  constructor(
    { counters, entry, request }: Call,
    source: PageSource,
    base: number,
    private readonly rows: ReadonlyArray<any>, // eslint-disable-line @typescript-eslint/no-explicit-any -- as the query says
    readonly error: SqlError | undefined
  ) {
    const double = base >> 3
    this.columns = entry?.columns ?? []
    this.queueNanos = source.f64[double + Header8.queueNanos]!
    this.engineNanos = source.f64[double + Header8.engineNanos]!
    this.shape = request.shape
    this.integers = request.integers
    this.flags = source.u32[(base >> 2) + Header.flags]!
    this.changed = source.f64[double + Header8.changes]!
    this.rowid = source.i64[double + Header8.lastInsertRowid]!
    this.counted = counters
  }

  get counters(): Readonly<Record<string, number>> | undefined {
    return this.counted === undefined || this.counted.length === 0 ? undefined : { ...countersOf(this.counted) }
  }

  get length(): number {
    return this.rows.length
  }

  get done(): boolean {
    return (this.flags & Flag.done) !== 0
  }

  get inTransaction(): boolean {
    return (this.flags & Flag.inTransaction) !== 0
  }

  get routable(): boolean {
    return (this.flags & Flag.routable) !== 0
  }

  get private(): boolean {
    return (this.flags & Flag.private) !== 0
  }

  get changes(): number | undefined {
    return this.changed < 0 ? undefined : this.changed
  }

  /** As they came: the request's shape decides what is built; the other is made from it. */
  objects() {
    if (this.shape === "objects") {
      return this.rows
    }
    const names = this.columns.map((column) => column.name)
    return this.rows.map((row: ReadonlyArray<unknown>) => Object.fromEntries(names.map((name, i) => [name, row[i]])))
  }

  arrays() {
    if (this.shape === "arrays") {
      return this.rows
    }
    const names = this.columns.map((column) => column.name)
    return this.rows.map((row: Readonly<Record<string, unknown>>) => names.map((name) => row[name]))
  }

  raw(): unknown {
    if (this.columns.length > 0) {
      return this.rows
    }
    const rowid = Number(this.rowid)
    return {
      changes: Math.max(0, this.changed),
      lastInsertRowid: this.integers === "bigint" || !Number.isSafeInteger(rowid) ? this.rowid : rowid
    }
  }
}
