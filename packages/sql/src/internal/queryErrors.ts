/** What typed queries fail with, beyond `SqlError` and `ParseError`. */
import * as Data from "effect/Data"

/**
 * There is no row where there must be one. `query` is the query's name.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotFound extends Data.TaggedError("NotFound")<{ readonly query: string }> {
  override get message(): string {
    return `Query "${this.query}" found no row`
  }
}

/**
 * There are `rows` rows where there may be one. `query` is the query's name.
 *
 * @since 0.1.0
 * @category errors
 */
export class TooManyRows extends Data.TaggedError("TooManyRows")<{ readonly query: string; readonly rows: number }> {
  override get message(): string {
    return `Query "${this.query}" found ${this.rows} rows where there may be one`
  }
}
