/** A connection over a carrier's JavaScript API: it can be stopped between rows and while it waits for a lock. */
import { linkSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { HookKind } from "../messages.js"
import { Flag, Why } from "../page.js"
import { OwnCode } from "../resultCode.js"
import { firstStatement, type Statement } from "../split.js"
import type { CarrierFaults } from "./bindings.js"
import type { CarrierDatabase, CarrierStatement } from "../carrier.js"
import { ControlWords } from "./controlWords.js"
import type { PageWriter } from "./encodePage.js"
import {
  type Backup,
  type Callback,
  type Connection,
  EngineError,
  type FunctionDefinition,
  type Prepared
} from "./engine.js"
import { prepareLimited } from "./limitedWrites.js"
import { setFunction, unsupported } from "./portableCallbacks.js"
import { engineError, isBusy, Stopped } from "./portableErrors.js"
import { PortableStatement } from "./portableStatement.js"

interface Answer {
  readonly flags: number
  readonly error: EngineError | undefined
  readonly detail: number
  readonly changes: number
}

/** It acts as it is prepared. */
const setsBusyTimeout = /\bbusy_timeout["'`\]]?\s*[=(]/i

/** The longest sleep between two tries for a lock, in milliseconds. */
const longestSleep = 5

export class PortableConnection implements Connection {
  readonly database: CarrierDatabase
  readonly faults: CarrierFaults
  readonly words: ControlWords
  isPrivate = false
  lastRowid: bigint | undefined = 0n
  private busyTimeout: number
  private facts: CarrierStatement | undefined
  /** Strong references: a carrier's statement must not be collected before its iterator, nor its database before it. */
  private readonly statements = new Set<PortableStatement>()
  private prepareCount = 0
  private savepoints = 0
  /** The schema whose views are known to speak of no connection. */
  private viewsVersion: number | undefined
  /** The schemas were forgotten inside a transaction, see `forgetSchemas`. */
  private forgotten = false

  constructor(database: CarrierDatabase, faults: CarrierFaults, shared: SharedArrayBuffer, busyTimeout: number) {
    this.database = database
    this.faults = faults
    this.words = new ControlWords(shared)
    this.busyTimeout = busyTimeout
  }

  start(seq: number, slot: number): number {
    this.refreshSchemas()
    return this.words.start(seq, slot)
  }

  end(): void {
    this.words.end()
  }

  check(): number {
    return this.words.check()
  }

  prepare(text: string): Prepared | undefined {
    return prepareLimited(text, (text) => this.prepareFirst(text))
  }

  prepares(): number {
    return this.prepareCount
  }

  /** One of the carrier's, for whatever it is: all of them count. */
  prepareCarrier(text: string): CarrierStatement {
    this.prepareCount++
    return this.database.prepare(text)
  }

  /** There is no authorizer to leave out. */
  prepareOwn(text: string): Prepared | undefined {
    return this.prepare(text)
  }

  private prepareFirst(text: string): Prepared | undefined {
    const statement = firstStatement(text)
    if (statement === undefined) return undefined
    this.refreshSchemas()
    const prepared = this.whileBusy(() => this.guard(() => this.prepareCarrier(statement.text)))
    this.adoptBusyTimeout(statement)
    if (statement.routable && !this.isPrivate) this.lookAtViews()
    const made = new PortableStatement(this, statement, prepared)
    this.statements.add(made)
    return made
  }

  forget(statement: PortableStatement): void {
    this.statements.delete(statement)
  }

  /** One by one, as waiting for a lock must not repeat those before it. */
  exec(text: string): void {
    this.lastRowid = undefined
    let rest = text
    while (rest !== "") {
      const statement = firstStatement(rest)
      if (statement === undefined) return
      if (statement.private) this.isPrivate = true
      this.refreshSchemas()
      this.whileBusy(() => this.guard(() => this.database.exec(statement.text)))
      this.adoptBusyTimeout(statement)
      rest = statement.tail
    }
  }

  restrict(): void {
    throw new EngineError(
      OwnCode.unsupported,
      "SQL from strangers needs the native engine: the portable one cannot stop a statement that computes for ever"
    )
  }

  execOwn(text: string): void {
    const before = this.isPrivate
    try {
      this.exec(text)
    } finally {
      this.isPrivate = before
    }
  }

  inTransaction(): boolean {
    return this.database.isTransaction
  }

  loadExtension(path: string): void {
    this.guard(() => {
      this.database.enableLoadExtension(true)
      try {
        this.database.loadExtension(path)
      } finally {
        this.database.enableLoadExtension(false)
        this.forgetSchemas()
      }
    })
  }

  serialize(): ArrayBuffer {
    const { database } = this
    if (database.serialize !== undefined) return this.guard(() => exactly(database.serialize!()))
    const directory = mkdtempSync(join(tmpdir(), "sluice-"))
    try {
      const file = join(directory, "copy.db")
      this.vacuumInto(file)
      return exactly(readFileSync(file))
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }

  deserialize(): void {
    throw unsupported("deserialize")
  }

  backup(destination: string): Backup {
    if ((sizeOf(destination) ?? 0) > 0) throw isThere()
    let done = false
    return {
      atOnce: !destination.startsWith("file:"),
      // The carriers' own backup runs on another thread and answers a promise; this copies in one piece.
      step: () => {
        if (!done) this.copyTo(destination)
        done = true
        return true
      },
      remaining: () => (done ? 0 : this.pageCount()),
      pageCount: () => this.pageCount(),
      finish: () => {}
    }
  }

  openBlob(): never {
    throw unsupported("A blob handle")
  }

  setFunction(definition: FunctionDefinition, run: Callback | undefined): void {
    const isReading = () => [...this.statements].some((statement) => statement.isReading)
    this.guard(() => {
      // Whether a schema may call a function is decided as it is parsed: one that was not there then would pass.
      if (run !== undefined && (definition.directOnly || this.pragma("trusted_schema") === 0)) this.forgetSchemas()
      setFunction(this.database, definition, run, isReading)
    })
  }

  setCollation(): void {
    throw unsupported("A collation")
  }

  setTable(): void {
    throw unsupported("A table function")
  }

  setHook(hook: HookKind): void {
    throw unsupported(`The ${hook} hook`)
  }

  setChanges(): void {
    throw unsupported("The stream of changes")
  }

  takeChanges(): undefined {
    return undefined
  }

  close(): void {
    for (const statement of this.statements) statement.reset()
    this.statements.clear()
    this.guard(() => this.database.close())
  }

  /** Tries again while another connection holds a lock, as long as the timeout and the control words allow. */
  whileBusy<A>(run: () => A): A {
    let deadline: number | undefined
    let sleep = 1
    for (;;) {
      try {
        return run()
      } catch (error) {
        const failure = engineError(error)
        if (!isBusy(failure)) throw failure
        const now = performance.now()
        deadline ??= now + this.busyTimeout
        if (now >= deadline) throw failure
        const why = this.words.check()
        if (why !== Why.none) throw new Stopped(why)
        this.words.sleep(Math.min(sleep, deadline - now))
        if (sleep < longestSleep) sleep++
      }
    }
  }

  /** SQLite itself would wait without a look at the words: a timeout that a PRAGMA has set is waited for here instead. */
  private adoptBusyTimeout({ text, words }: Statement): void {
    if (words.includes("PRAGMA") && setsBusyTimeout.test(text)) {
      this.busyTimeout = this.pragma("busy_timeout") ?? 0
      this.database.exec("PRAGMA busy_timeout=0")
    }
  }

  /** All or nothing: a transaction of its own, or a savepoint inside of one. */
  atomically(readonly: boolean, run: () => void): void {
    if (readonly) return run()
    const inside = this.inTransaction()
    const name = `sluice_batch_${this.savepoints++}`
    this.exec(inside ? `SAVEPOINT ${name}` : "BEGIN IMMEDIATE")
    try {
      run()
      this.exec(inside ? `RELEASE ${name}` : "COMMIT")
    } catch (error) {
      // Some errors have rolled the transaction back already.
      if (this.inTransaction()) this.exec(inside ? `ROLLBACK TO ${name}; RELEASE ${name}` : "ROLLBACK")
      throw error
    }
  }

  totalChanges(): bigint {
    return this.readFacts()[1]
  }

  lastChanges(): number {
    return Number(this.readFacts()[0])
  }

  writePage(writer: PageWriter, out: Uint8Array, offset: number, started: number, answer: Answer): number {
    const { changes, detail, error, flags } = answer
    return writer.finish(out, offset, {
      flags: flags | (this.inTransaction() ? Flag.inTransaction : 0) | (this.isPrivate ? Flag.private : 0),
      code: error === undefined ? 0 : error.code,
      why: error instanceof Stopped ? error.why : Why.none,
      detail,
      changes,
      lastInsertRowid: this.lastRowid ?? this.readFacts()[2],
      engineNanos: (performance.now() - started) * 1e6,
      error: error?.message
    })
  }

  private readFacts(): readonly [bigint, bigint, bigint] {
    const row = (this.facts ??= this.prepareFacts()).get() as readonly [bigint, bigint, bigint]
    this.lastRowid = row[2]
    return row
  }

  /** Not at once, as to prepare the first statement is to read the file. */
  private prepareFacts(): CarrierStatement {
    const facts = this.prepareCarrier("SELECT changes(), total_changes(), last_insert_rowid()")
    facts.setReadBigInts(true)
    facts.setReturnArrays(true)
    return facts
  }

  /**
   * A text may read a view that speaks of its connection (`last_insert_rowid()`, `pragma_…`). Those that we make are noted as
   * they are made; here are those that were there, or that others have made.
   */
  private lookAtViews(): void {
    this.isPrivate = this.whileBusy(() =>
      this.guard(() => {
        const version = this.pragma("schema_version")
        if (version === this.viewsVersion) return false
        const { views } = this.prepareCarrier(
          "SELECT json_group_array(sql) AS views FROM main.sqlite_schema WHERE type = 'view'"
        ).get() as { readonly views: string }
        // A rollback takes the number back, and the next schema may have it again.
        this.viewsVersion = this.inTransaction() ? undefined : version
        return (JSON.parse(views) as ReadonlyArray<string>).some((sql) => firstStatement(sql)?.private === true)
      })
    )
  }

  /** Makes SQLite parse the schemas again before the next statement. */
  private forgetSchemas(): void {
    const { database } = this
    const inTransaction = this.inTransaction()
    // Virtual tables are opened anew, too: what they hold back until the commit must be in the file by then.
    if (inTransaction) database.exec("SAVEPOINT sluice; RELEASE sluice")
    const writable = this.pragma("writable_schema") === 1
    // Takes effect as it is prepared. Run, it would stop statements that are open.
    this.prepareCarrier("PRAGMA writable_schema=RESET")
    if (writable) this.prepareCarrier("PRAGMA writable_schema=ON")
    this.forgotten = inTransaction
  }

  /** With the schemas SQLite forgets that the transaction has changed them, and would keep what a rollback takes back. */
  private refreshSchemas(): void {
    if (this.forgotten && !this.inTransaction()) this.guard(() => this.forgetSchemas())
  }

  private pageCount(): number {
    return this.guard(() => this.pragma("page_count") ?? 0)
  }

  private pragma(name: string): number | undefined {
    const row = this.prepareCarrier(`PRAGMA ${name}`).get() as Readonly<Record<string, number>> | undefined
    return row === undefined ? undefined : Object.values(row)[0]
  }

  private vacuumInto(file: string): void {
    const statement = this.guard(() => this.prepareCarrier("VACUUM INTO ?"))
    try {
      this.whileBusy(() => this.guard(() => statement.run(file)))
    } catch (error) {
      throw /^cannot VACUUM/.test((error as EngineError).message) ? cannotCopy() : error
    }
  }

  /** A new file has its name only when it is whole. Into an empty one, which others may have open, SQLite writes itself. */
  private copyTo(destination: string): void {
    const size = sizeOf(destination)
    if (size !== undefined && size > 0) throw isThere()
    if (size === 0 || destination.startsWith("file:")) return this.vacuumInto(destination)
    const copy = `${destination}.${process.pid}-${process.hrtime.bigint()}`
    try {
      this.vacuumInto(copy)
      this.guard(() => {
        // What an older database under this name has left behind must not be replayed into the copy.
        if (sizeOf(destination) !== undefined) throw isThere()
        for (const suffix of ["-wal", "-shm", "-journal"]) rmSync(destination + suffix, { force: true })
        giveName(copy, destination)
      })
    } finally {
      rmSync(copy, { force: true })
    }
  }

  private guard<A>(run: () => A): A {
    try {
      return run()
    } catch (error) {
      throw engineError(error)
    }
  }
}

/**
 * Undefined where there is no file, or SQLite shall say what is wrong with the path. To open and close the file would drop
 * the locks that this process has on it.
 */
const sizeOf = (path: string): number | undefined => {
  try {
    return statSync(path).size
  } catch {
    return undefined
  }
}

const cannotCopy = (): EngineError =>
  new EngineError(
    OwnCode.unsupported,
    "The portable engine cannot copy the database inside a transaction or while a result is open on the session: " +
      "export and back up outside of both, or use the native engine"
  )

/** Whoever has it open would go on writing to what no name leads to, and nothing tells whether somebody has. */
const isThere = (): EngineError =>
  new EngineError(
    OwnCode.unsupported,
    "The portable engine does not back up over a file that is there, as others may have it open: give a new path"
  )

/** A link takes the place of nothing that has appeared meanwhile; not every file system has links. */
const giveName = (copy: string, destination: string): void => {
  try {
    linkSync(copy, destination)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") throw isThere()
    renameSync(copy, destination)
  }
}

/** The bytes in a buffer of their own. */
const exactly = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer
