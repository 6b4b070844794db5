import { assert, describe, it } from "@effect/vitest"
import { MapepireClient, MapepireJob, MapepireTransport } from "@sluice/mapepire"
import { SqlClient, SqlFailure, type SqlTransport } from "@sluice/sql"
import { ConfigProvider, Effect, Layer, Redacted } from "effect"
import { onOpen } from "../src/internal/transport/onOpen.js"
import type { PoolSession } from "../src/MapepireJob.js"

const config: MapepireTransport.Config = { host: "ibmi", user: "ADA", password: Redacted.make("s3cret") }

/** Takes note of what it is asked to run. */
const noting = () => {
  const texts: Array<string> = []
  const params: Array<ReadonlyArray<unknown>> = []
  const session = {
    run: (request: SqlTransport.SqlRequest) =>
      Effect.sync(() => {
        texts.push(request.text)
        params.push(request.params)
      }),
    inTransaction: () => true
  } as unknown as PoolSession
  return { session, texts, params }
}

it.scoped("wishes for pages that are worth a round trip, whoever makes the client", () =>
  Effect.gen(function* () {
    assert.strictEqual((yield* MapepireTransport.make(config)).prefetch, 1_000)
  })
)

describe("transactions", () => {
  const texts = (
    config: MapepireTransport.Config,
    use: (control: SqlTransport.TransactionControl, session: SqlTransport.Session) => Effect.Effect<void, unknown>
  ) =>
    Effect.gen(function* () {
      const { transactions } = yield* MapepireTransport.make(config)
      const { session, texts } = noting()
      yield* use(transactions, session)
      return texts
    })

  it.scoped("ask for what differs from the job's own isolation", () =>
    Effect.gen(function* () {
      const begin = (options: SqlTransport.BeginOptions, more: Partial<MapepireTransport.Config> = {}) =>
        texts({ ...config, ...more }, (control, session) => control.begin(session, options))
      assert.deepStrictEqual(yield* begin({}), ["BEGIN"])
      assert.deepStrictEqual(yield* begin({ isolation: "repeatableRead" }), [
        "BEGIN",
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE"
      ])
      assert.deepStrictEqual(yield* begin({ isolation: "readUncommitted" }), [
        "BEGIN",
        "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED, READ WRITE"
      ])
      assert.deepStrictEqual(yield* begin({ readOnly: true }, { isolation: "serializable" }), [
        "BEGIN",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY"
      ])
    })
  )

  it.scoped("do not begin with an isolation that there is not", () =>
    Effect.gen(function* () {
      const { transactions } = yield* MapepireTransport.make(config)
      const { session, texts } = noting()
      for (const isolation of ["snapshot", "constructor"]) {
        const failed = yield* Effect.flip(transactions.begin(session, { isolation: isolation as never }))
        assert.strictEqual(SqlFailure.from(failed).reason, "InvalidParameter")
        assert.include(SqlFailure.from(failed).message, "readCommitted")
      }
      assert.isEmpty(texts)
    })
  )

  it.scoped("nor does a session open where there is not the isolation of its layer", () =>
    Effect.gen(function* () {
      for (const isolation of ["read committed", "constructor"]) {
        const { connect } = yield* MapepireTransport.make({ ...config, isolation: isolation as never })
        for (const use of ["statement", "transaction"] as const) {
          const failed = SqlFailure.from(yield* Effect.flip(connect({ use, access: "write" })))
          assert.strictEqual(failed.reason, "InvalidParameter")
          assert.include(failed.message, "readCommitted")
        }
      }
    })
  )

  it.scoped("do not begin exclusively, which Db2 does not have", () =>
    Effect.gen(function* () {
      const { transactions } = yield* MapepireTransport.make(config)
      const { session, texts } = noting()
      const failed = SqlFailure.from(yield* Effect.flip(transactions.begin(session, { mode: "exclusive" })))
      assert.strictEqual(failed.reason, "Unsupported")
      assert.include(failed.message, "exclusive")
      assert.isEmpty(texts)
      yield* transactions.begin(session, { mode: "deferred" })
      yield* transactions.begin(session, { mode: "immediate" })
      assert.deepStrictEqual(texts, ["BEGIN", "BEGIN"])
    })
  )

  it.scoped("keep cursors open over a rollback to a savepoint", () =>
    Effect.gen(function* () {
      const spoken = yield* texts(config, (control, session) =>
        Effect.all([control.savepoint(session, "s"), control.rollbackTo(session, "s"), control.release(session, "s")])
      )
      assert.deepStrictEqual(spoken, [
        "SAVEPOINT s ON ROLLBACK RETAIN CURSORS",
        "ROLLBACK TO SAVEPOINT s",
        "RELEASE SAVEPOINT s"
      ])
    })
  )
})

describe("what a session is prepared with", () => {
  it.effect("registers, the client's registers, statements; in a transaction of their own", () =>
    Effect.gen(function* () {
      const { params, session, texts } = noting()
      yield* onOpen(
        session,
        {
          registers: { "CURRENT DEGREE": "ANY", "CURRENT DECFLOAT ROUNDING MODE": "it's" },
          client: { application: "orders", userId: "ada" },
          onOpen: ["SET SCHEMA SHOP"]
        },
        true
      )
      assert.deepStrictEqual(texts, [
        "CALL SYSPROC.WLM_SET_CLIENT_INFO(?, ?, ?, ?, ?)",
        "SET CURRENT DEGREE = 'ANY'",
        "SET CURRENT DECFLOAT ROUNDING MODE = 'it''s'",
        "SET SCHEMA SHOP",
        "COMMIT"
      ])
      assert.deepStrictEqual(params[0], ["ada", null, "orders", null, null])
    })
  )

  it.effect("nothing, where nothing is asked for; nothing at all, where something is wrong", () =>
    Effect.gen(function* () {
      const { session, texts } = noting()
      yield* onOpen(session, {}, true)
      for (const registers of [{ "X = 1; DROP": "a" }, { "": "a" }, { "CURRENT DEGREE": NaN }]) {
        const failure = SqlFailure.from(yield* Effect.flip(onOpen(session, { registers }, false)))
        assert.strictEqual(failure.reason, "InvalidParameter")
      }
      assert.isEmpty(texts)
    })
  )
})

describe("configuration", () => {
  it.scoped("says what spans, pools and the compiler need", () =>
    Effect.gen(function* () {
      const transport = yield* MapepireTransport.make({ ...config, sessions: 2, transactions: 3, multiplex: 8 })
      assert.strictEqual(transport.system, "ibm.db2")
      assert.deepStrictEqual(transport.limits, { read: 0, write: 2, transaction: 3 })
      assert.deepStrictEqual(transport.sharing, { multiplex: 8 })
      assert.strictEqual((yield* MapepireTransport.make(config)).sharing, "exclusive")
      assert.notInclude(JSON.stringify(transport.attributes), "s3cret")
    })
  )

  it.scoped("counts are 1 or more", () =>
    Effect.gen(function* () {
      for (const name of ["sessions", "transactions", "multiplex", "recycleAt"] as const) {
        for (const count of [0, -3, 1.5, NaN, Infinity]) {
          const client = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`values 1`).pipe(
            Effect.provide(MapepireClient.layer({ ...config, [name]: count }))
          )
          const failed = SqlFailure.from(yield* Effect.flip(client))
          assert.strictEqual(failed.reason, "InvalidParameter")
          assert.include(failed.message, `${name} must be`)
        }
      }
    })
  )

  it.scoped("the client's own options are what they should be", () =>
    Effect.gen(function* () {
      const wrong: ReadonlyArray<readonly [name: string, options: object]> = [
        ["statementTimeout", { statementTimeout: "soon" }],
        ["prefetch", { prefetch: 0.5 }],
        ["pool.acquireTimeout", { pool: { acquireTimeout: NaN } }],
        ["pool.max", { pool: { max: 4 } }]
      ]
      for (const [name, options] of wrong) {
        const failed = SqlFailure.from(yield* Effect.flip(Layer.build(MapepireClient.layer({ ...config, ...options }))))
        assert.strictEqual(failed.reason, "InvalidParameter")
        assert.include(failed.message, name)
      }
    })
  )

  it.scoped("an address where nobody can be is refused before it is dialled", () =>
    Effect.gen(function* () {
      for (const [name, wrong] of [
        ["host", { host: "" }],
        ["port", { port: 0 }],
        ["port", { port: 99_999 }],
        ["port", { port: NaN }],
        ["port", { port: 80.5 }]
      ] as const) {
        const address = { ...config, ...wrong }
        for (const refused of [
          Effect.asVoid(MapepireJob.make(address)),
          Effect.asVoid(MapepireJob.certificate(address)),
          Effect.flatMap(MapepireTransport.make(address), ({ connect }) =>
            Effect.asVoid(connect({ use: "statement", access: "write" }))
          )
        ]) {
          const failed = SqlFailure.from(yield* Effect.flip(refused))
          assert.strictEqual(failed.reason, "InvalidParameter")
          assert.isFalse(failed.isRetryable)
          assert.include(failed.message, `${name} must`)
        }
      }
    })
  )

  it.effect("counts in the environment are 1 or more", () =>
    Effect.gen(function* () {
      for (const [name, value] of [
        ["MAPEPIRE_SESSIONS", "0"],
        ["MAPEPIRE_SESSIONS", "-3"],
        ["MAPEPIRE_TRANSACTIONS", "0"],
        ["MAPEPIRE_MULTIPLEX", "0"]
      ] as const) {
        const given = [["MAPEPIRE_HOST", "ibmi"] as const, ["MAPEPIRE_USER", "ADA"] as const, [name, value] as const]
        const error = yield* Effect.flip(
          Effect.withConfigProvider(
            MapepireTransport.fromEnvironment,
            ConfigProvider.fromMap(new Map([...given, ["MAPEPIRE_PASSWORD", "s3cret"]]))
          )
        )
        assert.include(String(error), `Expected ${name} to be 1 or more`)
      }
    })
  )

  it.effect("comes from the environment", () =>
    Effect.gen(function* () {
      const found = yield* MapepireTransport.fromEnvironment.pipe(
        Effect.withConfigProvider(
          ConfigProvider.fromMap(
            new Map([
              ["MAPEPIRE_HOST", "ibmi"],
              ["MAPEPIRE_USER", "ADA"],
              ["MAPEPIRE_PASSWORD", "s3cret"],
              ["MAPEPIRE_LIBRARIES", "SHOP, *LIBL"],
              ["MAPEPIRE_FINGERPRINT", "AB:CD"],
              ["MAPEPIRE_SESSIONS", "7"]
            ])
          )
        )
      )
      assert.strictEqual(found.host, "ibmi")
      assert.strictEqual(found.port, 8076)
      assert.deepStrictEqual(found.libraries, ["SHOP", "*LIBL"])
      assert.strictEqual(found.tls?.fingerprint, "AB:CD")
      assert.strictEqual(found.sessions, 7)
      assert.strictEqual(Redacted.value(found.password!), "s3cret")
      assert.notInclude(JSON.stringify(found), "s3cret")
    })
  )
})
