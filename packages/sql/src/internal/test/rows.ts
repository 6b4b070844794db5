/** Answers, pages and cursors made of rows that are already here. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as SqlTransport from "../../SqlTransport.js"

export type Row = Readonly<Record<string, unknown>>

/** Rows that can be had in both shapes. */
export interface Rows {
  readonly columns: ReadonlyArray<SqlTransport.Column>
  readonly objects: ReadonlyArray<Row>
  readonly arrays: ReadonlyArray<ReadonlyArray<unknown>>
}

/** Columns are all keys of all rows, in the order in which they first appear. */
export const fromObjects = (objects: ReadonlyArray<Row>): Rows => {
  const names = [...new Set(objects.flatMap((row) => Object.keys(row)))]
  return {
    columns: names.map((name) => ({ name })),
    objects,
    arrays: objects.map((row) => names.map((name) => row[name]))
  }
}

export const fromArrays = (
  columns: ReadonlyArray<SqlTransport.Column>,
  arrays: ReadonlyArray<ReadonlyArray<unknown>>
): Rows => ({
  columns,
  arrays,
  objects: arrays.map((row) => Object.fromEntries(columns.map(({ name }, i) => [name, row[i]])))
})

/** What an answer tells beside its rows. */
export interface Facts {
  readonly inTransaction: boolean
  readonly changes?: number | undefined
  readonly error?: SqlError | undefined
  readonly done?: boolean | undefined
  readonly routable?: boolean | undefined
  readonly private?: boolean | undefined
  /** What `.raw` gives when there are no columns. */
  readonly raw?: unknown
}

export const answer = (rows: Rows, facts: Facts, shape: "objects" | "arrays" = "objects"): SqlTransport.Answer => ({
  columns: rows.columns,
  length: rows.objects.length,
  objects: () => rows.objects,
  arrays: () => rows.arrays,
  raw: () => (rows.columns.length > 0 ? (shape === "arrays" ? rows.arrays : rows.objects) : facts.raw),
  error: facts.error,
  done: facts.done ?? true,
  inTransaction: facts.inTransaction,
  changes: facts.changes,
  queueNanos: 0,
  engineNanos: 0,
  routable: facts.routable ?? false,
  private: facts.private ?? false
})

const part = (rows: Rows, from: number, to: number): Rows => ({
  columns: rows.columns,
  objects: rows.objects.slice(from, to),
  arrays: rows.arrays.slice(from, to)
})

/** Cuts rows into parts of at most so many; there is always one. */
export const cut = (rows: Rows, size: number): ReadonlyArray<Rows> => {
  const parts: Array<Rows> = []
  for (let from = 0; from === 0 || from < rows.objects.length; from += size) {
    parts.push(part(rows, from, from + size))
  }
  return parts
}

/** A cursor over pages that are here; past the last one comes what `beyond` says, by default the end again. */
export const cursor = (
  pages: ReadonlyArray<Rows>,
  facts: (last: boolean) => Facts,
  beyond?: Effect.Effect<SqlTransport.Page, SqlError>
): SqlTransport.Cursor => {
  const columns = pages.find((page) => page.columns.length > 0)?.columns ?? []
  const nothing: Rows = { columns, objects: [], arrays: [] }
  const page = (index: number) => answer({ ...(pages[index] ?? nothing), columns }, facts(index >= pages.length - 1))
  let next = 1
  return {
    first: page(0),
    columns,
    next: Effect.suspend(() => {
      if (next < pages.length) {
        return Effect.sync(() => page(next++))
      }
      return beyond ?? Effect.succeed(answer(nothing, { ...facts(true), error: undefined, done: true }))
    })
  }
}
