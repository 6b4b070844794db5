/** A page as the client sees it. */
import type { SqlError } from "@effect/sql/SqlError"
import type { SqlTransport } from "@sluice/sql"
import type { OutputValue, RowDecoder, Rows } from "../frame.js"

/** What a daemon says about a statement that has no rows. */
export interface Executed {
  /** Rows changed; undefined when Db2 does not tell. */
  readonly changes: number | undefined
  /** Of a CALL. */
  readonly outputs: ReadonlyArray<OutputValue>
}

const nothing: ReadonlyArray<never> = []

export class JobAnswer implements SqlTransport.Answer {
  readonly queueNanos = 0
  readonly routable = false
  readonly private = false
  readonly outputs: ReadonlyArray<OutputValue>

  constructor(
    /** Undefined: no result set. */
    readonly decoder: RowDecoder | undefined,
    private readonly pages: ReadonlyArray<Rows>,
    readonly done: boolean,
    readonly changes: number | undefined,
    readonly engineNanos: number,
    readonly inTransaction: boolean,
    readonly error: SqlError | undefined,
    outputs?: ReadonlyArray<OutputValue>
  ) {
    this.outputs = outputs ?? nothing
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
      : new JobAnswer(
          first!.decoder,
          pages.flatMap((page) => page.pages),
          last.done,
          first!.changes,
          pages.reduce((nanos, page) => nanos + page.engineNanos, 0),
          last.inTransaction,
          last.error,
          first!.outputs
        )
  }
}
