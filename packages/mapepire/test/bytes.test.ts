/** Bytes among the parameters: hexadecimal digits for daemons up to 2.3.6, base64 for newer ones. */
import { assert, describe, it } from "@effect/vitest"
import { MapepireJob } from "@sluice/mapepire"
import { SqlFailure } from "@sluice/sql"
import * as Effect from "effect/Effect"
import { byteShapeOf } from "../src/internal/job/byteShape.js"
import { scriptedDaemon } from "./scriptedDaemon.js"

const bytes = new Uint8Array([0xde, 0xad, 0xbe, 0xef])
const [hex, base64] = ["DEADBEEF", "3q2+7w=="]

it("a version tells how bytes are taken", () => {
  for (const version of ["2.3.2", "2.3.6", "2.3.6-SNAPSHOT", "2.3", "1.9.9", "v2.0.4"]) {
    assert.strictEqual(byteShapeOf(version), "hex", version)
  }
  for (const version of ["2.3.7-SNAPSHOT", "2.4", "2.4.0-SNAPSHOT", "3.0.0", "2.10.0"]) {
    assert.strictEqual(byteShapeOf(version), "base64", version)
  }
  for (const version of [undefined, 5, "", "development"]) {
    assert.isUndefined(byteShapeOf(version))
  }
})

describe("a daemon's version", () => {
  for (const [version, text] of [
    ["2.3.6", hex],
    ["2.4.0-SNAPSHOT", base64]
  ] as const) {
    it.scopedLive(`${version}: is asked for once, before the first bytes`, () =>
      Effect.gen(function* () {
        const daemon = yield* scriptedDaemon()
        daemon.version = version
        daemon.on(/^insert|^select/, {})
        const job = yield* MapepireJob.make(daemon.config)
        yield* job.queryAndRun("insert into t values (?)", ["no bytes"])
        assert.isEmpty(daemon.sent("getversion"))
        yield* job.queryAndRun("insert into t values (?)", [bytes])
        yield* job.queryAndRun("select 1 from t where b = ?", [bytes])
        yield* job.batch("insert into u values (?)", [[bytes], [null]])
        const statement = yield* job.prepare("insert into v values (?)")
        yield* statement.execute([bytes])
        yield* statement.batch([[bytes]])
        const sent = daemon.requests.flatMap(({ parameters }) => parameters?.flat() ?? [])
        assert.deepStrictEqual(sent, ["no bytes", text, text, text, null, text, text])
        assert.strictEqual(daemon.sent("getversion").length, 1)
      })
    )
  }

  it.scopedLive("is asked for by each way of sending bytes", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.version = "2.4.0"
      daemon.on(/^insert/, {})
      const sends: ReadonlyArray<(job: MapepireJob.MapepireJob) => Effect.Effect<unknown, unknown>> = [
        (job) => job.batch("insert into t values (?)", [[bytes]]),
        (job) => Effect.scoped(Effect.flatMap(job.prepare("insert into t values (?)"), (p) => p.execute([bytes]))),
        (job) => Effect.scoped(Effect.flatMap(job.prepare("insert into t values (?)"), (p) => p.batch([[bytes]])))
      ]
      for (const send of sends) {
        yield* Effect.scoped(Effect.flatMap(MapepireJob.make(daemon.config), send))
      }
      const sent = daemon.requests.flatMap(({ parameters }) => parameters?.flat() ?? [])
      assert.deepStrictEqual(sent, [base64, base64, base64])
    })
  )

  it.scopedLive("that is not told: nothing is sent; the option binary decides without asking", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.version = "development"
      daemon.on(/^insert/, {})
      const job = yield* MapepireJob.make(daemon.config)
      const failed = SqlFailure.from(yield* Effect.flip(job.queryAndRun("insert into t values (?)", [bytes])))
      assert.deepStrictEqual([failed.reason, failed.outcome], ["Unsupported", "notExecuted"])
      assert.isEmpty(daemon.sent("prepare_sql_execute"))
      for (const binary of ["hex", "base64"] as const) {
        const told = yield* MapepireJob.make({ ...daemon.config, binary })
        yield* told.queryAndRun("insert into t values (?)", [bytes])
      }
      assert.deepStrictEqual(
        daemon.sent("prepare_sql_execute").map(({ parameters }) => parameters),
        [[hex], [base64]]
      )
      assert.strictEqual(daemon.sent("getversion").length, 1)
    })
  )

  it.scopedLive("that is never answered: the deadline counts, and nothing was executed", () =>
    Effect.gen(function* () {
      const daemon = yield* scriptedDaemon()
      daemon.override(({ type }) => type === "getversion")
      const job = yield* MapepireJob.make(daemon.config)
      const insert = job.queryAndRun("insert into t values (?)", [bytes], { timeout: "100 millis" })
      const failed = SqlFailure.from(yield* Effect.flip(insert))
      assert.deepStrictEqual([failed.reason, failed.outcome], ["StatementTimeout", "notExecuted"])
      assert.isEmpty(daemon.sent("prepare_sql_execute"))
    })
  )
})
