/** A prepared statement over a carrier's JavaScript API. */
import { Flag, Why } from "../page.js"
import type { Statement } from "../split.js"
import { bindAround, type Bound, carrierArguments, readParameters } from "./bindings.js"
import type { CarrierColumn, CarrierStatement, CarrierValue } from "../carrier.js"
import type { PageColumn } from "../pageSource.js"
import { PageWriter, type Value } from "./encodePage.js"
import { type DescribedColumn, EngineError, type Prepared } from "./engine.js"
import type { PortableConnection } from "./portableConnection.js"
import { engineError, Stopped } from "./portableErrors.js"

/** How a run ended: undefined while rows may follow. */
interface Ending {
  readonly error: EngineError | undefined
}

const succeeded: Ending = { error: undefined }

interface Run {
  /** Kept with its iterator, which does not keep it alive. */
  readonly statement: CarrierStatement
  /** Rows that are held already: those of a statement that writes, which SQLite has finished with its first step. */
  readonly held: Array<ReadonlyArray<Value>> | undefined
  readonly iterator: Iterator<unknown> | undefined
  columns: number
  /** A row that no page has taken yet. */
  row: ReadonlyArray<Value> | undefined
  ending: Ending | undefined
  nextHeld: number
}

export class PortableStatement implements Prepared {
  readonly tail: string
  readonly parameterCount: number
  readonly readonly: boolean
  private readonly connection: PortableConnection
  private readonly statement: Statement
  private readonly prepared: CarrierStatement
  private readonly hasColumns: boolean
  /** It is one of those statements that set `changes()`. */
  private readonly counts: boolean
  /** It writes, and is no BEGIN, whose transaction is for others to end. */
  private readonly mayBeLate: boolean
  /** It has failed for its deadline and is committed. */
  private late = false
  private readonly values: Array<CarrierValue> = []
  private run: Run | undefined
  private current: ReadonlyArray<PageColumn>
  private signature: string
  /** The signature of the columns that the loop knows. */
  private sent = ""
  private changes = 0

  constructor(connection: PortableConnection, statement: Statement, prepared: CarrierStatement) {
    this.connection = connection
    this.statement = statement
    this.prepared = prepared
    setUp(prepared)
    this.tail = statement.tail
    this.parameterCount = statement.parameterCount
    this.readonly = statement.readonly
    this.current = readColumns(prepared)
    this.signature = signature(this.current)
    this.hasColumns = this.current.length > 0
    const first = statement.words[0] ?? ""
    this.mayBeLate = !statement.readonly && first !== "BEGIN"
    this.counts = !statement.readonly && /^(INSERT|UPDATE|DELETE|REPLACE|WITH)$/.test(first)
  }

  /** What is private may be found by any name. */
  get routable(): boolean {
    return this.statement.routable && this.hasColumns && !this.connection.isPrivate
  }

  counters(): undefined {
    return undefined
  }

  columnCount(): number {
    return this.current.length
  }

  columns(): ReadonlyArray<DescribedColumn> {
    const { connection } = this
    return this.prepared.columns().map((column) => ({
      name: column.name,
      type: column.type ?? undefined,
      nullable: isNullable(connection, column) ? true : undefined
    }))
  }

  bind(bytes: Uint8Array, offset: number, count: number, _keep: boolean): number {
    return readParameters(bytes, offset, count, this.values)
  }

  fetch(maxRows: number, out: Uint8Array, offset: number, capacity: number): number {
    const started = performance.now()
    // Each page is a request of its own, with its own deadline.
    if (this.run !== undefined) this.connection.words.check()
    const run = (this.run ??= this.begin())
    const block = this.signature === this.sent ? undefined : this.current
    const writer = new PageWriter(run.columns, block)
    while (run.ending === undefined && writer.rowCount < maxRows) {
      this.advance(run)
      if (run.row === undefined) continue
      const needed = writer.add(run.row, capacity)
      if (needed > 0) {
        if (writer.rowCount === 0) return -needed
        break
      }
      run.row = undefined
    }
    // The error's message may need more room than the rows have left: then it comes on a page of its own.
    let ending = run.row === undefined ? run.ending : undefined
    let length = writer.length(ending?.error?.message)
    if (length > capacity && ending?.error !== undefined && writer.rowCount > 0) {
      ending = undefined
      length = writer.length(undefined)
    }
    if (length > capacity) return -length
    if (ending !== undefined) this.reset()
    this.sent = this.signature
    return this.connection.writePage(writer, out, offset, started, {
      flags: this.flags() | (ending === undefined ? 0 : Flag.done) | (this.late ? Flag.executed : 0),
      error: ending?.error,
      detail: -1,
      changes: this.changes
    })
  }

  batch(
    bytes: Uint8Array,
    offset: number,
    parameters: number,
    rows: number,
    out: Uint8Array,
    outOffset: number,
    capacity: number
  ): number {
    const started = performance.now()
    this.reset()
    let failed = -1
    let sum = 0
    let failure: EngineError | undefined
    try {
      this.connection.atomically(this.readonly, () => {
        let at = offset
        for (let r = 0; r < rows; r++) {
          failed = r
          this.look()
          at = this.bind(bytes, at, parameters, false)
          sum += this.runOnce()
        }
        // While it can still be undone.
        this.look()
        // What fails from here on is the end of the transaction, no row.
        failed = -1
      })
    } catch (error) {
      failure = engineError(error)
      this.connection.lastRowid = undefined
    }
    this.values.length = 0
    const writer = new PageWriter(0, undefined)
    // A message longer than the room given is cut: this answer cannot be asked for again.
    const room = capacity - writer.length("")
    const error = failure === undefined ? undefined : cut(failure, room)
    return this.connection.writePage(writer, out, outOffset, started, {
      flags: this.flags() | Flag.done,
      error,
      detail: failure === undefined ? -1 : failed,
      changes: this.readonly ? -1 : failure === undefined ? sum : 0
    })
  }

  reset(): void {
    const run = this.run
    this.run = undefined
    this.values.length = 0
    if (run?.iterator !== undefined) close(run.iterator)
  }

  finalize(): void {
    this.reset()
    this.connection.forget(this)
  }

  /** The carrier steps it: it has more rows. */
  get isReading(): boolean {
    return this.run?.iterator !== undefined
  }

  private flags(): number {
    return (this.readonly ? Flag.readonly : 0) | (this.routable ? Flag.routable : 0)
  }

  private begin(): Run {
    if (this.statement.private) this.connection.isPrivate = true
    this.changes = this.readonly ? -1 : 0
    this.late = false
    const first: Run = {
      statement: this.prepared,
      held: undefined,
      iterator: undefined,
      columns: this.current.length,
      row: undefined,
      ending: undefined,
      nextHeld: 0
    }
    try {
      // Also between the statements of a script: those without rows have no other look.
      this.look()
      if (!this.readonly || !this.hasColumns) return this.beginWrite(first)
      return this.connection.whileBusy(() => this.beginRead(first))
    } catch (error) {
      // A statement that writes may have got somewhere (INSERT OR FAIL).
      this.connection.lastRowid = undefined
      return { ...first, ending: { error: engineError(error) } }
    }
  }

  private look(): void {
    const why = this.connection.words.check()
    if (why !== Why.none) throw new Stopped(why)
  }

  private lookAtRow(): void {
    const why = this.connection.words.checkRow()
    if (why !== Why.none) throw new Stopped(why)
  }

  /** Steps once, so that a busy database can be waited for and the columns are those that the rows will have. */
  private beginRead(first: Run): Run {
    const { arguments: args, statement } = this.bound()
    const iterator = statement.iterate(...args)
    try {
      const row = next(iterator)
      this.refreshColumns(statement)
      if (row === undefined) this.look()
      return {
        ...first,
        statement,
        iterator,
        columns: this.current.length,
        row,
        ending: row === undefined ? succeeded : undefined
      }
    } catch (error) {
      const failure = engineError(error)
      close(iterator)
      throw failure
    }
  }

  private beginWrite(first: Run): Run {
    const held: Array<ReadonlyArray<Value>> = []
    const changes = this.runOnce(held)
    if (!this.readonly) this.changes = changes
    if (this.mayBeLate && this.connection.words.check() === Why.deadline) return this.endLate(first)
    return {
      ...first,
      held,
      columns: this.current.length,
      ending: held.length === 0 ? succeeded : undefined
    }
  }

  /**
   * Nothing could stop it at its deadline. A transaction is undone, as SQLite itself does where a write is stopped; without
   * one it is committed.
   */
  private endLate(first: Run): Run {
    const { connection } = this
    this.late = !connection.inTransaction()
    if (!this.late) connection.exec("ROLLBACK")
    connection.lastRowid = undefined
    return { ...first, ending: { error: new Stopped(Why.deadline) } }
  }

  /** Runs to the end and answers the rows changed. */
  private runOnce(rows?: Array<ReadonlyArray<Value>>): number {
    const { connection } = this
    const before = this.counts ? 0n : this.readonly ? undefined : connection.totalChanges()
    if (this.hasColumns) {
      connection.whileBusy(() => {
        if (rows !== undefined) rows.length = 0
        this.drain(rows)
      })
      if (before === undefined) return 0
      return this.counts || connection.totalChanges() !== before ? connection.lastChanges() : 0
    }
    const result = connection.whileBusy(() => {
      const { arguments: args, statement } = this.bound()
      try {
        return statement.run(...args)
      } catch (error) {
        throw engineError(error)
      }
    })
    if (before === undefined) return 0
    connection.lastRowid = BigInt(result.lastInsertRowid)
    return this.counts || connection.totalChanges() !== before ? Number(result.changes) : 0
  }

  private drain(rows: Array<ReadonlyArray<Value>> | undefined): void {
    const { arguments: args, statement } = this.bound()
    const iterator = statement.iterate(...args)
    try {
      let row = next(iterator)
      this.refreshColumns(statement)
      while (row !== undefined) {
        rows?.push(row)
        if (this.readonly) this.lookAtRow()
        row = next(iterator)
      }
    } catch (error) {
      const failure = engineError(error)
      close(iterator)
      throw failure
    }
  }

  /** Puts the next row in its place, or the ending. */
  private advance(run: Run): void {
    if (run.held !== undefined) {
      // The work is done: the control words cannot take it back.
      if (run.row === undefined) run.row = run.held[run.nextHeld++]
      if (run.row === undefined) run.ending = succeeded
      return
    }
    try {
      this.lookAtRow()
      if (run.row !== undefined || run.iterator === undefined) return
      run.row = next(run.iterator)
      if (run.row !== undefined) return
      // Behind its last row, too, a statement may have searched for long.
      this.look()
      run.ending = succeeded
    } catch (error) {
      run.row = undefined
      run.ending = { error: engineError(error) }
    }
  }

  private bound(): Bound {
    const { connection, statement, values } = this
    const around = bindAround(connection, statement, values)
    if (around === undefined) return { statement: this.prepared, arguments: carrierArguments(statement, values) }
    setUp(around.statement)
    return around
  }

  /** SQLite prepares a statement anew when the schema has changed, at its first step. */
  private refreshColumns(statement: CarrierStatement): void {
    // A statement made for one run has the columns, but not all of their names.
    const named = statement === this.prepared ? statement : this.connection.prepareCarrier(this.statement.text)
    this.current = readColumns(named)
    this.signature = signature(this.current)
  }
}

const setUp = (statement: CarrierStatement): void => {
  statement.setReadBigInts(true)
  statement.setReturnArrays(true)
  // Bare names would make `:a` and `@a` in one statement an error.
  statement.setAllowBareNamedParameters(false)
}

const readColumns = (statement: CarrierStatement): ReadonlyArray<PageColumn> =>
  statement.columns().map(({ name, type }) => ({ name, type: type ?? undefined }))

/** As the pump's: an INTEGER PRIMARY KEY is the rowid, and NOT NULL says nothing behind an outer join. */
const isNullable = (connection: PortableConnection, { column, database: schema, table }: CarrierColumn): boolean => {
  if (column === null || schema === null || table === null) {
    return false
  }
  const found = connection
    .prepareCarrier(`SELECT "notnull", pk, type FROM pragma_table_xinfo(?, ?) WHERE name = ?`)
    .get(table, schema, column) as { readonly notnull: number; readonly pk: number; readonly type: string } | undefined
  return found !== undefined && found.notnull === 0 && !(found.pk !== 0 && found.type.toUpperCase() === "INTEGER")
}

const signature = (columns: ReadonlyArray<PageColumn>): string =>
  columns.length === 0 ? "" : JSON.stringify(columns.map(({ name, type }) => [name, type]))

const next = (iterator: Iterator<unknown>): ReadonlyArray<Value> | undefined => {
  const result = iterator.next()
  return result.done === true ? undefined : (result.value as ReadonlyArray<Value>)
}

/** Resets the statement; a failed one would fail again at its next use. */
const close = (iterator: Iterator<unknown>): void => {
  try {
    iterator.return?.()
  } catch {
    // It has ended already.
  }
}

const cut = (error: EngineError, room: number): EngineError => {
  if (Buffer.byteLength(error.message) <= room) return error
  const message = Buffer.from(error.message).toString("utf8", 0, Math.max(0, room - 3))
  return error instanceof Stopped ? error : new EngineError(error.code, message)
}
