/** Rows of a result: objects or arrays, each column's values exact by its type. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure, type SqlTransport } from "@sluice/sql"
import type { ColumnMetadata } from "../Protocol.js"
import { numberIn } from "./columns.js"
import type { RawRows } from "./frame.js"
import { NumberText, parseLossless } from "./lossless.js"
import { objectOf, scan, Unexpected } from "./scan.js"
import { cellDecoder, type CellDecoder, cellOf, type CellOptions, ConversionError, conversionFailed } from "./values.js"

/**
 * How a result's names become keys. `lower` (default): names wholly in upper case, which is what Db2 makes of unquoted
 * ones, in lower case; others as they are. A name that would then be taken for another column's stays as it is.
 */
export type ResultNames = "lower" | "asIs" | ((name: string) => string)

export interface RowOptions extends CellOptions {
  readonly resultNames?: ResultNames | undefined
  /** Which form is wanted; the other one costs reading the text again. Default `objects`. */
  readonly shape?: "objects" | "arrays" | undefined
}

export interface Rows {
  readonly length: number
  readonly objects: () => ReadonlyArray<Readonly<Record<string, unknown>>>
  readonly arrays: () => ReadonlyArray<ReadonlyArray<unknown>>
  /** What stopped the reading: the rows before it are there. */
  readonly error: SqlError | undefined
}

/** Reads the pages of one result. */
export interface RowDecoder {
  /** Columns as the port has them, their names as keys of the rows. */
  readonly columns: ReadonlyArray<SqlTransport.Column>
  readonly decode: (data: RawRows, options?: Pick<RowOptions, "shape" | "blob">) => Rows
}

/** The keys of a result's columns. Of equal ones the last wins in objects; arrays have all. */
export const resultNames = (columns: ReadonlyArray<{ readonly name: string }>, how: ResultNames): Array<string> => {
  const names = columns.map((column) => column.name)
  if (how === "asIs") {
    return names
  }
  if (typeof how === "function") {
    return names.map((name) => how(name))
  }
  const taken = new Set(names)
  return names.map((name) => {
    const lower = name.toLowerCase()
    return lower === name || name !== name.toUpperCase() || taken.has(lower) ? name : lower
  })
}

const nullability = [false, true, undefined]

const portColumns = (
  columns: ReadonlyArray<ColumnMetadata>,
  names: ReadonlyArray<string>
): ReadonlyArray<SqlTransport.Column> =>
  columns.map((column, i) => ({
    name: names[i]!,
    type: column.type,
    nullable: column.nullable === undefined ? undefined : nullability[column.nullable],
    precision: numberIn(column.precision),
    scale: numberIn(column.scale)
  }))

export const rowDecoder = (columns: ReadonlyArray<ColumnMetadata>, options: RowOptions = {}): RowDecoder => {
  const names = resultNames(columns, options.resultNames ?? "lower")
  const decoders = columns.map((column) => cellDecoder(column, options))
  return {
    columns: portColumns(columns, names),
    decode: (data, more) => {
      const all = more === undefined ? options : { ...options, ...more }
      const own = more?.blob === undefined ? decoders : columns.map((column) => cellDecoder(column, all))
      return new DecodedRows(data, columns, names, own, all)
    }
  }
}

class DecodedRows implements Rows {
  readonly error: SqlError | undefined
  private readonly shape: "objects" | "arrays"
  private readonly read: ReadonlyArray<unknown>
  private other: ReadonlyArray<unknown> | undefined

  constructor(
    private readonly data: RawRows,
    private readonly metadata: ReadonlyArray<ColumnMetadata>,
    private readonly names: ReadonlyArray<string>,
    private readonly decoders: ReadonlyArray<CellDecoder>,
    private readonly options: RowOptions
  ) {
    this.shape = options.shape ?? "objects"
    const { out, error } = this.rows(this.shape)
    this.read = out
    this.error = error
  }

  get length(): number {
    return this.read.length
  }

  objects(): ReadonlyArray<Readonly<Record<string, unknown>>> {
    return this.as("objects") as ReadonlyArray<Readonly<Record<string, unknown>>>
  }

  arrays(): ReadonlyArray<ReadonlyArray<unknown>> {
    return this.as("arrays") as ReadonlyArray<ReadonlyArray<unknown>>
  }

  private as(shape: "objects" | "arrays"): ReadonlyArray<unknown> {
    return shape === this.shape ? this.read : (this.other ??= this.rows(shape).out)
  }

  private rows(shape: "objects" | "arrays"): Read {
    const { data, decoders, names, options } = this
    const out: Array<unknown> = []
    try {
      scan(
        data.text,
        data.start,
        data.end,
        { names, decoders, shape, integers: options.integers ?? "number", dates: options.dates ?? "string" },
        out
      )
      return { out, error: undefined }
    } catch (error) {
      if (error instanceof ConversionError) {
        return { out, error: conversionFailed(error) }
      }
      if (error instanceof Unexpected) {
        return careful(data, this.metadata, names, decoders, shape)
      }
      throw error
    }
  }
}

interface Read {
  readonly out: Array<unknown>
  readonly error: SqlError | undefined
}

/** Reads any JSON, value by value: white space, rows that are objects, whatever else a server may think of. */
const careful = (
  data: RawRows,
  columns: ReadonlyArray<ColumnMetadata>,
  names: ReadonlyArray<string>,
  decoders: ReadonlyArray<CellDecoder>,
  shape: "objects" | "arrays"
): Read => {
  const out: Array<unknown> = []
  const list = parseLossless(data.text.slice(data.start, data.end), (text) => new NumberText(text))
  if (!Array.isArray(list)) {
    return { out, error: unreadable }
  }
  try {
    for (const row of list as ReadonlyArray<unknown>) {
      if (Array.isArray(row) ? row.length !== columns.length : !isRecord(row)) {
        return { out, error: misfit }
      }
      const values = columns.map((column, i) =>
        cellOf(Array.isArray(row) ? row[i] : field(row, column.name), decoders[i]!)
      )
      out.push(shape === "arrays" ? values : objectOf(names, values))
    }
    return { out, error: undefined }
  } catch (error) {
    if (error instanceof ConversionError) {
      return { out, error: conversionFailed(error) }
    }
    throw error
  }
}

const isRecord = (row: unknown): row is Record<string, unknown> =>
  typeof row === "object" && row !== null && !(row instanceof NumberText)

const field = (row: unknown, name: string): unknown => (isRecord(row) ? row[name] : undefined)

/** What the daemon says elsewhere may be as it should: the job goes on. */
const wrongRows = (what: string): SqlError =>
  SqlFailure.make({ reason: "Unknown", message: `The daemon sent rows that ${what}`, outcome: "unknown" })

const unreadable = wrongRows("are no JSON")
const misfit = wrongRows("do not fit their columns")
