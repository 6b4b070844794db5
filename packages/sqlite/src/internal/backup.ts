/** Online backups: a few pages at a time on the writer, between the statements of others. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { OnWriter } from "./onWriter.js"

/** How far a backup has come. */
export interface BackupProgress {
  /** Pages still to be copied. */
  readonly remaining: number
  /** Pages of the database, which may grow meanwhile. */
  readonly pageCount: number
}

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

/** `patience`: milliseconds that locks of the source or the destination are waited for, beyond what SQLite waits. */
export const makeBackup = (onWriter: OnWriter, patience: number) => {
  // A connection makes one at a time.
  const backups = Effect.unsafeMakeSemaphore(1)

  return (destination: string, options: BackupOptions = {}): Stream.Stream<BackupProgress, SqlError> => {
    // A step without pages would never get on; `Infinity` copies all in one step.
    const pages = Math.min(Math.max(1, Math.trunc(options.pages ?? 256) || 1), 0x7fffffff)
    const once = onWriter((session) => session.command({ _tag: "BackupStep", pages })) as Effect.Effect<Step, SqlError>
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
    const started = Effect.zipRight(
      Effect.uninterruptibleMask((restore) =>
        Effect.zipRight(
          restore(backups.take(1)),
          Effect.addFinalizer(() => backups.release(1))
        )
      ),
      Effect.acquireRelease(
        onWriter((session) => session.command({ _tag: "BackupStart", destination })),
        () => Effect.ignoreLogged(onWriter((session) => session.command({ _tag: "BackupFinish" })))
      )
    )
    return Stream.unwrapScoped(Effect.as(started, copying))
  }
}
