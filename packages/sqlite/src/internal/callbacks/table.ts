/** The loop's half of table functions: a stream for each scan, pulled as the statement asks for rows. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { pageBytes, TableOp } from "../boundary.js"
import type { Registration } from "../messages.js"
import { folded } from "../folded.js"
import type { SqlValue } from "../parameterReader.js"
import { encode, encodeInto, ParameterError, parameterView } from "../parameters.js"
import type { TableArguments, TableFunctionOptions, TableRow } from "./model.js"
import type { Visit } from "./inside.js"
import type { Handler, Question } from "./registry.js"

/** How many fit into the number by which SQLite tells which of them are given. */
const maxParameters = 31

/** A page begins with the number of its rows; 0: the end. */
const countBytes = 4

type Pull = Effect.Effect<Chunk.Chunk<unknown>, Option.Option<unknown>, unknown>

/** What a table function gives for one use in a statement: rows come, and at its end the stream's finalisers run. */
export class Scan {
  readonly scope: Scope.CloseableScope = Effect.runSync(Scope.make())
  /** Rows of the last chunk, and how many of them are in pages already. */
  rows: ReadonlyArray<unknown> = []
  at = 0
  ended = false
  /** What its first pull runs in, and all the others: fibers of the stream go on between them. */
  visit: Visit | undefined
  private pull: Pull | undefined

  /** Told when it has ended by itself, with its finalisers: SQLite does not close it then. */
  constructor(private readonly onEnd: () => void = () => {}) {}

  open(stream: () => Stream.Stream<unknown, unknown, unknown>): Effect.Effect<this, unknown, unknown> {
    return Effect.flatMap(
      Scope.extend(
        Effect.suspend(() => Stream.toPull(stream())),
        this.scope
      ),
      (pull) => {
        this.pull = pull
        return this.next
      }
    )
  }

  /** Has rows for a page, or has ended, and then its finalisers have run. */
  readonly next: Effect.Effect<this, unknown, unknown> = Effect.suspend(() => {
    if (this.at < this.rows.length) {
      return Effect.succeed(this)
    }
    return Effect.matchCauseEffect(this.pull!, {
      onSuccess: (chunk) => {
        this.rows = Chunk.toReadonlyArray(chunk)
        this.at = 0
        return this.next
      },
      onFailure: (cause): Effect.Effect<this, unknown, unknown> => {
        const failure = failureOf(cause)
        if (failure !== undefined && Option.isNone(failure)) {
          this.ended = true
          return Effect.map(this.close, () => {
            this.onEnd()
            return this
          })
        }
        return Effect.failCause(Cause.map(cause, (error) => Option.getOrUndefined(error)))
      }
    })
  })

  /** Runs the stream's finalisers, once. */
  get close(): Effect.Effect<void> {
    return Effect.uninterruptible(
      Effect.zipRight(
        Scope.close(this.scope, Exit.void),
        Effect.sync(() => {
          if (this.visit !== undefined) {
            this.visit.over = true
          }
        })
      )
    )
  }
}

const failureOf = (cause: Cause.Cause<Option.Option<unknown>>) => Option.getOrUndefined(Cause.failureOption(cause))

/** Rows of one scan after the other are written here first: only one page is made at a time. */
let scratch: ReturnType<typeof parameterView> | undefined

/** As many rows as a page holds, and at least one. Throws `ParameterError`. */
const page = (scan: Scan, columns: ReadonlyArray<string>): Uint8Array => {
  const view = (scratch ??= parameterView(new ArrayBuffer(pageBytes)))
  const values = new Array<unknown>(columns.length)
  let count = 0
  let end = countBytes
  for (; scan.at < scan.rows.length; scan.at++, count++) {
    take(scan.rows[scan.at], columns, values)
    const bytes = encodeInto(values, view, end, pageBytes - end)
    if (bytes < 0) {
      break
    }
    end += bytes
  }
  if (count === 0 && scan.at < scan.rows.length) {
    // Larger than a page: it is one of its own.
    scan.at++
    return withCount(Buffer.concat([new Uint8Array(countBytes), new Uint8Array(encode(values))]), 1)
  }
  return withCount(view.bytes.slice(0, end), count)
}

const withCount = (bytes: Uint8Array, count: number): Uint8Array => {
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, count, true)
  return bytes
}

/** A row's values in the order of the columns. */
const take = (row: unknown, columns: ReadonlyArray<string>, values: Array<unknown>): void => {
  if (typeof row !== "object" || row === null) {
    throw new ParameterError(0, "a row that is neither an array nor an object")
  }
  if (Array.isArray(row)) {
    if (row.length !== columns.length) {
      throw new ParameterError(0, `a row of ${row.length} values for ${columns.length} columns`)
    }
    for (let i = 0; i < row.length; i++) {
      values[i] = row[i]
    }
    return
  }
  for (let i = 0; i < columns.length; i++) {
    values[i] = (row as Readonly<Record<string, unknown>>)[columns[i]!]
  }
}

/** The arguments by name. The first value says which of them are given: a bit for each. */
const named = (names: ReadonlyArray<string>, [given, ...values]: ReadonlyArray<SqlValue>) => {
  const result: Record<string, SqlValue | undefined> = {}
  names.forEach((name, i) => {
    result[name] = (Number(given) & (1 << i)) === 0 ? undefined : values[i]
  })
  return result
}

/** Two names that SQLite takes for one, or none at all. */
const wrongNames = ({ columns, parameters = [] }: TableFunctionOptions): string | undefined => {
  const names = [...columns, ...parameters]
  return columns.length === 0
    ? "it needs a column"
    : parameters.length > maxParameters
      ? `it has more than ${maxParameters} parameters`
      : names.some((name) => name === "" || name.includes("\0"))
        ? "a column or parameter has no usable name"
        : new Set(names.map(folded)).size < names.length
          ? "two of its columns and parameters have the same name"
          : undefined
}

/** A table function as the registry knows it. */
export const table = <Name extends string, E, R>(
  name: string,
  options: TableFunctionOptions<Name>,
  rows: (args: TableArguments<Name>) => Stream.Stream<TableRow, E, R>
): Effect.Effect<readonly [(id: number) => Registration, Omit<Handler, "context">], SqlError> => {
  const wrong = wrongNames(options)
  if (wrong !== undefined) {
    return Effect.fail(
      SqlFailure.make({
        reason: "InvalidParameter",
        message: `The table function ${name} cannot be registered: ${wrong}`
      })
    )
  }
  const columns = [...options.columns]
  const parameters = [...(options.parameters ?? [])]
  const run = ({ args, group, groups, op }: Question): Effect.Effect<unknown, unknown, unknown> => {
    if (op !== TableOp.open) {
      // Its statement was stopped as it ended, and closes what is closed.
      return (groups.get(group) as Scan | undefined)?.next ?? Effect.sync(() => new Scan())
    }
    const scan = new Scan(() => groups.delete(group))
    groups.set(group, scan)
    return scan.open(() => rows(named(parameters, args) as TableArguments<Name>))
  }
  return Effect.succeed([
    (id) => ({ kind: "table", name, columns, parameters, id }),
    { name: `${name}()`, run, encode: (scan) => page(scan as Scan, columns) }
  ])
}
