/** The public face of code that runs in the worker: what a module offers, and what it is given. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type { FunctionOptions, Storable } from "../callbacks/model.js"
import type { SqlValue } from "../parameterReader.js"

/**
 * What code in the worker threw, as the cause of a `SqlFailure`.
 *
 * @since 0.1.0
 * @category errors
 */
export class WorkerError extends Data.TaggedError("WorkerError")<{
  /** The name of its class, such as "TypeError". */
  readonly className: string
  readonly message: string
  /** Its `code`, where it had one that is a text or a number. */
  readonly code: string | number | undefined
}> {}

/**
 * The session's connection within the worker: nothing waits, each call has its result at once. It is there for as long as
 * the function that it was given to runs; results are read completely, or by `iterate` a page of 64 rows at a time.
 * Whole numbers beyond 2⁵³ fail: cast them to text. Failures of SQLite are thrown, and reach the caller as `SqlError` with
 * the same reason as from anywhere else unless the function catches them.
 */
export interface WorkerDatabase {
  /** The rows of one statement. Keeps it prepared until the function ends. */
  readonly all: <Row extends object = Record<string, SqlValue>>(
    text: string,
    params?: ReadonlyArray<Storable>
  ) => Array<Row>
  /** Runs one statement to its end; rows that it gives are dropped. */
  readonly run: (
    text: string,
    params?: ReadonlyArray<Storable>
  ) => { readonly changes: number; readonly lastInsertRowid: bigint }
  /** The rows one by one. Leaving the loop ends the statement. */
  readonly iterate: <Row extends object = Record<string, SqlValue>>(
    text: string,
    params?: ReadonlyArray<Storable>
  ) => IterableIterator<Row>
  /** Runs a script without parameters. */
  readonly exec: (text: string) => void
  readonly inTransaction: boolean
}

/** An exported aggregate. With `inverse` and `value` it is a window function, too (native engine). */
export interface WorkerAggregate<S = unknown> {
  readonly initial: () => S
  readonly step: (state: S, ...args: Array<never>) => S
  readonly final: (state: S) => Storable
  readonly inverse?: ((state: S, ...args: Array<never>) => S) | undefined
  readonly value?: ((state: S) => Storable) | undefined
}

interface AnyAggregate {
  readonly initial: () => unknown
  readonly step: (state: never, ...args: Array<never>) => unknown
  readonly final: (state: never) => Storable
}

/** A module of which nothing is known: any name, any arguments, any result. */
export type AnyModule = Record<string, unknown>

type Names<M, Of> = string extends keyof M
  ? string
  : { [K in keyof M & string]: M[K] extends Of ? K : never }[keyof M & string]

/** Exports that can be SQL functions: they answer what SQLite can store. */
export type WorkerFunctionNames<M> = Names<M, (...args: Array<never>) => Storable>

/** Exports that can be SQL aggregates. */
export type WorkerAggregateNames<M> = Names<M, AnyAggregate>

/** Exports that can be run by name: their first parameter is the database. */
export type WorkerProgramNames<M> = Names<M, (database: WorkerDatabase, ...args: Array<never>) => unknown>

/** What such an export takes behind the database. */
export type WorkerArguments<M, K extends keyof M> = string extends keyof M
  ? ReadonlyArray<unknown>
  : M[K] extends (database: never, ...args: infer A) => unknown
    ? A
    : never

/** What it answers; of a promise, what that promises. */
export type WorkerResult<M, K extends keyof M> = string extends keyof M
  ? unknown
  : M[K] extends (...args: Array<never>) => infer R
    ? Awaited<R>
    : never

type Chosen<Name extends string> =
  ReadonlyArray<Name> | { readonly [K in Name]?: true | WorkerFunctionOptions | undefined }

/** How an export is known in SQL. */
export interface WorkerFunctionOptions extends FunctionOptions {
  /** Its name in SQL. Default: that of the export. */
  readonly name?: string | undefined
}

/** What of a module becomes SQL functions and aggregates. */
export interface WorkerModuleOptions<M> {
  /** Exports that become SQL functions: names, or names with options. Arity by default: the function's `length`. */
  readonly functions?: Chosen<WorkerFunctionNames<M>> | undefined
  /** Exports that become SQL aggregates. Arity by default: that of `step`, without the state. */
  readonly aggregates?: Chosen<WorkerAggregateNames<M>> | undefined
}

/** A module that every worker of a client has imported. */
export interface WorkerModule<M> {
  readonly url: string
  /**
   * Runs an export in the worker of the session that writes (within a transaction: its session), with the database before
   * the arguments. One hop for many statements: what upgrades, imports and dumps are made of. See `Modules.runInWorker`.
   */
  readonly runInWorker: <K extends WorkerProgramNames<M> & keyof M>(
    name: K,
    ...args: WorkerArguments<M, K>
  ) => Effect.Effect<WorkerResult<M, K>, SqlError>
  /** Takes its functions and aggregates away again. */
  readonly remove: Effect.Effect<void, SqlError>
}

/** Code that runs in the worker, where SQLite is. */
export interface Modules {
  /**
   * Imports a module into every worker of the client, those that start later, too, and registers exports of it as SQL
   * functions and aggregates. They run on the spot, some hundred times faster than `function`, which crosses to the event
   * loop; so they must be synchronous and quick, and know nothing of the caller. What they throw fails the statement: the
   * `SqlFailure` has a `WorkerError` with class name and code for its cause.
   *
   * The URL is absolute, such as `new URL("./functions.js", import.meta.url)`, and is loaded by Node as any module is.
   * Fails, typed, where it cannot be imported or an export is not there.
   *
   * @example
   * ```ts
   * import { SqliteClient } from "@sluice/sqlite"
   * import { Effect } from "effect"
   *
   * // functions.js: export const slug = (title) => title.toLowerCase().replaceAll(" ", "-")
   * const program = Effect.gen(function* () {
   *   const sql = yield* SqliteClient.SqliteClient
   *   yield* sql.workerModule(new URL("./functions.js", import.meta.url), { functions: { slug: { deterministic: true } } })
   *   return yield* sql`select slug(title) as slug from articles`
   * })
   * ```
   */
  readonly workerModule: <M extends object = AnyModule>(
    url: URL | string,
    options?: WorkerModuleOptions<M>
  ) => Effect.Effect<WorkerModule<M>, SqlError>
  /**
   * Runs an export of a module in the worker. Arguments and result cross by structured clone: what it cannot clone fails
   * with `InvalidParameter` or `ConversionFailed`. A promise is awaited there, and meanwhile the session does nothing else.
   * What it throws is the cause, as a `WorkerError`. It gets what it does in SQLite done or undone by itself: a transaction
   * that it leaves open is rolled back, and it fails. Whatever else it did before it failed may be there: the outcome is
   * `unknown`, unless a transaction around it is undone.
   *
   * Interruption and deadline reach it where SQLite looks at them, within statements and between them, and where it
   * waits for a promise; JavaScript that only computes is not stopped, and costs the session if it lasts longer than
   * `grace`.
   */
  readonly runInWorker: <M, K extends WorkerProgramNames<M> & keyof M>(
    module: WorkerModule<M>,
    name: K,
    ...args: WorkerArguments<M, K>
  ) => Effect.Effect<WorkerResult<M, K>, SqlError>
}
