/**
 * Another database is put in the place of an open one, as a restored backup is. What the client has opened is the old file,
 * and it must never mix the two: it goes on with the old one or fails, and the new one stays as it was.
 */
import { linkSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import type { SqlFailure } from "@sluice/sql"
import type { SqliteClient } from "@sluice/sqlite"
import * as Effect from "effect/Effect"
import { Ledger } from "../ledger.js"
import type { Soak } from "../soak.js"
import { compare, fileIn, livesOn, open, setUp } from "./sqlite.js"

/** SQLITE_READONLY_DBMOVED without a WAL; a session that would have opened the new file. */
const expected = ({ code, reason }: SqlFailure.SqlFailure): boolean => code === 1032 || reason === "Connection"

export const round = (soak: Soak): Effect.Effect<void, unknown> =>
  Effect.gen(function* () {
    const { random } = soak
    const config: SqliteClient.SqliteClientConfig = {
      filename: fileIn(soak),
      readers: random.between(0, 4),
      disableWAL: random.chance(0.3),
      // By itself SQLite would sometimes bring what is committed later into the old file, which is compared as it was.
      pragmas: { wal_autocheckpoint: 0 },
      grace: 30_000,
      busyTimeout: 30_000
    }
    const other = join(soak.directory, "other.db")
    const kept = join(soak.directory, "kept.db")
    const otherLedger = new Ledger()
    const prepared = Effect.gen(function* () {
      const sql = yield* open({ ...config, filename: other })
      yield* setUp(sql)
      yield* livesOn(sql, otherLedger, soak, 2, { over: () => otherLedger.tally("there") > 20 })
    })
    yield* Effect.scoped(prepared)

    const ledger = new Ledger()
    const worked = Effect.gen(function* () {
      const sql = yield* open(config)
      yield* setUp(sql)
      const began = performance.now()
      yield* livesOn(sql, ledger, soak, 3, { over: () => performance.now() - began > soak.millis })
      if (config.disableWAL !== true) {
        // What was told until now is to be in the file: the WAL goes.
        yield* sql`pragma wal_checkpoint(truncate)`
      }
      linkSync(config.filename, kept)
      renameSync(other, config.filename)
      rmSync(`${config.filename}-wal`, { force: true })
      rmSync(`${config.filename}-shm`, { force: true })
      soak.count("files replaced")
      // Without a WAL nothing is written any more. With one it is, to a file that only this client has.
      const later = config.disableWAL === true ? ledger : new Ledger(ledger.begin())
      yield* livesOn(sql, later, soak, 3, { expected })
    })
    yield* Effect.scoped(worked)
    compare(soak, config.filename, otherLedger)
    compare(soak, kept, ledger)
  })
