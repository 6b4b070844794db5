/**
 * `Migrator` of `@sluice/sql`, under the name that it has in `@effect/sql-sqlite-node`.
 *
 * @since 0.1.0
 */
import type { Migrator } from "@sluice/sql"

/** @since 0.1.0 */
export * from "@sluice/sql/Migrator"

/**
 * `Options`, by the name that `@effect/sql` has for it.
 *
 * @since 0.1.0
 * @category models
 */
export type MigratorOptions<R = never> = Migrator.Options<R>
