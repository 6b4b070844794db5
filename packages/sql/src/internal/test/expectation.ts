/** What a script expects, and what it answers. */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Duration from "effect/Duration"
import * as SqlFailure from "../../SqlFailure.js"
import type * as SqlTransport from "../../SqlTransport.js"
import { parse } from "./control.js"
import type { Row } from "./rows.js"
import { encode, show, textOf } from "./values.js"

export type Pattern = string | RegExp | ((request: SqlTransport.SqlRequest) => boolean)

/** An expected statement and its answer. */
export interface Expectation {
  /** Answers these rows; a stream gets them in pages of its prefetch. */
  readonly rows: (rows: ReadonlyArray<Row>) => Expectation
  /** Answers these pages, whatever the prefetch: for streams. Anything but a stream gets all the rows. */
  readonly pages: (pages: ReadonlyArray<ReadonlyArray<Row>>) => Expectation
  /** Answers that so many rows were changed. */
  readonly changes: (changes: number) => Expectation
  /** Fails. After `rows` or `pages`, a stream gets these first. */
  readonly fails: (failure: SqlFailure.Reason | SqlError, details?: Partial<SqlFailure.Details>) => Expectation
  /** Dies with a defect, as a driver with a bug would. */
  readonly dies: (defect?: unknown) => Expectation
  /** Never answers: for deadlines and interruption. */
  readonly never: Expectation
  /** Answers after so long, by the fiber's Clock: `TestClock.adjust` moves it on. */
  readonly delay: (duration: Duration.DurationInput) => Expectation
  /** Requires these parameters; for `sql.many` one array per row. */
  readonly params: (params: ReadonlyArray<unknown> | ((params: ReadonlyArray<unknown>) => boolean)) => Expectation
  /** Expects the statement so many times in a row; each gets the same answer. Default 1. */
  readonly times: (times: number) => Expectation
  /** Expects the statement at any moment and as often as it comes, or not at all. */
  readonly anyTimes: Expectation
}

/** The parameters of one run: those of the request, or one array per row of a batch. */
export type Params = ReadonlyArray<unknown>

/** A statement with what stands behind its placeholders. */
export interface Asked {
  readonly request: SqlTransport.SqlRequest
  readonly params: Params
}

/** What an expectation is made of. */
export interface Parts {
  readonly pattern: Pattern
  readonly params?: Params | ((params: Params) => boolean) | undefined
  /** How often; `anyTimes` for whenever and as often as it comes. */
  readonly times: number | "anyTimes"
  /** Pages as given, or one list that is cut by prefetch. */
  readonly pages?: ReadonlyArray<ReadonlyArray<Row>> | undefined
  readonly paged: boolean
  readonly changes?: number | undefined
  readonly fails?: ((statement: string) => SqlError) | undefined
  readonly dies?: { readonly defect: unknown } | undefined
  readonly never: boolean
  readonly delay?: Duration.DurationInput | undefined
}

/** White space counts as one blank, so that a template may be indented as it likes. */
export const squeeze = (text: string): string => text.replace(/\s+/g, " ").trim()

export const matchesText = (pattern: Pattern, request: SqlTransport.SqlRequest): boolean =>
  typeof pattern === "string"
    ? squeeze(pattern) === squeeze(request.text)
    : pattern instanceof RegExp
      ? // `lastIndex` of a global or sticky pattern would make the second match another.
        new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, "")).test(request.text)
      : pattern(request)

/** A pattern that is meant for transaction control says so; `/./` and predicates are not. */
export const namesControl = (pattern: Pattern): boolean =>
  typeof pattern === "string"
    ? parse(squeeze(pattern)) !== undefined
    : pattern instanceof RegExp && /begin|commit|rollback|savepoint|release/i.test(pattern.source)

export const matchesParams = (expected: Parts["params"], params: Params): boolean =>
  expected === undefined
    ? true
    : typeof expected === "function"
      ? expected(params)
      : textOf(encode(expected)) === textOf(encode(params))

export const matches = ({ params, pattern }: Parts, asked: Asked): boolean =>
  matchesText(pattern, asked.request) && matchesParams(params, asked.params)

export const showPattern = (pattern: Pattern): string =>
  typeof pattern === "string"
    ? squeeze(pattern)
    : pattern instanceof RegExp
      ? String(pattern)
      : `a statement that ${pattern.name === "" ? "a predicate" : pattern.name} accepts`

export const showParams = (params: Parts["params"]): string =>
  params === undefined ? "any" : typeof params === "function" ? "as a predicate says" : show(params)

/** A failure by its reason, as a database would report it for the statement. */
export const scriptedFailure =
  (reason: SqlFailure.Reason | SqlError, details: Partial<SqlFailure.Details> | undefined) =>
  (statement: string): SqlError =>
    typeof reason === "string"
      ? SqlFailure.make({ message: `Scripted failure: ${reason}`, statement, ...details, reason })
      : details === undefined
        ? reason
        : SqlFailure.annotate(reason, details)

/** The expectation as the script sees it. */
class Impl implements Expectation {
  constructor(readonly parts: Parts) {}

  private with(parts: Partial<Parts>): Impl {
    return new Impl({ ...this.parts, ...parts })
  }

  rows(rows: ReadonlyArray<Row>) {
    return this.with({ pages: [rows], paged: false })
  }
  pages(pages: ReadonlyArray<ReadonlyArray<Row>>) {
    return this.with({ pages, paged: true })
  }
  changes(changes: number) {
    return this.with({ changes })
  }
  fails(failure: SqlFailure.Reason | SqlError, details?: Partial<SqlFailure.Details>) {
    return this.with({ fails: scriptedFailure(failure, details) })
  }
  dies(defect: unknown = new Error("TestTransport: scripted defect")) {
    return this.with({ dies: { defect } })
  }
  get never() {
    return this.with({ never: true })
  }
  delay(delay: Duration.DurationInput) {
    return this.with({ delay })
  }
  params(params: ReadonlyArray<unknown> | ((params: ReadonlyArray<unknown>) => boolean)) {
    return this.with({ params })
  }
  times(times: number) {
    return this.with({ times })
  }
  get anyTimes() {
    return this.with({ times: "anyTimes" })
  }
}

export const make = (pattern: Pattern): Expectation => new Impl({ pattern, times: 1, paged: false, never: false })

export const partsOf = (expectation: Expectation): Parts => (expectation as Impl).parts
