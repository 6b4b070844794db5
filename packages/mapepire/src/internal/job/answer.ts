/** A page as the client sees it. */
import type { SqlError } from "@effect/sql/SqlError"
import type { SqlTransport } from "@sluice/sql"
import type { OutputValue } from "../outputs.js"
import type { RowDecoder, Rows } from "../rows.js"

/** What a daemon says about a statement that has no rows. */
interface Executed {
  /** Rows changed; undefined when Db2 does not tell. */
  readonly changes: number | undefined
  /** Of a CALL. */
  readonly outputs: ReadonlyArray<OutputValue>
}

const nothing: ReadonlyArray<never> = []

/** What a response has told; see `SqlTransport.Page`. */
export interface AnswerParts {
  /** Undefined: no result set. */
  readonly decoder: RowDecoder | undefined
  readonly pages: ReadonlyArray<Rows>
  readonly done: boolean
  readonly changes: number | undefined
  readonly engineNanos: number
  readonly inTransaction: boolean
  readonly error: SqlError | undefined
  readonly outputs: ReadonlyArray<OutputValue>
}

export class JobAnswer implements SqlTransport.Answer {
  readonly queueNanos = 0
  readonly routable = false
  readonly private = false
  readonly decoder: AnswerParts["decoder"]
  private readonly pages: AnswerParts["pages"]
  readonly done: AnswerParts["done"]
  readonly changes: AnswerParts["changes"]
  readonly engineNanos: AnswerParts["engineNanos"]
  readonly inTransaction: AnswerParts["inTransaction"]
  readonly error: AnswerParts["error"]
  readonly outputs: AnswerParts["outputs"]

  constructor(parts: AnswerParts) {
    this.decoder = parts.decoder
    this.pages = parts.pages
    this.done = parts.done
    this.changes = parts.changes
    this.engineNanos = parts.engineNanos
    this.inTransaction = parts.inTransaction
    this.error = parts.error
    this.outputs = parts.outputs
  }

  get columns(): ReadonlyArray<SqlTransport.Column> {
    return this.decoder?.columns ?? nothing
  }

  get length(): number {
    return this.pages.reduce((length, page) => length + page.length, 0)
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- rows are as the query says
  objects(): ReadonlyArray<any> {
    return this.pages.length === 1 ? this.pages[0]!.objects() : this.pages.flatMap((page) => page.objects())
  }

  arrays(): ReadonlyArray<ReadonlyArray<unknown>> {
    return this.pages.length === 1 ? this.pages[0]!.arrays() : this.pages.flatMap((page) => page.arrays())
  }

  raw(): unknown {
    if (this.decoder !== undefined) {
      return this.objects()
    }
    const executed: Executed = { changes: this.changes, outputs: this.outputs }
    return executed
  }

  /** All pages of a result as one answer. */
  static all(pages: ReadonlyArray<JobAnswer>): JobAnswer {
    const [first] = pages
    const last = pages[pages.length - 1]!
    return pages.length === 1
      ? first!
      : new JobAnswer({
          decoder: first!.decoder,
          pages: pages.flatMap((page) => page.pages),
          done: last.done,
          changes: first!.changes,
          engineNanos: pages.reduce((nanos, page) => nanos + page.engineNanos, 0),
          inTransaction: last.inTransaction,
          error: last.error,
          outputs: first!.outputs
        })
  }
}
