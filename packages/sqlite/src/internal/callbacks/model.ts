/** The public face of callbacks on the event loop's side. */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { SqlValue } from "../parameterReader.js"

/** What SQLite can store: a boolean as 1 or 0, undefined as NULL; a number that is whole as an integer. */
export type Storable = SqlValue | boolean | undefined

/** How a SQL function is registered. */
export interface FunctionOptions {
  /** Arguments; −1: any number. Default: those of the function, or any number when it takes none by name. */
  readonly arity?: number | undefined
  /** Same arguments, same result: SQLite may call it less often, and use it in indexes. Default false. */
  readonly deterministic?: boolean | undefined
  /** Not from triggers, views and schemas, which may come with a file from others. Default false. */
  readonly directOnly?: boolean | undefined
  /**
   * Has no side effects and tells no secrets: may be used in views, triggers, indexes, defaults and checks also where the
   * schema is not trusted (see `trustedSchema` in the configuration). Default false. Native engine only.
   */
  readonly innocuous?: boolean | undefined
}

/** A SQL function as an Effect: the arguments of one call to its value. */
export interface ScalarFunction<E, R> {
  (...args: ReadonlyArray<SqlValue>): Effect.Effect<Storable, E, R>
}

/** An aggregate: a state for each group, stepped with each row's arguments. */
export interface Aggregate<S, E, R> extends FunctionOptions {
  readonly initial: () => S
  readonly step: (state: S, ...args: ReadonlyArray<SqlValue>) => Effect.Effect<S, E, R>
  /** Asked once for each group that was not given up. Also of a group without rows (native engine). */
  readonly final: (state: S) => Effect.Effect<Storable, E, R>
}

/** An aggregate that can be used as a window function, too: rows leave its state by `inverse`. */
export interface Window<S, E, R> extends Aggregate<S, E, R> {
  readonly inverse: (state: S, ...args: ReadonlyArray<SqlValue>) => Effect.Effect<S, E, R>
  /** The result for the current row. */
  readonly value: (state: S) => Effect.Effect<Storable, E, R>
}

/** How a table-valued function is registered. */
export interface TableFunctionOptions<Name extends string = string> {
  /** Names of the result's columns, at least one. */
  readonly columns: ReadonlyArray<string>
  /** Names of the arguments, in their order, at most 31. They are hidden columns: `where name = …` gives one, too. */
  readonly parameters?: ReadonlyArray<Name> | undefined
}

/** The arguments of one use of a table function, by name; undefined where the statement gives none. */
export type TableArguments<Name extends string = string> = { readonly [K in Name]: SqlValue | undefined }

/** A row: values in the order of the columns, or by their names. */
export type TableRow = ReadonlyArray<Storable> | { readonly [column: string]: Storable }

/** A row that a statement has changed. */
export interface RowChange {
  readonly operation: "insert" | "update" | "delete"
  readonly database: string
  readonly table: string
  readonly rowid: number | bigint
}

/** What a statement is about to do: see https://www.sqlite.org/c3ref/c_alter_table.html for actions and their names. */
export interface Action {
  readonly action: number
  readonly first: string | undefined
  readonly second: string | undefined
  readonly database: string | undefined
  readonly trigger: string | undefined
}

/**
 * What was registered can be taken away again, with what was there before under the same name in its place. Not while a
 * result is open on a session of the client: `LockTimeout` (native engine), nor from within a callback of the same session:
 * `ReentrantCall`; it stays as it is then.
 *
 * SQLite's own functions do not come back: where one of them was covered, with as many arguments, SQLite has none on the
 * sessions that are open, and statements that call it fail with `SqlSyntax`. Make the client anew to have it again.
 */
export interface RegistrationHandle {
  readonly remove: Effect.Effect<void, SqlError>
}

/** An order of texts: below, at or above 0 as `a` comes before, with or after `b`. */
export interface Collation<E, R> {
  (a: string, b: string): Effect.Effect<number, E, R>
}

/** A database file that is about to be cut at its end, with `pragma auto_vacuum = full`. */
export interface FreePages {
  readonly database: string
  readonly pages: number
  /** Of these the unused. */
  readonly freePages: number
  /** In bytes. */
  readonly pageSize: number
}

type Registering<R> = Effect.Effect<RegistrationHandle, SqlError, R>

/**
 * Callbacks of SQLite as Effects. They run on the event loop while the worker waits, with the services, references, span,
 * deadline and interruption of the fiber whose statement it is; a service that it lacks comes from where they were registered,
 * but no deadline, transaction or span. Their failures are the statement's: a typed one as the cause of its `SqlFailure`,
 * defects and interruptions as they are.
 * A callback that calls the session which waits for it fails with reason `ReentrantCall`; other sessions are free.
 *
 * Each is registered on all sessions of the client, those that open later, too, and until it is removed. For the life
 * of a scope: `Effect.acquireRelease(sql.function(…), (it) => Effect.orDie(it.remove))`.
 */
export interface Callbacks {
  /** A SQL function. */
  readonly function: {
    <E, R>(name: string, f: ScalarFunction<E, R>): Registering<R>
    <E, R>(name: string, options: FunctionOptions, f: ScalarFunction<E, R>): Registering<R>
  }
  /** A SQL aggregate function. */
  readonly aggregate: <S, E, R>(name: string, definition: Aggregate<S, E, R>) => Registering<R>
  /** A SQL aggregate function for windows. Native engine only. */
  readonly window: <S, E, R>(name: string, definition: Window<S, E, R>) => Registering<R>
  /**
   * A table function: `select … from name(arg, …)`, also joined with other tables, whose rows a stream gives. An argument
   * that the statement leaves out is undefined. The stream is pulled as SQLite asks for rows: a chunk of it crosses the
   * thread at once (up to 256 KiB), so streams of one row per chunk are better rechunked. It ends with its scan:
   * at its own end, when the statement needs no more of it, fails, or is stopped; its finalisers then run before the
   * statement's fiber goes on. Native engine only.
   *
   * @example
   * ```ts
   * import { SqliteClient } from "@sluice/sqlite"
   * import { Effect, Stream } from "effect"
   *
   * const program = Effect.gen(function*() {
   *   const sql = yield* SqliteClient.SqliteClient
   *   yield* sql.tableFunction("series", { columns: ["value"], parameters: ["first", "last"] }, ({ first, last }) =>
   *     Stream.map(Stream.range(Number(first), Number(last ?? 100)), (value) => ({ value })))
   *   return yield* sql`select sum(value) as total from series(1, 10)`
   * })
   * ```
   */
  readonly tableFunction: <const Name extends string, E, R>(
    name: string,
    options: TableFunctionOptions<Name>,
    rows: (args: TableArguments<Name>) => Stream.Stream<TableRow, E, R>
  ) => Registering<R>
  /**
   * An order of texts: below, at or above 0 as `a` comes before, with or after `b`. Native engine only.
   *
   * SQLite cannot be told that a comparison failed, or was stopped. So what a statement has written is then undone, with the
   * transaction that it is in, as it is when a write is stopped: also where the failure is caught, what follows in the
   * transaction fails with `TransactionGone`. After a statement that only reads the transaction goes on.
   */
  readonly collation: <E, R>(name: string, compare: Collation<E, R>) => Registering<R>
  /**
   * Asked for a collation that a statement names and SQLite does not know; undefined where the program does not, either.
   * Each name is asked for once, and its collation stays until this is removed. Native engine only, as all that follow.
   */
  readonly collationNeeded: <E, R, E2 = never, R2 = never>(
    find: (name: string) => Effect.Effect<Collation<E2, R2> | undefined, E, R>
  ) => Registering<R | R2>
  /** Asked while statements are prepared; a failure denies. What undoes a statement that failed or was stopped is not asked about. */
  readonly authorizer: <E, R>(
    authorize: (action: Action) => Effect.Effect<"ok" | "deny" | "ignore", E, R>
  ) => Registering<R>
  /** Takes the place of the busy timeout: true tries again. `tries` counts from 0. */
  readonly busyHandler: <E, R>(again: (tries: number) => Effect.Effect<boolean, E, R>) => Registering<R>
  /** Asked at every look at the control words (`progressSteps`): true stops the statement. */
  readonly progressHandler: <E, R>(stop: Effect.Effect<boolean, E, R>) => Registering<R>
  /** Told of each row that a statement changes. A failure is reported, the change stays. */
  readonly updateHook: <E, R>(changed: (change: RowChange) => Effect.Effect<void, E, R>) => Registering<R>
  /**
   * Asked before each commit: true, or a failure, rolls back. Commits are not interrupted, and neither is what they wait
   * for here; the fiber's deadline ends it, and the commit fails with `StatementTimeout`.
   */
  readonly commitHook: <E, R>(refuse: Effect.Effect<boolean, E, R>) => Registering<R>
  /** Told of each rollback. */
  readonly rollbackHook: <E, R>(run: Effect.Effect<void, E, R>) => Registering<R>
  /**
   * Told of each commit to a file in WAL mode, with the pages in the WAL file. SQLite goes on checkpointing as the
   * `wal_autocheckpoint` of the session says. It has one place for both: that pragma reads 0 while the hook is there, and
   * setting it then takes the hook away; set it in `pragmas`.
   */
  readonly walHook: <E, R>(
    run: (written: { readonly database: string; readonly pages: number }) => Effect.Effect<void, E, R>
  ) => Registering<R>
  /**
   * Asked at commits in databases with `pragma auto_vacuum = full` how many of the free pages are given back to the file
   * system; all of them unless asked. A failure gives back none, and is reported; the commit stays.
   */
  readonly autovacuumPages: <E, R>(pages: (free: FreePages) => Effect.Effect<number, E, R>) => Registering<R>
  /** Told of each statement as it begins. */
  readonly trace: <E, R>(run: (statement: string) => Effect.Effect<void, E, R>) => Registering<R>
  /** Told of each statement as it ends, with the time it took. */
  readonly profile: <E, R>(
    run: (ended: { readonly statement: string; readonly nanos: number }) => Effect.Effect<void, E, R>
  ) => Registering<R>
}
