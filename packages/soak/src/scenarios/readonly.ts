/**
 * A directory, then a file, that may not be written any more, under a client that has it open and for one that opens it
 * then; writable again later. Root may write anywhere, so the scenario goes on as nobody.
 */
import { accessSync, chmodSync, chownSync, constants, existsSync } from "node:fs"
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import { SqlFailure } from "@sluice/sql"
import type { SqliteClient } from "@sluice/sqlite"
import * as Effect from "effect/Effect"
import { Ledger, rowId, toldBy } from "../ledger.js"
import type { Soak } from "../soak.js"
import { compare, fileIn, idle, livesOn, open, setUp } from "./sqlite.js"

const nobody = 65_534

const isRoot = (): boolean => process.geteuid?.() === 0

/** Runs an effect without the rights of root. */
const asNobody = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  isRoot()
    ? Effect.acquireUseRelease(
        Effect.sync(() => process.seteuid?.(nobody)),
        () => effect,
        () => Effect.sync(() => process.seteuid?.(0))
      )
    : effect

/** Whether nobody can read the code that is to run as nobody. */
const readable = (): boolean => {
  if (!isRoot()) {
    return true
  }
  process.seteuid?.(nobody)
  try {
    accessSync(fileURLToPath(import.meta.url), constants.R_OK)
    return true
  } catch {
    return false
  } finally {
    process.seteuid?.(0)
  }
}

/** Refused as such (SQLITE_READONLY), or because a file beside the database cannot be made (SQLITE_CANTOPEN). */
const expected = ({ reason }: SqlFailure.SqlFailure): boolean => reason === "Authorization" || reason === "Connection"

const insert = (sql: SqliteClient.SqliteClient, ledger: Ledger) =>
  Effect.gen(function* () {
    const unit = ledger.begin()
    const exit = yield* Effect.exit(sql`insert into ledger (id) values (${rowId(unit, 0)})`)
    ledger.note(unit, [rowId(unit, 0)], toldBy(exit))
    return exit._tag
  })

const config = (soak: Soak, more: Partial<SqliteClient.SqliteClientConfig>): SqliteClient.SqliteClientConfig => ({
  filename: fileIn(soak),
  grace: 30_000,
  busyTimeout: 30_000,
  ...more
})

/** Opens what may only be read: to open it for more fails, there or with the first write. */
const newcomer = (soak: Soak, ledger: Ledger, more: Partial<SqliteClient.SqliteClientConfig>) =>
  Effect.gen(function* () {
    const opened = Effect.flatMap(open(config(soak, more)), (sql) => insert(sql, ledger))
    const result = yield* Effect.either(Effect.scoped(opened))
    soak.count("opened without rights")
    if (result._tag === "Left" && !expected(SqlFailure.from(result.left))) {
      soak.breach(`opening without rights failed: ${SqlFailure.from(result.left).message}`)
    } else if (result._tag === "Right" && result.right === "Success") {
      soak.breach("a file without rights was written")
    }
  })

const locked = (soak: Soak) =>
  Effect.gen(function* () {
    const { random } = soak
    const ledger = new Ledger()
    const journal = { disableWAL: random.chance(0.5), readers: random.between(0, 3) }
    const filename = fileIn(soak)
    let began = performance.now()
    const until = (part: number) => () => performance.now() - began > (soak.millis * part) / 4
    yield* Effect.scoped(
      Effect.gen(function* () {
        const sql = yield* open(config(soak, journal))
        yield* setUp(sql)
        began = performance.now()
        yield* livesOn(sql, ledger, soak, 3, { over: until(1) })
        chmodSync(soak.directory, 0o555)
        soak.count("directories without rights")
        yield* livesOn(sql, ledger, soak, 3, { expected, over: until(2) })
        chmodSync(soak.directory, 0o755)
        yield* livesOn(sql, ledger, soak, 3, { over: until(3) })
        yield* idle(soak, sql)
      })
    )
    chmodSync(filename, 0o444)
    soak.count("files without rights")
    yield* newcomer(soak, ledger, journal)
    const reading = Effect.gen(function* () {
      const sql = yield* open(config(soak, { readonly: true }))
      const [row] = yield* sql<{ c: number }>`select count(*) as c from numbers`
      if (row?.c !== 400) {
        soak.breach(`a client that only reads has seen ${row?.c} of 400 rows`)
      }
    })
    yield* Effect.scoped(reading)
    // What SQLite has made beside the file meanwhile has the file's rights: whoever gives them back does so for all.
    for (const path of [filename, `${filename}-wal`, `${filename}-shm`]) {
      if (existsSync(path)) {
        chmodSync(path, 0o644)
      }
    }
    began = performance.now()
    const again = Effect.flatMap(open(config(soak, journal)), (sql) =>
      livesOn(sql, ledger, soak, 3, { over: until(1) })
    )
    yield* Effect.scoped(again)
    compare(soak, filename, ledger)
  })

/** Why it cannot run on this machine, if it cannot. */
export const unavailable = (): string | undefined =>
  readable() ? undefined : "this checkout cannot be read without the rights of root"

export const round = (soak: Soak): Effect.Effect<void, unknown> => {
  if (isRoot()) {
    chmodSync(dirname(soak.directory), 0o711)
    chownSync(soak.directory, nobody, nobody)
  }
  return asNobody(locked(soak))
}
