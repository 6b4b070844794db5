/** What the client layer alone costs: statements against a session, or a connection, that answers at once. */
import { makeCompilerSqlite } from "@effect/sql/Statement"
import { SqlClient, SqlTransport } from "@sluice/sql"
import { Effect, Layer, Tracer } from "effect"
import { format } from "../harness.mjs"
import { median, minimalTracer, threadCpu } from "../measure.mjs"

const statements = ({ quick }) => (quick ? 20_000 : 100_000)

const rows = [{ n: 1 }]

const answer = {
  columns: [{ name: "n" }],
  length: 1,
  objects: () => rows,
  arrays: () => [[1]],
  raw: () => rows,
  error: undefined,
  done: true,
  inTransaction: false,
  changes: undefined,
  queueNanos: 0,
  engineNanos: 0,
  routable: false,
  private: false
}

const answered = Effect.succeed(answer)

const session = {
  id: "instant",
  keepsContract: true,
  run: () => answered,
  open: () => Effect.succeed({ first: answer, columns: answer.columns, next: answered }),
  batch: () => answered,
  describe: () => Effect.succeed({ parameters: 1, columns: answer.columns, routable: false, private: false }),
  check: Effect.void,
  inTransaction: () => false,
  lost: Effect.never
}

const nothing = () => Effect.void

const Instant = Layer.succeed(SqlTransport.SqlTransport, {
  system: "sqlite",
  attributes: [],
  compiler: makeCompilerSqlite(),
  transactions: {
    begin: nothing,
    commit: nothing,
    rollback: nothing,
    savepoint: nothing,
    rollbackTo: nothing,
    release: nothing
  },
  limits: { read: 0, write: 1, transaction: 0 },
  sharing: "fifo",
  connect: () => Effect.succeed(session)
})

/** The same program for either client; `E` is the copy of Effect that the client runs on. */
const measure = (E, sql, options) =>
  E.gen(function* () {
    const n = statements(options)
    const loop = E.gen(function* () {
      for (let i = 0; i < n; i++) {
        yield* sql`select ${i} + 1 as n`
      }
    })
    yield* loop
    const [micros, wall] = [[], []]
    for (let i = 0; i < 5; i++) {
      globalThis.gc()
      const [cpu, start] = [threadCpu(), performance.now()]
      yield* loop
      micros.push((threadCpu() - cpu) / 1000 / n)
      wall.push(((performance.now() - start) * 1000) / n)
    }
    return { micros: median(micros), wall: median(wall) }
  })

const sluice = (real) => (options) => {
  const program = Effect.flatMap(SqlClient.SqlClient, (sql) => measure(Effect, sql, options)).pipe(
    Effect.provide(Layer.provide(SqlClient.layer, Instant))
  )
  return Effect.runPromise(real ? Effect.withTracer(program, minimalTracer(Tracer)) : program)
}

const upstream = (real) => async (options) => {
  const peers = await import("../../peers/index.mjs")
  const E = peers.Effect
  const result = E.succeed(rows)
  const connection = {
    execute: () => result,
    executeRaw: () => result,
    executeValues: () => E.succeed([[1]]),
    executeUnprepared: () => result,
    executeStream: () => peers.Stream.fromIterable(rows)
  }
  const program = peers.SqlClient.make({
    acquirer: E.succeed(connection),
    compiler: peers.Statement.makeCompilerSqlite(),
    spanAttributes: [["db.system.name", "sqlite"]]
  }).pipe(
    E.flatMap((sql) => measure(E, sql, options)),
    E.provide(peers.Reactivity.layer)
  )
  return E.runPromise(real ? E.withTracer(program, minimalTracer(peers.Tracer)) : program)
}

/** The loop around the statements, for what it is worth: nothing is subtracted. */
const bare = async (options) => Effect.runPromise(measure(Effect, () => answered, options))

export default {
  name: "client",
  title: "The client layer alone: 100,000 statements over a session that answers at once (20,000 with --quick)",
  cells: () => [
    { name: "Sluice", run: sluice(false) },
    { name: "@effect/sql", run: upstream(false) },
    { name: "Sluice, real tracer", run: sluice(true) },
    { name: "@effect/sql, real tracer", run: upstream(true) },
    { name: "the loop alone", run: bare }
  ],
  metrics: [
    { key: "micros", label: "main-thread CPU", unit: "µs", reference: "@effect/sql" },
    { key: "wall", label: "wall", unit: "µs" }
  ],
  bars: ({ median }) => {
    const [plain, traced] = [median("Sluice", "micros"), median("Sluice, real tracer", "micros")]
    return [
      { bar: "default tracer: at most 2 µs per statement", figure: format(plain, "µs"), met: plain <= 2 },
      { bar: "real tracer: at most 6 µs per statement", figure: format(traced, "µs"), met: traced <= 6 }
    ]
  }
}
