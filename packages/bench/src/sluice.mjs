/** Sluice's client for cells: what a program would write, and nothing else. */
import { SqliteClient } from "@sluice/sqlite"
import { Effect } from "effect"

/** Opens a client, runs the program with it, closes it. */
export const withClient = (config, program) =>
  Effect.runPromise(Effect.flatMap(SqliteClient.SqliteClient, program).pipe(Effect.provide(SqliteClient.layer(config))))
