/** What typed queries fail with, beyond `SqlError` and `ParseError`. */
import * as Data from "effect/Data"

export class NotFound extends Data.TaggedError("NotFound")<{ readonly query: string }> {
  override get message(): string {
    return `Query "${this.query}" found no row`
  }
}

export class TooManyRows extends Data.TaggedError("TooManyRows")<{ readonly query: string; readonly rows: number }> {
  override get message(): string {
    return `Query "${this.query}" found ${this.rows} rows where there may be one`
  }
}
