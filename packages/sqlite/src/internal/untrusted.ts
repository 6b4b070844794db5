/** SQL from strangers: what their client is opened with, and queries that say what was cut off. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlClient, SqlFailure, SqlTransport } from "@sluice/sql"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SqliteClientConfig } from "../SqliteClient.js"
import type { UntrustedRules } from "./opening.js"
import { isDuration } from "./wrongConfig.js"

/**
 * How a database is opened for SQL from strangers. `limits` are those of `SqliteTransport`, with other defaults: `length`
 * 100,000 bytes, `exprDepth` 100, `compoundSelect` 50, `vdbeOps` 25,000, `functionArgs` 32, `attached` as many as `attach`
 * names, `likePatternLength` 100, `variables` 100, `triggerDepth` 10. `progressSteps` is 100 by default. Where SQLite's own
 * functions would take time by the product of two lengths, the second argument is bounded: 100 bytes for `trim`, `ltrim`,
 * `rtrim` and `unhex`, 1,000 for `instr`, `replace` and `json_patch`.
 */
export interface UntrustedConfig extends Omit<
  SqliteClientConfig,
  | "readonly"
  | "disableWAL"
  | "defensive"
  | "trustedSchema"
  | "doubleQuotedStrings"
  | "statementTimeout"
  | "changes"
  | "prepareCacheTTL"
  | "transformResultNames"
> {
  /**
   * How long a statement may take, waiting for the session included. Default 5 seconds. While what ran on four sessions could
   * not be stopped within `grace` and still runs, statements that need another session fail with `PoolTimeout`.
   */
  readonly deadline?: Duration.DurationInput | undefined
  /** Rows that a result may have; `query` leaves out the others. Default 1,000. */
  readonly maxRows?: number | undefined
  /** Bytes that the values of a result may have, texts as UTF-8; `query` leaves out further rows. Default 1,000,000. */
  readonly maxBytes?: number | undefined
  /** Columns that a result may have. Default 100. */
  readonly maxColumns?: number | undefined
  /** Characters (UTF-16 units) that a statement may have. Default 10,000. */
  readonly maxText?: number | undefined
  /**
   * Characters that a statement may come to when each mention of a common table expression or view is replaced by what it
   * stands for: SQLite copies them before it runs, where no deadline stops it. Default ten times `maxText`.
   */
  readonly maxExpandedText?: number | undefined
}

/** What a stranger's statement gives. */
export interface UntrustedResult {
  /** Names of the columns, as often as they come. */
  readonly columns: ReadonlyArray<string>
  /** The values of each row, in the order of the columns. */
  readonly rows: ReadonlyArray<ReadonlyArray<unknown>>
  /** Whether there were more rows: than `maxRows`, or than `maxBytes` let through. */
  readonly truncated: false | "rows" | "bytes"
  /** Bytes of the values in `rows`. */
  readonly bytes: number
}

/** What a client for SQL from strangers has beside the others. */
export interface UntrustedFace {
  /**
   * Runs one statement that reads. What it may not do fails with reason `Authorization`, what is too large with
   * `InvalidParameter`, what takes too long with `StatementTimeout`; what it has too many rows of is cut, and `truncated`
   * says so.
   */
  readonly query: (text: string, params?: ReadonlyArray<unknown>) => Effect.Effect<UntrustedResult, SqlError>
}

interface Bounds {
  readonly rows: number
  readonly bytes: number
  readonly columns: number
  readonly text: number
  readonly expandedText: number
  readonly deadline: Duration.DurationInput
}

export const boundsOf = (config: UntrustedConfig): Bounds => ({
  rows: config.maxRows ?? 1_000,
  bytes: config.maxBytes ?? 1_000_000,
  columns: config.maxColumns ?? 100,
  text: config.maxText ?? 10_000,
  expandedText: config.maxExpandedText ?? 10 * (config.maxText ?? 10_000),
  deadline: config.deadline ?? "5 seconds"
})

/** A bound that is no number would bound nothing. */
export const wrongBounds = (config: UntrustedConfig): SqlError | undefined => {
  const bounds = ["maxRows", "maxBytes", "maxColumns", "maxText", "maxExpandedText"] as const
  const wrong = bounds.find(
    (name) => config[name] !== undefined && !(typeof config[name] === "number" && config[name] >= 0)
  )
  const message =
    wrong !== undefined
      ? `${wrong} must be a number from 0 on, not ${String(config[wrong])}`
      : config.deadline !== undefined && !isDuration(config.deadline)
        ? "deadline must be a duration from 0 on"
        : undefined
  return message === undefined ? undefined : SqlFailure.make({ reason: "InvalidParameter", message })
}

/** A page has more than the values; and what is cut must have come. */
export const rulesOf = ({ bytes, columns, expandedText, rows, text }: Bounds): UntrustedRules => ({
  rows: rows + 1,
  bytes: 2 * bytes + 1024 * 1024 + 8 * columns * rows,
  columns,
  text,
  expandedText
})

export const configOf = (config: UntrustedConfig): SqliteClientConfig => ({
  ...config,
  readonly: true,
  defensive: true,
  trustedSchema: false,
  statementTimeout: boundsOf(config).deadline,
  // A few steps of functions that read a whole value each are a millisecond already.
  progressSteps: config.progressSteps ?? 100,
  limits: {
    length: 100_000,
    exprDepth: 100,
    compoundSelect: 50,
    vdbeOps: 25_000,
    functionArgs: 32,
    attached: Object.values(config.attach ?? {}).filter((file) => file !== undefined).length,
    likePatternLength: 100,
    variables: 100,
    triggerDepth: 10,
    ...config.limits
  }
})

const sizeOf = (value: unknown): number =>
  typeof value === "string"
    ? Buffer.byteLength(value)
    : value instanceof Uint8Array
      ? value.byteLength
      : value === null
        ? 1
        : 8

/** Rows until one of the bounds is met. */
class Cut {
  readonly rows: Array<ReadonlyArray<unknown>> = []
  bytes = 0
  truncated: UntrustedResult["truncated"] = false

  constructor(private readonly bounds: Bounds) {}

  /** Answers whether it wants more. */
  take(rows: ReadonlyArray<ReadonlyArray<unknown>>): boolean {
    for (const row of rows) {
      const bytes = this.bytes + row.reduce<number>((sum, value) => sum + sizeOf(value), 0)
      this.truncated = this.rows.length >= this.bounds.rows ? "rows" : bytes > this.bounds.bytes ? "bytes" : false
      if (this.truncated !== false) {
        return false
      }
      this.bytes = bytes
      this.rows.push(row)
    }
    return true
  }
}

const pageRows = 256

export const make = (client: SqlClient.SqlClient, bounds: Bounds): UntrustedFace => ({
  query: (text, params = []) =>
    client
      .onSession(
        (session, { deadline, integers }) =>
          Effect.gen(function* () {
            const request = SqlTransport.request(text, {
              params,
              prefetch: Math.min(pageRows, bounds.rows + 1),
              deadline,
              integers,
              shape: "arrays",
              prepared: false
            })
            const cursor = yield* session.open(request)
            const cut = new Cut(bounds)
            let page: SqlTransport.Page = cursor.first
            while (cut.take(page.arrays())) {
              if (page.error !== undefined) {
                return yield* Effect.fail(page.error)
              }
              if (page.done) {
                break
              }
              page = yield* cursor.next
            }
            const { bytes, rows, truncated } = cut
            return { columns: cursor.columns.map(({ name }) => name), rows, truncated, bytes }
          }).pipe(Effect.scoped),
        [text]
      )
      .pipe(SqlClient.withDeadline(bounds.deadline))
})
