/** What the migrator sends to databases that these tests do not have; on SQLite it runs in that package's tests. */
import { pathToFileURL } from "node:url"
import * as Statement from "@effect/sql/Statement"
import { assert, describe, it } from "@effect/vitest"
import { Migrator, SqlClient, SqlFailure, SqlTransport } from "@sluice/sql"
import { Deferred, Effect, Fiber, FiberId, Layer, TestClock } from "effect"
import { urlOf } from "../src/internal/migrator/loaders.js"
import { answer, failure, fake, type FakeOptions } from "./fakeTransport.js"

const compilerOf = (dialect: string) =>
  Statement.makeCompiler({
    dialect: dialect as Statement.Dialect,
    placeholder: () => "?",
    onIdentifier: (name) => `"${name.toUpperCase()}"`,
    onRecordUpdate: () => ["", []],
    onCustom: () => ["", []]
  })

const using = <A, E>(
  dialect: string,
  options: FakeOptions,
  body: (texts: () => ReadonlyArray<string>) => Effect.Effect<A, E, SqlClient.SqlClient>
) => {
  const seen = fake(options)
  const transport = Layer.effect(
    SqlTransport.SqlTransport,
    Effect.map(SqlTransport.SqlTransport, (transport) => ({ ...transport, compiler: compilerOf(dialect) }))
  )
  return body(() => seen.sessions.flatMap(({ texts }) => texts).map((text) => text.replaceAll(/\s+/g, " "))).pipe(
    Effect.provide(SqlClient.layer),
    Effect.provide(transport),
    Effect.provide(seen.layer)
  )
}

const loader = Migrator.fromRecord({ "1_one": "create table one(n integer)" })

/** A database without the table, until it is created. */
const empty = () => {
  let created = false
  return {
    run: ({ text }: SqlTransport.SqlRequest) => {
      if (/^create table "/i.test(text)) {
        created = true
      }
      return /^select/i.test(text) && !created ? Effect.fail(failure("SqlSyntax")) : undefined
    }
  } satisfies FakeOptions
}

describe("Migrator, on other databases", () => {
  for (const [dialect, moment] of [
    ["db2", "timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP"],
    ["pg", "timestamp with time zone NOT NULL DEFAULT now()"]
  ] as const) {
    it.effect(`${dialect}: the lock is the first statement of a migration's transaction`, () =>
      using(dialect, empty(), (texts) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* Migrator.run({ loader }), [[1, "one"]])
          const sent = texts()
          const table = `"EFFECT_SQL_MIGRATIONS"`
          assert.include(
            sent,
            `CREATE TABLE ${table} ( migration_id integer PRIMARY KEY NOT NULL, created_at ${moment}, ` +
              "name VARCHAR(255) NOT NULL, checksum VARCHAR(64) )"
          )
          assert.deepStrictEqual(sent.slice(sent.lastIndexOf("BEGIN")), [
            "BEGIN",
            `LOCK TABLE ${table} IN EXCLUSIVE MODE`,
            `SELECT migration_id, name, checksum FROM ${table} WHERE migration_id = ?`,
            "create table one(n integer)",
            `INSERT INTO ${table} (migration_id, name, checksum) VALUES (?, ?, ?)`,
            "COMMIT"
          ])
          // Statements that are expected to be refused spoil no transaction: each has one, or a savepoint, of its own.
          const refused = sent.flatMap((text, i) => (text.startsWith("SELECT migration_id FROM") ? [sent[i - 1]] : []))
          assert.strictEqual(refused.length, 2)
          assert.isTrue(refused.every((before) => /^BEGIN|^SAVEPOINT/.test(before!)))
        })
      )
    )
  }

  it.effect("another process makes the table at the same moment; one that cannot be made is a failure", () => {
    let others = false
    let allowed = true
    const run = ({ text }: SqlTransport.SqlRequest) => {
      if (/^create table "/i.test(text)) {
        others = allowed
        return Effect.fail(failure("SqlSyntax"))
      }
      return /^select/i.test(text) && !others ? Effect.fail(failure("SqlSyntax")) : undefined
    }
    return using("db2", { run }, (texts) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* Migrator.run({ loader }), [[1, "one"]])
        assert.strictEqual(texts().filter((text) => text.startsWith("CREATE")).length, 1)
        others = allowed = false
        const refused = yield* Effect.flip(Migrator.run({ loader }))
        assert.strictEqual(SqlFailure.from(refused).reason, "SqlSyntax")
      })
    )
  })

  it.effect("a database whose lock nobody knows is refused before anything is sent", () =>
    using("mysql", {}, (texts) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Migrator.run({ loader }))
        assert.instanceOf(error, Migrator.MigrationError)
        assert.strictEqual(error.message.includes("@effect/sql's Migrator"), true)
        assert.deepStrictEqual(texts(), [])
      })
    )
  )

  it.effect("waits for the lock as long as it is told, and fails with what does not pass by waiting", () => {
    let reason: SqlFailure.Reason = "LockTimeout"
    const asked = Deferred.unsafeMake<void>(FiberId.none)
    const run = ({ text }: SqlTransport.SqlRequest) => {
      if (text.startsWith("LOCK")) {
        return Effect.zipRight(
          Deferred.succeed(asked, void 0),
          Effect.suspend(() => Effect.fail(failure(reason)))
        )
      }
      return /^select/i.test(text) ? Effect.succeed(answer()) : undefined
    }
    return using("db2", { run }, () =>
      Effect.gen(function* () {
        const fiber = yield* Effect.fork(Effect.flip(Migrator.run({ loader, lockTimeout: "20 seconds" })))
        // Checksums are made on a thread that knows nothing of this clock.
        yield* Deferred.await(asked)
        yield* TestClock.adjust("15 seconds")
        assert.strictEqual(fiber.unsafePoll(), null)
        yield* TestClock.adjust("10 seconds")
        const error = yield* Fiber.join(fiber)
        assert.strictEqual(error instanceof Migrator.MigrationError && error.reason, "locked")
        assert.include(error.message, "20s")
        reason = "Authorization"
        const refused = yield* Effect.flip(Migrator.run({ loader }))
        assert.strictEqual(refused._tag, "SqlError")
        assert.strictEqual(SqlFailure.from(refused).reason, "Authorization")
      })
    )
  })

  for (const [outcome, told] of [
    ["unknown", "whether it has been committed is not known"],
    ["notExecuted", "failed and was undone"]
  ] as const) {
    it.effect(`a COMMIT that fails as ${outcome}: ${told}`, () => {
      const { run } = empty()
      const commit = Effect.fail(SqlFailure.make({ reason: "SessionLost", message: "gone", outcome }))
      let migrates = false
      return using(
        "pg",
        {
          run: (request) => {
            migrates ||= request.text.startsWith("create table one")
            return migrates && request.text === "COMMIT" ? commit : run(request)
          }
        },
        () =>
          Effect.gen(function* () {
            const error = yield* Effect.flip(Migrator.run({ loader }))
            assert.strictEqual(error instanceof Migrator.MigrationError && error.reason, "failed")
            assert.include(error.message, told)
          })
      )
    })
  }

  it("paths with what has a meaning in a URL", () => {
    for (const path of ["/tmp/100% #odd? name/1_a.mjs", "/tmp/ü/1_ä.js"]) {
      assert.strictEqual(urlOf(path), pathToFileURL(path).href)
    }
    assert.strictEqual(urlOf("C:\\a\\1_b.js"), "file:///C:/a/1_b.js")
  })
})
