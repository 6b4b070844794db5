/** The job as it is used by itself, on the session that the pool uses, too. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure, SqlTransport } from "@sluice/sql"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as MapepireJob from "../../MapepireJob.js"
import * as failure from "../failure.js"
import type { JobAnswer } from "./answer.js"
import * as commands from "./commands.js"
import type { ConnectionOptions, Endpoint } from "./connection.js"
import type { Control } from "./control.js"
import { makeControl, makeJob, type OpenJob } from "./job.js"
import { beginInTime } from "./inTime.js"
import type { JobCursor } from "./cursor.js"
import { connectionOptions, millis, propertiesOf, sessionOptions, transactionOptions } from "./options.js"
import { prepare } from "./prepared.js"
import { call, callResult } from "./procedure.js"
import { deadlineOf, ownRequest, requestOf } from "./request.js"
import type { JobSession } from "./session.js"
import type { TaskRequest } from "./task.js"
import { fromVerb, isCall } from "./text.js"

export const control = (
  endpoint: Endpoint,
  config: MapepireJob.JobConfig
): Effect.Effect<Control, never, Scope.Scope> => {
  // What is wrong with the properties, the job itself says.
  const options = connectionOptions({ ...config, jdbc: undefined })
  return makeControl(endpoint, options as ConnectionOptions)
}

export const make = (
  endpoint: Endpoint,
  config: MapepireJob.JobConfig
): Effect.Effect<MapepireJob.MapepireJob, SqlError, Scope.Scope> =>
  Effect.gen(function* () {
    const connection = connectionOptions(config)
    if (failure.isSqlError(connection)) {
      return yield* Effect.fail(connection)
    }
    const cancels = config.cancel ?? (config.control !== undefined || endpoint.single !== true)
    const session = sessionOptions(config)
    const job = yield* makeJob(endpoint, {
      connection,
      grace: millis(config.grace, 10_000),
      control: cancels ? (config.control ?? (yield* control(endpoint, config))) : undefined,
      session
    })
    if (config.connect !== "onFirstUse") {
      yield* job.get
    }
    return new Facade(job.get, job.lost, config, session.pageSize)
  })

const untimed: TaskRequest = { text: "", deadline: Infinity }

class Facade implements MapepireJob.MapepireJob {
  /** Once it is open, nothing stands between a call and its request. */
  private opened: OpenJob | undefined

  constructor(
    private readonly open: Effect.Effect<OpenJob, SqlError>,
    readonly lost: Effect.Effect<SqlError>,
    private readonly config: MapepireJob.JobConfig,
    private readonly pageSize: number
  ) {}

  private with<A, R>(
    use: (session: JobSession) => Effect.Effect<A, SqlError, R>,
    request: TaskRequest = untimed
  ): Effect.Effect<A, SqlError, R> {
    return Effect.suspend(() =>
      this.opened !== undefined
        ? use(this.opened.session)
        : Effect.flatMap(
            beginInTime(request, Effect.void, (begin) => Effect.zipLeft(this.open, begin)),
            (opened) => {
              this.opened = opened
              return use(opened.session)
            }
          )
    )
  }

  // ------------------------------------------------------------------------------------------------------- queries

  readonly query: MapepireJob.MapepireJob["query"] = (sql, parameters, options) =>
    this.request(sql, parameters, options, (session, request) =>
      Effect.map(session.open(request), (cursor) => new Pages(cursor))
    )

  readonly queryAndRun: MapepireJob.MapepireJob["queryAndRun"] = (sql, parameters, options) =>
    this.request(sql, parameters, options, (session, request) =>
      Effect.map(session.run(request), (answer) => ({
        rows: answer.objects(),
        columns: answer.columns,
        rowCount: answer.changes
      }))
    )

  readonly rows: MapepireJob.MapepireJob["rows"] = (sql, parameters, options) =>
    Stream.unwrapScoped(Effect.map(this.query<never>(sql, parameters, options), pagesOf))

  readonly batch: MapepireJob.MapepireJob["batch"] = (sql, rows, options) =>
    this.request(sql, undefined, options, (session, request) =>
      Effect.map(session.batch(request, rows), ({ changes }) => ({ changes }))
    )

  readonly call: MapepireJob.MapepireJob["call"] = (sql, parameters = [], options) =>
    isCall(fromVerb(sql))
      ? this.request(sql, parameters, options, (session, request) =>
          Effect.map(call(session, request), (answer) => callResult(answer, this.config))
        )
      : Effect.fail(
          SqlFailure.make({ reason: "InvalidParameter", message: "The text must begin with CALL", statement: sql })
        )

  readonly prepare: MapepireJob.MapepireJob["prepare"] = (sql) =>
    this.request(sql, undefined, undefined, (session, request) => prepare(session, request, this.config))

  private request<A, R>(
    text: string,
    parameters: ReadonlyArray<unknown> | undefined,
    options: MapepireJob.QueryOptions | undefined,
    use: (session: JobSession, request: SqlTransport.SqlRequest) => Effect.Effect<A, SqlError, R>
  ): Effect.Effect<A, SqlError, R> {
    return Effect.withFiberRuntime((fiber) => {
      const request = requestOf(fiber, text, parameters ?? [], options, this.pageSize)
      return this.with((session) => use(session, request), request)
    })
  }

  // ------------------------------------------------------------------------------------------------------ commands

  readonly cl: MapepireJob.MapepireJob["cl"] = (command, options) =>
    this.request(command, undefined, options, (session, request) => commands.cl(session, request))

  readonly explain: MapepireJob.MapepireJob["explain"] = (sql, options) =>
    this.request(sql, undefined, options, (session, request) =>
      commands.explain(session, request, options?.run ?? false)
    ) as never

  readonly ping: MapepireJob.MapepireJob["ping"] = this.within(commands.ping)

  readonly check: MapepireJob.MapepireJob["check"] = this.within(commands.check)

  readonly version: MapepireJob.MapepireJob["version"] = this.within(commands.version)

  readonly job: MapepireJob.MapepireJob["job"] = this.within(commands.job)

  readonly setTrace: MapepireJob.MapepireJob["setTrace"] = (settings) =>
    this.within((session, request) => commands.setTrace(session, request, settings))

  readonly trace: MapepireJob.MapepireJob["trace"] = this.within(commands.trace)

  /** Of what is no statement only the deadline counts. */
  private within<A>(
    use: (session: JobSession, request: TaskRequest) => Effect.Effect<A, SqlError>
  ): Effect.Effect<A, SqlError> {
    return Effect.withFiberRuntime((fiber) => {
      const request = { text: "", deadline: deadlineOf(fiber) }
      return this.with((session) => use(session, request), request)
    })
  }

  readonly commit: MapepireJob.MapepireJob["commit"] = this.end((session) => session.run(ownRequest("COMMIT")))

  readonly rollback: MapepireJob.MapepireJob["rollback"] = this.end((session) =>
    session.runInGrace(ownRequest("ROLLBACK"))
  )

  private end(run: (session: JobSession) => Effect.Effect<unknown, SqlError>): Effect.Effect<void, SqlError> {
    return Effect.uninterruptible(Effect.asVoid(this.with(run)))
  }

  readonly reconnect: MapepireJob.MapepireJob["reconnect"] = (jdbc) => {
    const properties = propertiesOf(this.config, jdbc ?? this.config.jdbc)
    return typeof properties !== "string"
      ? Effect.fail(properties)
      : this.within((session, { deadline }) => {
          const reconnected = this.opened!.reconnect(properties, () => {
            const { cursorHold, transactional } = transactionOptions(jdbc ?? this.config.jdbc)
            session.transactional = transactional
            session.cursorHold = cursorHold
            session.transactionOpen = false
            session.mustRollBack = false
          })
          return deadline === Infinity
            ? reconnected
            : SqlTransport.stoppable(
                Effect.timeoutFail(reconnected, {
                  duration: Math.max(0, deadline - performance.now()),
                  onTimeout: () => failure.late({ job: session.wire.job }, "unknown")
                })
              )
        })
  }

  readonly stats: MapepireJob.MapepireJob["stats"] = Effect.sync(() => {
    const wire = this.opened?.session.wire
    return {
      pending: wire?.pending ?? 0,
      unanswered: wire?.unanswered ?? 0,
      statements: wire?.handles ?? 0,
      strays: wire?.strays ?? 0
    }
  })

  readonly session: MapepireJob.MapepireJob["session"] = this.with((session) => Effect.succeed(session))
}

const pagesOf = <A>(cursor: MapepireJob.Cursor<A>): Stream.Stream<A, SqlError> =>
  Stream.repeatEffectChunkOption(
    Effect.suspend(() =>
      cursor.isDone
        ? Effect.fail(Option.none())
        : Effect.mapBoth(cursor.next, { onFailure: Option.some, onSuccess: Chunk.unsafeFromArray })
    )
  )

/** A cursor that gives its first page like any other, and rows before the failure that came after them. */
class Pages<A> implements MapepireJob.Cursor<A> {
  private begun = false
  private failed: SqlError | undefined

  constructor(private readonly cursor: JobCursor) {}

  get columns() {
    return this.cursor.columns
  }

  get rowCount() {
    return this.cursor.first.changes
  }

  get isDone(): boolean {
    return this.begun && this.cursor.isDone && this.failed === undefined
  }

  readonly next: Effect.Effect<ReadonlyArray<A>, SqlError> = Effect.suspend(() => {
    if (this.failed !== undefined) {
      return Effect.fail(this.failed)
    }
    if (this.begun) {
      return Effect.map(this.cursor.next, (page) => this.rowsOf(page))
    }
    this.begun = true
    return Effect.succeed(this.rowsOf(this.cursor.first))
  })

  get close(): Effect.Effect<void> {
    return this.cursor.closed
  }

  private rowsOf(page: JobAnswer): ReadonlyArray<A> {
    this.failed = page.error
    return page.objects() as ReadonlyArray<A>
  }
}
