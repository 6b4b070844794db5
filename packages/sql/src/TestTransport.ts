/**
 * Transports for tests: a script instead of a database, a recording of one, one with faults, one that undoes everything.
 *
 * | layer | what it is for |
 * | --- | --- |
 * | `scripted` | a unit test: these statements, these answers, no database |
 * | `recording`, `replay` | a database you cannot have in every test: its answers in a file |
 * | `faults` | what your program does when the database fails |
 * | `rolledBack` | a real database that every test finds as the last one found it |
 *
 * `scripted` and `replay` are transports of their own; the others go around the one in the context.
 *
 * @since 0.1.0
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import type { SqlError } from "@effect/sql/SqlError"
import type { Compiler } from "@effect/sql/Statement"
import type * as Duration from "effect/Duration"
import * as Layer from "effect/Layer"
import * as expectation from "./internal/test/expectation.js"
import type * as faultPlan from "./internal/test/faultPlan.js"
import * as faultsInternal from "./internal/test/faults.js"
import * as recordingInternal from "./internal/test/recording.js"
import type * as redaction from "./internal/test/redaction.js"
import * as replayInternal from "./internal/test/replay.js"
import * as rolledBackInternal from "./internal/test/rolledBack.js"
import * as scriptedInternal from "./internal/test/scripted.js"
import type * as SqlFailure from "./SqlFailure.js"
import * as SqlTransport from "./SqlTransport.js"

/**
 * How an expectation knows its statement. A string is the whole text (runs of white space count as one blank), a RegExp
 * looks for a part of it, a predicate sees the whole request.
 *
 * @since 0.1.0
 * @category scripted
 */
export type Pattern = string | RegExp | ((request: SqlTransport.SqlRequest) => boolean)

/**
 * A row of an answer.
 *
 * @since 0.1.0
 * @category models
 */
export type Row = Readonly<Record<string, unknown>>

/**
 * An expected statement and its answer: no rows and no changes, until told otherwise. A value: each of its methods answers
 * another expectation. `rows`, `pages`, `changes`, `fails`, `dies`, `never` and `delay` say what it answers; `params`,
 * `times` and `anyTimes` what it expects.
 *
 * @since 0.1.0
 * @category scripted
 */
export type Expectation = expectation.Expectation

/**
 * Expects a statement.
 *
 * @example
 * ```ts
 * import { TestTransport } from "@sluice/sql"
 *
 * const script = [
 *   TestTransport.on(/from flights/).params(["SEA"]).rows([{ date: "2001-01-01", delay: 90 }]),
 *   TestTransport.on("delete from flights").changes(1).delay("2 seconds"),
 *   TestTransport.on(/insert into audit/).fails("UniqueViolation", { constraint: "audit_id" }),
 *   TestTransport.on(/select 1/).anyTimes
 * ]
 * ```
 *
 * @since 0.1.0
 * @category scripted
 */
export const on = (pattern: Pattern): Expectation => expectation.make(pattern)

/**
 * Options of a script.
 *
 * @since 0.1.0
 * @category scripted
 */
export interface ScriptOptions {
  /** `given` (default): statements come in the order of the script. `any`: in whatever order. */
  readonly order?: "given" | "any" | undefined
  /** Sessions that the client may open. Default 1: one statement after the other. */
  readonly sessions?: number | undefined
  /** `die`: an unexpected statement is a defect, which no `catchTag` of the program can swallow. Default `fail`. */
  readonly unexpected?: "fail" | "die" | undefined
  /** Makes the texts. Default: that of SQLite, with `?` for parameters. */
  readonly compiler?: Compiler | undefined
}

/**
 * A transport that expects these statements and gives these answers.
 *
 * - BEGIN, COMMIT, ROLLBACK and savepoints are answered without being in the script, and kept track of. An expectation
 *   that names one (`on("COMMIT").fails("LockTimeout")`) gets it, too; `on(/./)` and predicates do not.
 * - A statement that nobody expects fails with reason `Unsupported`; its message sets it beside what was expected. If
 *   the program handles that failure and succeeds, closing the layer logs it as a warning.
 * - Statements that never ran make closing the layer die and name them, unless the test has failed anyway.
 *
 * @example
 * ```ts
 * import { SqlClient, TestTransport } from "@sluice/sql"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   const late = yield* sql`select * from flights where delay > ${60}`
 *   yield* sql.withTransaction(sql`insert into audit ${sql.insert({ late: late.length })}`)
 * })
 *
 * export const test = program.pipe(Effect.provide(SqlClient.layer), Effect.provide(TestTransport.scripted([
 *   TestTransport.on(/from flights/).rows([{ date: "2001-01-01", delay: 90 }]),
 *   TestTransport.on(/insert into audit/).params([1]).changes(1)
 * ])))
 * ```
 *
 * @since 0.1.0
 * @category scripted
 */
export const scripted = (
  expectations: ReadonlyArray<Expectation>,
  options: ScriptOptions = {}
): Layer.Layer<SqlTransport.SqlTransport> =>
  Layer.scoped(
    SqlTransport.SqlTransport,
    scriptedInternal.make(expectations.map(expectation.partsOf), {
      order: options.order ?? "given",
      sessions: options.sessions ?? 1,
      unexpected: options.unexpected ?? "fail",
      compiler: options.compiler
    })
  )

/**
 * What a recording leaves out: names of columns, or `params` and `rows` apart.
 *
 * - Names: the columns of results that are called so, and all parameters of statements that mention one of them.
 * - `params: true` takes all parameters, a function picks them: `(value, index, text) => boolean`.
 * - `rows: true` takes all cells, a function replaces whole rows: `(row, text) => row`.
 *
 * A parameter that was left out equals any value when the file is replayed; a cell becomes an empty value of its type.
 * Statements that only such parameters tell apart get their answers in the order in which they were recorded: run them
 * one after the other, or leave the parameters that tell them apart (a number of the row) to the file.
 * A column that a query renames is not known by its name any more: use a function there.
 *
 * @since 0.1.0
 * @category recording
 */
export type Redact = redaction.Redact

/**
 * The transport in the context, with everything it is asked and answers written to a file when the layer is closed.
 *
 * The file is JSON with a version. It is the same whatever the order in which fibers came to run, so it can be kept under
 * version control. Values keep their types: bigint, bytes, Date and NaN, too.
 *
 * @example
 * ```ts
 * import { NodeFileSystem } from "@effect/platform-node"
 * import { SqlClient, type SqlTransport, TestTransport } from "@sluice/sql"
 * import { Layer } from "effect"
 *
 * declare const Production: Layer.Layer<SqlTransport.SqlTransport>
 *
 * // RECORD=1 npm test: asks the database. npm test: does not.
 * const Transport = process.env["RECORD"] === "1"
 *   ? TestTransport.recording("test/users.json", { redact: ["email"] }).pipe(Layer.provide(Production))
 *   : TestTransport.replay("test/users.json")
 *
 * export const Sql = SqlClient.layer.pipe(Layer.provide(Transport), Layer.provide(NodeFileSystem.layer))
 * ```
 *
 * @since 0.1.0
 * @category recording
 */
export const recording = (
  file: string,
  options: { readonly redact?: Redact | undefined } = {}
): Layer.Layer<SqlTransport.SqlTransport, never, SqlTransport.SqlTransport | FileSystem.FileSystem> =>
  Layer.scoped(SqlTransport.SqlTransport, recordingInternal.make(file, options.redact))

/**
 * Options of a replay.
 *
 * @since 0.1.0
 * @category recording
 */
export interface ReplayOptions {
  /** What a statement gets that runs more often than it was recorded: its last answer (`repeat`, the default) or a failure. */
  readonly exhausted?: "repeat" | "fail" | undefined
  /** Makes the texts; that of the database the recording was made with. Default: that of SQLite. */
  readonly compiler?: Compiler | undefined
}

/**
 * A transport that answers from a file that `recording` has written.
 *
 * Answers are found by statement and parameters; one that was recorded several times gets its answers in that order.
 * Typed failures come again as they were, transaction control included; a statement that was interrupted is not answered.
 * What is not in the file fails with reason `Unsupported` and names the nearest that is.
 *
 * Fails with reason `Connection` when the file cannot be used.
 *
 * @example
 * ```ts
 * import { NodeFileSystem } from "@effect/platform-node"
 * import { SqlClient, TestTransport } from "@sluice/sql"
 * import { Layer } from "effect"
 *
 * export const Sql = SqlClient.layer.pipe(
 *   Layer.provide(TestTransport.replay("test/users.json", { exhausted: "fail" })),
 *   Layer.provide(NodeFileSystem.layer)
 * )
 * ```
 *
 * @since 0.1.0
 * @category recording
 */
export const replay = (
  file: string,
  options: ReplayOptions = {}
): Layer.Layer<SqlTransport.SqlTransport, SqlError, FileSystem.FileSystem> =>
  Layer.effect(
    SqlTransport.SqlTransport,
    replayInternal.make(file, { exhausted: options.exhausted ?? "repeat", compiler: options.compiler })
  )

/**
 * What goes wrong with one request; made by `fault`.
 *
 * @since 0.1.0
 * @category faults
 */
export type Fault = faultPlan.Fault

/**
 * A fault that was injected: into which request, counted from 1.
 *
 * @since 0.1.0
 * @category faults
 */
export type Injected = faultPlan.Injected

/**
 * What can go wrong with a request. `after`: once the database has done it, so that its outcome is `unknown`.
 *
 * - `fail`: a failure with this reason instead of the request or of its answer.
 * - `drop`: the session dies; the pool replaces it.
 * - `delay`: the request is sent later, by the fiber's Clock.
 * - `duplicate`: its answer comes twice.
 * - `lose`: it runs, and its answer never comes.
 * - `hang`: the same, and no interrupt makes the session quiet: it is retired after the grace period.
 *   Of COMMIT, ROLLBACK and RELEASE (`on: ["control"]`) both are waited for without end: these have no deadline.
 *
 * @since 0.1.0
 * @category faults
 */
export const fault: {
  readonly fail: (reason?: SqlFailure.Reason, when?: "before" | "after") => Fault
  readonly drop: (when?: "before" | "after") => Fault
  readonly delay: (duration: Duration.DurationInput) => Fault
  readonly duplicate: Fault
  readonly lose: Fault
  readonly hang: Fault
} = {
  fail: (reason = "Unknown", when = "before") => ({ _tag: "Fail", reason, after: when === "after" }),
  drop: (when = "before") => ({ _tag: "Drop", after: when === "after" }),
  delay: (duration) => ({ _tag: "Delay", duration }),
  duplicate: { _tag: "Duplicate" },
  lose: { _tag: "Lose", quiet: true },
  hang: { _tag: "Lose", quiet: false }
}

/**
 * Which requests go wrong, and how: `schedule` by number, `rates` by chance from `seed`; `on` and `only` say which requests
 * count. The same options and the same requests give the same faults.
 *
 * @since 0.1.0
 * @category faults
 */
export type FaultOptions = faultPlan.FaultOptions

/**
 * The transport in the context, where some requests go wrong: by their number, or by chance from a seed.
 *
 * @example
 * ```ts
 * import { SqlClient, type SqlTransport, TestTransport } from "@sluice/sql"
 * import { Layer } from "effect"
 *
 * declare const Database: Layer.Layer<SqlTransport.SqlTransport>
 *
 * // The second COMMIT is done, but nobody hears of it; one statement in twenty takes its time.
 * export const Sql = SqlClient.layer.pipe(
 *   Layer.provide(TestTransport.faults({ on: ["control"], only: /^commit/i, schedule: { 2: TestTransport.fault.drop("after") } })),
 *   Layer.provide(TestTransport.faults({ seed: 42, rates: { delay: 0.05 }, delay: "100 millis" })),
 *   Layer.provide(Database)
 * )
 * ```
 *
 * @since 0.1.0
 * @category faults
 */
export const faults = (
  options: FaultOptions
): Layer.Layer<SqlTransport.SqlTransport, never, SqlTransport.SqlTransport> =>
  Layer.effect(SqlTransport.SqlTransport, faultsInternal.make(options))

/**
 * The transport in the context, with one session that is inside a transaction from beginning to end and rolls it back
 * when the layer is closed: everything a test does is undone. Transactions of the program become savepoints, and their
 * commit a release.
 *
 * What it cannot do, as there is but one transaction: a second client at the same time, `readOnly`, the other isolation
 * level or locking mode (accepted and ignored), BEGIN, COMMIT and ROLLBACK as statements. Where a stopped write takes its
 * transaction along, as in SQLite, everything after it fails with reason `TransactionGone`.
 *
 * @example
 * ```ts
 * import { SqlClient, type SqlTransport, TestTransport } from "@sluice/sql"
 * import { Effect, Layer } from "effect"
 *
 * declare const Database: Layer.Layer<SqlTransport.SqlTransport>
 *
 * const Sql = SqlClient.layer.pipe(Layer.provide(TestTransport.rolledBack), Layer.provide(Database))
 *
 * export const test = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   yield* sql.withTransaction(sql`delete from users`)
 * }).pipe(Effect.provide(Sql))
 * ```
 *
 * @since 0.1.0
 * @category rolledBack
 */
export const rolledBack: Layer.Layer<SqlTransport.SqlTransport, SqlError, SqlTransport.SqlTransport> =
  /* @__PURE__ */ Layer.scoped(SqlTransport.SqlTransport, rolledBackInternal.make)
