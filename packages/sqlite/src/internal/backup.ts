/** Online backups: a few pages at a time on the writer, between the statements of others. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import type { SqliteClient } from "../SqliteClient.js"
import { isMemory } from "./isMemory.js"
import { ResultCode } from "./resultCode.js"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { OnWriter } from "./onWriter.js"
import type { SqliteSession } from "./sqliteSession.js"

/** How far a backup has come. */
export interface BackupProgress {
  /** Pages still to be copied. */
  readonly remaining: number
  /** Pages of the database, which may grow meanwhile. */
  readonly pageCount: number
}

/** How a backup is made. */
export interface BackupOptions {
  /** Pages that one step copies; other statements run between steps. Default 256. */
  readonly pages?: number | undefined
}

interface Step extends BackupProgress {
  readonly done: boolean
}

/** Between two tries for a lock, in milliseconds. */
const pause = 50

const isBusy = (error: SqlError): boolean => SqlFailure.from(error).reason === "LockTimeout"

/** Another session than the one that began it knows nothing of it. */
const ofSession = (error: SqlError): SqlError =>
  SqlFailure.from(error).code === ResultCode.misuse ? SqlFailure.annotate(error, { reason: "SessionLost" }) : error

/** Where it goes: a file, or the database of another client. */
export type BackupDestination = string | Pick<SqliteClient, "config" | "deserialize">

const noFile = (path: string) =>
  SqlFailure.make({
    reason: "InvalidParameter",
    message: `A backup goes to a file: ${JSON.stringify(path)} names none`
  })

/** A database in memory is filled at once: its image is read, and put in the other's place. */
const toMemory = (
  serialize: Effect.Effect<Uint8Array, SqlError>,
  destination: Pick<SqliteClient, "deserialize">
): Stream.Stream<BackupProgress, SqlError> =>
  Stream.fromEffect(
    Effect.flatMap(serialize, (image) =>
      Effect.as(destination.deserialize(image), { remaining: 0, pageCount: pageCountOf(image) })
    )
  )

/** https://www.sqlite.org/fileformat.html#the_database_header: the page size, 1 for 65,536. */
const pageCountOf = (image: Uint8Array): number => {
  const size = ((image[16] ?? 0) << 8) | (image[17] ?? 0)
  return size === 0 ? 0 : image.length / (size === 1 ? 65_536 : size)
}

let last = 0

/** `patience`: milliseconds that locks of the source or the destination are waited for, beyond what SQLite waits. */
export const makeBackup = (onWriter: OnWriter, serialize: Effect.Effect<Uint8Array, SqlError>, patience: number) => {
  const toFile = (destination: string, options: BackupOptions): Stream.Stream<BackupProgress, SqlError> =>
    // Each run of the stream is a backup of its own.
    Stream.suspend(() => copy(++last, destination, options))

  const copy = (id: number, destination: string, options: BackupOptions): Stream.Stream<BackupProgress, SqlError> => {
    if (isMemory(destination) || destination.includes("\0")) {
      return Stream.fail(noFile(destination))
    }
    // A step without pages would never get on; `Infinity` copies all in one step.
    const pages = Math.min(Math.max(1, Math.trunc(options.pages ?? 256) || 1), 0x7fffffff)
    const once = Effect.mapError(
      onWriter((session) => session.command({ _tag: "BackupStep", id, pages })),
      ofSession
    ) as Effect.Effect<Step, SqlError>
    // A step that found a lock has lost nothing: the next one goes on where it stood.
    const within = (until: number): Effect.Effect<Step, SqlError> =>
      Effect.catchAll(once, (error) =>
        isBusy(error) && performance.now() < until
          ? Effect.zipRight(Effect.sleep(pause), within(until))
          : Effect.fail(error)
      )
    const step = Effect.suspend(() => within(performance.now() + patience))
    const copying = Stream.paginateEffect(undefined, () =>
      Effect.map(step, ({ done, pageCount, remaining }) => [
        { remaining, pageCount },
        done ? Option.none<undefined>() : Option.some(undefined)
      ])
    )
    const backup = {}
    let keeper: SqliteSession | undefined
    const letGo = Effect.sync(() => keeper?.kept.delete(backup))
    const start = onWriter((session) => {
      keeper = session
      session.kept.add(backup)
      return session.command({ _tag: "BackupStart", id, destination })
    })
    const finish = Effect.ignoreLogged(onWriter((session) => session.command({ _tag: "BackupFinish", id })))
    const started = Effect.acquireRelease(
      Effect.onError(start, () => letGo),
      () => Effect.ensuring(finish, letGo)
    )
    return Stream.unwrapScoped(Effect.as(started, copying))
  }

  return (destination: BackupDestination, options: BackupOptions = {}): Stream.Stream<BackupProgress, SqlError> =>
    typeof destination === "string"
      ? toFile(destination, options)
      : isMemory(destination.config.filename)
        ? toMemory(serialize, destination)
        : toFile(destination.config.filename, options)
}
