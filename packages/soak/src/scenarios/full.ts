/**
 * The disk is full: a small file system where one may be mounted, else a database that may not have more pages. What does
 * not fit fails and leaves nothing; once there is room again, everything works as before.
 */
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { SqlFailure } from "@sluice/sql"
import type { SqliteClient } from "@sluice/sqlite"
import * as Effect from "effect/Effect"
import { type Ledger, rowId, toldBy } from "../ledger.js"
import { canMount, mounted, resized } from "../mount.js"
import type { Soak } from "../soak.js"
import { fileIn, livesOn, onFile } from "./sqlite.js"

const mebibyte = 1024 * 1024

/** SQLITE_FULL, and the SQLITE_IOERR and SQLITE_CANTOPEN of files beside the database that find no room. */
const noRoom = new Set([13, 10, 14])
const expected = ({ code }: SqlFailure.SqlFailure): boolean => typeof code === "number" && noRoom.has(code & 0xff)

/** Fills what is left of it, so that the next writes meet the end at any point. */
const fill = (directory: string, bytes: number): boolean => {
  const path = join(directory, "filler")
  try {
    writeFileSync(path, Buffer.alloc(bytes), { flag: "a" })
    return false
  } catch {
    return true
  }
}

/** Rows of a unit with much in it: it does not fit, or as a whole. */
const large = (sql: SqliteClient.SqliteClient, ledger: Ledger, soak: Soak) =>
  Effect.gen(function* () {
    const random = soak.random.fork(3_000)
    yield* sql`create table ballast (id integer primary key, bytes blob)`
    while (!soak.over()) {
      const unit = ledger.begin()
      const rows = Array.from({ length: 4 }, (_, i) => rowId(unit, i))
      const size = random.between(10_000, 100_000)
      const body = Effect.forEach(rows, (id) =>
        Effect.zipRight(
          sql`insert into ledger (id) values (${id})`,
          sql`insert into ballast (bytes) values (zeroblob(${size}))`
        )
      )
      const exit = yield* soak.watched("a large transaction", Effect.exit(sql.withTransaction(body)))
      ledger.note(unit, rows, toldBy(exit))
      soak.count("large transactions")
      if (exit._tag === "Failure") {
        soak.count("disks full")
        // Room again, so that there is something to fill.
        yield* Effect.ignore(sql`delete from ballast`)
      }
    }
  })

const onSmallDisk = (soak: Soak) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { random } = soak
      const directory = yield* mounted(join(soak.directory, "disk"), 6 * mebibyte)
      const config = {
        filename: join(directory, "soak.db"),
        readers: random.between(0, 3),
        disableWAL: random.chance(0.5),
        grace: 30_000,
        busyTimeout: 30_000
      }
      const filling = Effect.gen(function* () {
        while (!soak.over()) {
          yield* Effect.sleep(random.between(5, 40))
          if (fill(directory, random.between(10_000, 300_000))) {
            yield* Effect.sleep(random.between(5, 100))
            rmSync(join(directory, "filler"))
          }
        }
        rmSync(join(directory, "filler"), { force: true })
      })
      yield* onFile(soak, config, (sql, ledger) =>
        Effect.all([livesOn(sql, ledger, soak, 4, { expected }), large(sql, ledger, soak), filling], {
          concurrency: "unbounded",
          discard: true
        }).pipe(Effect.zipRight(resized(directory, 64 * mebibyte)), Effect.zipRight(works(sql, ledger)))
      )
    })
  )

const onQuota = (soak: Soak) => {
  const config = {
    filename: fileIn(soak),
    readers: soak.random.between(0, 3),
    pragmas: { max_page_count: 400 },
    grace: 30_000,
    busyTimeout: 30_000
  }
  return onFile(soak, config, (sql, ledger) =>
    Effect.zip(livesOn(sql, ledger, soak, 4, { expected }), large(sql, ledger, soak), { concurrent: true }).pipe(
      Effect.zipRight(sql.pragma("max_page_count", 100_000)),
      Effect.zipRight(works(sql, ledger))
    )
  )
}

/** With room again a write is a write, on the same client. */
const works = (sql: SqliteClient.SqliteClient, ledger: Ledger) =>
  Effect.gen(function* () {
    const unit = ledger.begin()
    yield* sql`insert into ballast (bytes) values (zeroblob(${mebibyte}))`
    yield* sql`insert into ledger (id) values (${rowId(unit, 0)})`
    ledger.note(unit, [rowId(unit, 0)], "there")
  })

export const round = (soak: Soak): Effect.Effect<void, unknown> =>
  canMount() && soak.random.chance(0.7) ? onSmallDisk(soak) : onQuota(soak)
