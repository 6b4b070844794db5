/** What the parts of the port's contract share. */
import { assert } from "@effect/vitest"
import type { SqlError } from "@effect/sql/SqlError"
import { SqlClient, SqlFailure, type SqlTransport } from "@sluice/sql"
import { Context, Effect, Layer, type Scope } from "effect"

/** What the suite must know about a transport: texts that only its database understands, and what it cannot do. */
export interface Capabilities {
  /** A query that runs until it is stopped. */
  readonly endless: string
  /** A query that gives the rows `{ n: 1 } … { n: count }`. */
  readonly countTo: (count: number) => string
  /** A query that gives a row at once, and others after some tenths of a second each, without end. */
  readonly pausing: string
  /** A query that gives `{ n: 1 } … { n: rows }` and then fails. */
  readonly failsAfter: (rows: number) => string
  /** A write into a table `t (n)` that takes seconds, where a stopped write takes its transaction along. */
  readonly slowWrite?: string | undefined
  /** Whether a lost session can be replaced. Not so where the database is the session. */
  readonly reconnects: boolean
  /** Whether a reserved session takes BEGIN as a statement. Default true. */
  readonly begin?: boolean | undefined
  /** How long an interrupt may take until the statement has stopped, in milliseconds. Default 1,000. */
  readonly stopsWithin?: number | undefined
}

export interface Subject {
  readonly capabilities: Capabilities
  /** A transport of its own for each test. */
  readonly transport: () => Layer.Layer<SqlTransport.SqlTransport, SqlError>
}

/** A client over a transport. */
export const clientOf = (
  transport: Layer.Layer<SqlTransport.SqlTransport, SqlError>,
  acquireTimeout = 30_000
): Effect.Effect<SqlClient.SqlClient, SqlError, Scope.Scope> =>
  Effect.map(Layer.build(SqlClient.layerWith({ pool: { acquireTimeout } }).pipe(Layer.provide(transport))), (context) =>
    Context.get(context, SqlClient.SqlClient)
  )

/** Runs a body on a client of its own with an empty table `t (n)`, and looks whether anything was leaked. */
export const using = <A, E>(
  subject: Subject,
  body: (sql: SqlClient.SqlClient) => Effect.Effect<A, E, Scope.Scope>,
  around: (
    transport: Layer.Layer<SqlTransport.SqlTransport, SqlError>
  ) => Layer.Layer<SqlTransport.SqlTransport, SqlError> = (transport) => transport,
  acquireTimeout?: number
): Effect.Effect<void, E | SqlError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const sql = yield* clientOf(around(subject.transport()), acquireTimeout)
      yield* sql`create table t (n integer primary key)`
      yield* Effect.scoped(body(sql))
      yield* assertIdle(sql)
    })
  )

/** Nobody holds a session or waits for one, and the client answers. */
export const assertIdle = (sql: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    yield* sql`select count(*) as n from t`
    for (const { leases, name, waiting } of yield* sql.statistics) {
      assert.deepStrictEqual({ name, leases, waiting }, { name, leases: 0, waiting: 0 })
    }
  })

export const insert = (sql: SqlClient.SqlClient, n: number) => sql`insert into t values (${n})`

/** The content of `t`. */
export const content = (sql: SqlClient.SqlClient) =>
  Effect.map(sql<{ n: number }>`select n from t order by n`, (rows) => rows.map(({ n }) => n))

export const failureOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<SqlFailure.SqlFailure, A, R> =>
  Effect.map(Effect.flip(effect), SqlFailure.from)

/** How long an effect takes, in milliseconds. */
export const timed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<readonly [number, A], E, R> =>
  Effect.suspend(() => {
    const started = performance.now()
    return Effect.map(effect, (value) => [performance.now() - started, value] as const)
  })

/** Forks an effect and lets it get to the database. */
export const running = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.zipLeft(Effect.fork(effect), Effect.sleep(40))

/** Holds every session that transactions and `reserve` can have. */
export const reserveAll = (sql: SqlClient.SqlClient) =>
  Effect.flatMap(sql.statistics, (pools) => {
    const pool =
      pools.find(({ name }) => name.endsWith("transaction")) ?? pools.find(({ name }) => name.endsWith("write"))!
    return Effect.replicateEffect(sql.reserve, pool.max)
  })
