/** What is to be done, from what is listed and what was applied; nothing is run here. */
import * as Either from "effect/Either"
import { called, MigrationError } from "./error.js"
import type { Listed } from "./load.js"
import type { Row } from "./table.js"

export interface Rules {
  readonly onChanged: "fail" | "warn" | "accept"
  readonly onLate: "fail" | "run" | "skip"
}

export interface Plan {
  readonly pending: ReadonlyArray<Listed>
  /** Rows to be written as the migrations are now. */
  readonly updates: ReadonlyArray<Row>
  readonly warnings: ReadonlyArray<string>
}

/** How a migration differs from what was applied under its number; undefined where it does not. */
export const difference = (listed: Listed, row: Row): MigrationError | undefined => {
  const migration = { id: listed.id, name: listed.name }
  if (listed.name !== row.name) {
    return new MigrationError({
      reason: "bad-state",
      message:
        `Migration ${called(listed)} was not run: under its number ${called(row)} was applied. Give it a number of its ` +
        `own, or, if it is the same with another name, run the migrator once with onChanged: "accept"`,
      migration
    })
  }
  return listed.checksum === undefined || row.checksum === undefined || listed.checksum === row.checksum
    ? undefined
    : new MigrationError({
        reason: "checksum",
        message:
          `Migration ${called(listed)} has changed since it was applied, and is not run again. Undo the change and put it ` +
          `into a new migration; if this database needs no change, run the migrator once with onChanged: "accept"`,
        migration
      })
}

export const make = (
  listed: ReadonlyArray<Listed>,
  applied: ReadonlyArray<Row>,
  rules: Rules
): Either.Either<Plan, MigrationError> => {
  const rows = new Map(applied.map((row) => [row.id, row]))
  const latest = applied.reduce((latest, { id }) => Math.max(latest, id), -Infinity)
  const pending: Array<Listed> = []
  const updates: Array<Row> = []
  const warnings: Array<string> = []
  for (const migration of listed) {
    const row = rows.get(migration.id)
    if (row === undefined) {
      if (migration.id > latest || rules.onLate === "run") {
        pending.push(migration)
      } else if (rules.onLate === "fail") {
        return Either.left(late(migration, rows.get(latest)!))
      }
      continue
    }
    const changed = difference(migration, row)
    if (changed !== undefined && rules.onChanged === "fail") {
      return Either.left(changed)
    }
    if (changed !== undefined && rules.onChanged === "warn") {
      warnings.push(changed.message)
    } else if (changed !== undefined || (row.checksum === undefined && migration.checksum !== undefined)) {
      updates.push(migration)
    }
  }
  return Either.right({ pending, updates, warnings })
}

const late = (migration: Listed, latest: Row) =>
  new MigrationError({
    reason: "bad-state",
    message:
      `Migration ${called(migration)} was never applied, but the later ${called(latest)} was. Give it a number after that, ` +
      `or choose with onLate: "run" or "skip"`,
    migration: { id: migration.id, name: migration.name }
  })
