/** What the SQLite client has beyond `SqlClient`: made from the client and its transport. */
import { SqlError } from "@effect/sql/SqlError"
import type * as Statement from "@effect/sql/Statement"
import { type SqlClient, SqlFailure, SqlTransport } from "@sluice/sql"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { NodeInspectSymbol } from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { SqliteTransport } from "../SqliteTransport.js"
import { type BackupDestination, makeBackup } from "./backup.js"
import { makeBatch } from "./batch.js"
import { make as makeBlobs } from "./blob/make.js"
import { makeApply } from "./changeset/apply.js"
import { makeSession } from "./changeset/session.js"
import { countersOf, type StatementCounters } from "./counters.js"
import { deserialize } from "./deserialize.js"
import { makeExplain } from "./explain.js"
import { onWriter as makeOnWriter } from "./onWriter.js"
import { makePragma } from "./pragma.js"
import { quoted } from "./quoting.js"

/** Which engine runs SQLite: the native pump, which can stop inside a statement, or the portable one. */
export interface EngineInfo {
  readonly kind: "native" | "portable"
  /** Of SQLite, such as "3.50.4". */
  readonly version: string
}

export const make = (client: SqlClient.SqlClient, transport: SqliteTransport) => {
  const { filename } = transport.config
  const engine: EngineInfo = transport.sessions()[0]!.engine

  const onWriter = makeOnWriter(client)

  const { busyTimeout } = transport.config
  const serialize = Effect.map(
    onWriter((session) => session.command({ _tag: "Export" })),
    (bytes) => new Uint8Array(bytes as ArrayBuffer)
  )

  const patience = busyTimeout === undefined ? 5_000 : Duration.toMillis(busyTimeout)
  const backupStream = makeBackup(onWriter, serialize, patience)

  const inspect = () => {
    const sessions = transport.sessions().map(({ session }) => ({ id: session.id, state: session.state }))
    const state = sessions.length === 0 ? "closed" : sessions.some((s) => s.state === "busy") ? "busy" : "open"
    return { _id: "@sluice/sqlite/SqliteClient", filename, engine, state, sessions }
  }

  const members = {
    engine,

    // Said, not inferred: TypeScript before 5.7 knows no Uint8Array<ArrayBuffer>.
    export: serialize as Effect.Effect<Uint8Array, SqlError>,
    serialize: serialize as Effect.Effect<Uint8Array, SqlError>,
    deserialize: (bytes: Uint8Array) =>
      deserialize(filename, bytes, (image) =>
        onWriter((session) => session.command({ _tag: "Deserialize", image }, [image]))
      ),

    snapshot: <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
      // A deferred transaction begins with its first read.
      client.transaction({ readOnly: true })(
        Effect.zipRight(client.unsafe("select 1 from sqlite_schema limit 1").unprepared, effect)
      ),

    explain: makeExplain(client, transport.compiler),

    ...makeBlobs(onWriter),
    changeSession: makeSession(onWriter),
    applyChangeset: makeApply(client, onWriter),

    counters: (statement: Statement.Fragment | string): Effect.Effect<StatementCounters, SqlError> =>
      Effect.suspend(() => {
        const compiled = SqlTransport.compile(transport.compiler, statement)
        if (compiled instanceof SqlError) {
          return Effect.fail(compiled)
        }
        const [text, params] = compiled
        const counted = SqlTransport.request(text, { params, transaction: "free", counters: true })
        const run = onWriter((session, { deadline }) => session.run({ ...counted, deadline }), [text])
        return engine.kind === "portable"
          ? Effect.fail(SqlFailure.make({ reason: "Unsupported", message: "Counters need the native engine" }))
          : // A text without a statement has none.
            Effect.map(run, (answer) => (answer.counters as StatementCounters | undefined) ?? countersOf([]))
      }),

    backupStream,
    backup: (destination: BackupDestination) =>
      Effect.map(Stream.runLast(backupStream(destination)), (last) => {
        const { pageCount, remaining } = Option.getOrThrow(last)
        return { totalPages: pageCount, remainingPages: remaining }
      }),

    loadExtension: (path: string) => transport.addExtension(path),

    pragma: makePragma(client, transport),

    attach: (filename: string, schema: string): Effect.Effect<void, SqlError> =>
      Effect.asVoid(client.unsafe(`ATTACH ? AS ${quoted(schema)}`, [filename])),

    interrupt: Effect.suspend(() =>
      Effect.forEach(transport.sessions(), ({ session }) => session.interrupt, { discard: true })
    ),

    toJSON: inspect,
    [NodeInspectSymbol]: inspect
  }
  return { members, batch: makeBatch(onWriter, client, transport.compiler) }
}
