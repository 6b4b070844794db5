/** From what a loader gives to Effects in order, or to a failure that tells which migration it is about. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { ResolvedMigration, Step } from "../../Migrator.js"
import { called, MigrationError } from "./error.js"
import type { Row } from "./table.js"

/** A migration as it is listed. */
export interface Listed extends Row {
  readonly load: Effect.Effect<unknown, unknown, unknown>
}

export const list = (
  migrations: ReadonlyArray<ResolvedMigration>
): Effect.Effect<ReadonlyArray<Listed>, MigrationError> => {
  const byId = new Map<number, Listed>()
  const twice: Array<string> = []
  for (const [id, name, load, checksum] of migrations) {
    const same = byId.get(id)
    if (same !== undefined) {
      twice.push(`${called(same)} and ${called({ id, name })}`)
    }
    byId.set(id, { id, name, load, checksum })
  }
  return twice.length > 0
    ? new MigrationError({
        reason: "duplicates",
        message: `Two migrations have one number: ${twice.join(", ")}. Give each a number of its own`
      })
    : Effect.succeed([...byId.values()].sort((a, b) => a.id - b.id))
}

/** Modules may have gone through a bundler: the default export, or that one's own. */
const exported = (loaded: unknown): unknown => {
  if (Effect.isEffect(loaded)) {
    return loaded
  }
  const once = (loaded as { readonly default?: unknown } | null | undefined)?.default
  return (once as { readonly default?: unknown } | null | undefined)?.default ?? once
}

const unusable = (migration: Listed, what: string, cause?: unknown) =>
  new MigrationError({
    reason: "import-error",
    message: `Migration ${called(migration)} ${what}. No migration was run`,
    migration: { id: migration.id, name: migration.name },
    cause
  })

export const load = (migration: Listed): Effect.Effect<Step, MigrationError> =>
  Effect.catchAllCause(migration.load as Effect.Effect<unknown, unknown>, (cause) =>
    Cause.isInterruptedOnly(cause)
      ? Effect.interrupt
      : Effect.fail(unusable(migration, `could not be loaded: ${String(Cause.squash(cause))}`, Cause.squash(cause)))
  ).pipe(
    Effect.flatMap((loaded) => {
      const step = exported(loaded)
      if (Effect.isEffect(step)) {
        return Effect.succeed(step as Step)
      }
      return step === undefined
        ? unusable(migration, "has no default export: export an Effect as default")
        : unusable(migration, "is no Effect: its default export has to be one, not a function that gives one")
    })
  )
