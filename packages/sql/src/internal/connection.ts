/** A level seen as an `@effect/sql` connection: what `sql.reserve` gives, and what resolvers carry along. */
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as SqlTransport from "../SqlTransport.js"
import type { Core } from "./core.js"
import type { BoundedRequest } from "./deadline.js"
import { withFiber } from "./fiber.js"
import type { Level } from "./level.js"
import { failIn } from "./lost.js"
import { pages, type TransformRows } from "./rows.js"

export class LevelConnection implements Connection {
  constructor(
    readonly core: Core,
    readonly level: Level
  ) {}

  private run<A>(
    sql: string,
    params: ReadonlyArray<unknown>,
    shape: "objects" | "arrays",
    prepared: boolean,
    map: (answer: SqlTransport.Answer) => A
  ): Effect.Effect<A, SqlError> {
    return this.request(sql, params, shape, prepared, (request) =>
      Effect.flatMap(this.level.run(request), (answer) => {
        this.core.learn(sql, answer)
        return answer.error === undefined ? Effect.succeed(map(answer)) : Effect.fail(answer.error)
      })
    )
  }

  private request<A, R>(
    sql: string,
    params: ReadonlyArray<unknown>,
    shape: "objects" | "arrays",
    prepared: boolean,
    use: (request: BoundedRequest) => Effect.Effect<A, SqlError, R>
  ): Effect.Effect<A, SqlError, R> {
    return withFiber((fiber) => {
      const request = this.core.request(fiber, sql, params, shape, prepared, undefined)
      return request instanceof SqlError
        ? Effect.fail(request)
        : Effect.catchAllCause(use(request), (cause) => failIn(this.level, cause))
    })
  }

  execute(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows) {
    return this.run(sql, params, "objects", true, (answer) => rowsOf(answer, transformRows))
  }

  executeRaw(sql: string, params: ReadonlyArray<unknown>) {
    return this.run(sql, params, "objects", true, (answer) => answer.raw())
  }

  executeStream(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows) {
    return Stream.unwrapScoped(
      this.request(sql, params, "objects", true, (request) =>
        Effect.map(this.level.open(request), (cursor) => Stream.fromChannel(pages(cursor, transformRows)))
      )
    )
  }

  executeValues(sql: string, params: ReadonlyArray<unknown>) {
    return this.run(sql, params, "arrays", true, (answer) => answer.arrays())
  }

  executeUnprepared(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows) {
    return this.run(sql, params, "objects", false, (answer) => rowsOf(answer, transformRows))
  }
}

const rowsOf = (answer: SqlTransport.Answer, transformRows: TransformRows) =>
  transformRows === undefined ? answer.objects() : transformRows(answer.objects())
